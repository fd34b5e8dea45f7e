#include "runtime/shard_stage.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

// Copied and hashed in pieces that fit the second-level cache, so that the hash reads what the copy has just written.
constexpr int64_t kBlock = int64_t{256} << 10;

absl::Status Invalid(absl::string_view reason, const std::string& why) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, why);
}

}  // namespace

absl::Status ShardStage::Write(absl::string_view name, int64_t offset, absl::string_view data,
                               const std::function<absl::StatusOr<WeightBuffer>(size_t)>& allocate) {
  const auto size = static_cast<int64_t>(data.size());
  if (offset < 0 || offset > bytes_ || size > bytes_ - offset) {
    return Invalid("CHUNK_OUT_OF_RANGE", absl::StrCat(name, ": bytes [", offset, ", ", offset, " + ", size,
                                                      ") lie beyond its ", bytes_, " bytes"));
  }
  if (size == 0) return absl::OkStatus();
  MutexLock lock(mu_);
  if (data_.size() == 0) {
    auto allocated = allocate(static_cast<size_t>(bytes_));
    if (!allocated.ok()) return allocated.status();
    data_ = *std::move(allocated);
    if (reserved_.bytes() > Bytes(0)) data_.Charge(std::move(reserved_));
  }
  const ByteRange range{offset, offset + size};
  for (const ByteRange& known : received_.Within(range)) {
    if (std::memcmp(data_.data() + known.begin, data.data() + (known.begin - offset),
                    static_cast<size_t>(known.end - known.begin)) != 0) {
      return Invalid("CHUNK_CONFLICT", absl::StrCat(name, ": bytes [", known.begin, ", ", known.end,
                                                    ") were staged before, with other content; abort the update to "
                                                    "begin again"));
    }
  }
  if (received_.count() >= kMaxPieces) {
    return MakeError(
        absl::StatusCode::kResourceExhausted, "TOO_FRAGMENTED",
        absl::StrCat(name, ": what was staged lies in ", received_.count(), " pieces; send larger chunks, in order"));
  }
  for (const ByteRange& part : received_.MissingOf(range, SIZE_MAX)) {
    for (int64_t at = part.begin; at < part.end; at += kBlock) {
      const int64_t length = std::min(kBlock, part.end - at);
      std::memcpy(data_.data() + at, data.data() + (at - offset), static_cast<size_t>(length));
      received_.Add({at, at + length});
      if (expected_) HashPrefixLocked();
    }
  }
  return absl::OkStatus();
}

void ShardStage::HashPrefixLocked() {
  const int64_t prefix = received_.prefix();
  if (prefix <= hashed_) return;
  if (!hasher_) hasher_.emplace(expected_->kind());
  hasher_->Update({data_.data() + hashed_, static_cast<size_t>(prefix - hashed_)});
  hashed_ = prefix;
  if (hashed_ < bytes_) return;
  found_ = hasher_->Finish();
  hasher_.reset();
}

int64_t ShardStage::received() const {
  MutexLock lock(mu_);
  return received_.total();
}

std::vector<ByteRange> ShardStage::Missing(size_t limit) const {
  MutexLock lock(mu_);
  return received_.MissingOf({0, bytes_}, limit);
}

std::optional<ShardStage::Fault> ShardStage::Check() {
  MutexLock lock(mu_);
  if (verified_) return std::nullopt;
  const int64_t received = received_.total();
  if (received == 0) return Fault{"SHARD_MISSING", absl::StrCat("none of its ", bytes_, " bytes has been staged")};
  if (received < bytes_) {
    const ByteRange first = received_.MissingOf({0, bytes_}, 1).front();
    return Fault{"SHARD_SHORT", absl::StrCat(received, " of its ", bytes_, " bytes have been staged; [", first.begin,
                                             ", ", first.end, ") is the first range missing")};
  }
  verified_ = true;
  if (!expected_) return std::nullopt;
  const Digest found = *found_;
  if (found == *expected_) return std::nullopt;
  verified_ = false;
  received_.Clear();
  found_.reset();
  hashed_ = 0;
  return Fault{"DIGEST_MISMATCH", absl::StrCat("its bytes have the digest ", found.ToString(), ", expected was ",
                                               expected_->ToString(), "; they were dropped, stage them again")};
}

absl::Status ShardStage::Read(absl::string_view name, int64_t offset, int64_t bytes, char* to) const {
  MutexLock lock(mu_);
  if (!received_.MissingOf({offset, offset + bytes}, 1).empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "UPDATE_INCOMPLETE",
                     absl::StrCat(name, ": bytes [", offset, ", ", offset + bytes, ") have not all been staged"));
  }
  std::memcpy(to, data_.data() + offset, static_cast<size_t>(bytes));
  return absl::OkStatus();
}

WeightBuffer ShardStage::content() const {
  MutexLock lock(mu_);
  return data_;
}

}  // namespace bwrt::runtime
