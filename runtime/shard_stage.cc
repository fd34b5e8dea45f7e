#include "runtime/shard_stage.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/stream_copy.h"

namespace bwrt::runtime {
namespace {

// Hashed and copied in pieces that fit the first-level cache, so that the copy reads what the hash has just read.
constexpr size_t kBlock = size_t{16} << 10;

absl::Status Invalid(absl::string_view reason, const std::string& why) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, why);
}

}  // namespace

absl::Status ShardStage::Write(absl::string_view name, int64_t offset, const absl::Cord& data,
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
  const auto chunk = [&](const ByteRange& part) {
    return data.Subcord(static_cast<size_t>(part.begin - offset), static_cast<size_t>(part.end - part.begin));
  };
  for (const ByteRange& known : received_.Within(range)) {
    if (chunk(known) !=
        data_.view().substr(static_cast<size_t>(known.begin), static_cast<size_t>(known.end - known.begin))) {
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
  for (const ByteRange& part : received_.MissingOf(range, SIZE_MAX)) TakeLocked(part.begin, chunk(part));
  return absl::OkStatus();
}

void ShardStage::TakeLocked(int64_t offset, const absl::Cord& bytes) {
  int64_t at = offset;
  for (absl::string_view piece : bytes.Chunks()) {
    for (; !piece.empty(); piece.remove_prefix(std::min(kBlock, piece.size()))) {
      const absl::string_view block = piece.substr(0, kBlock);
      if (expected_ && hashed_ == at) HashLocked(block);
      StreamCopy(data_.data() + at, block.data(), block.size());
      at += static_cast<int64_t>(block.size());
    }
  }
  received_.Add({offset, at});
  // What came earlier and was waiting for these.
  const int64_t prefix = received_.prefix();
  if (!expected_ || hashed_ >= prefix) return;
  HashLocked(data_.view().substr(static_cast<size_t>(hashed_), static_cast<size_t>(prefix - hashed_)));
}

void ShardStage::HashLocked(absl::string_view next) {
  if (!hasher_) hasher_.emplace(expected_->kind());
  hasher_->Update(next);
  hashed_ += static_cast<int64_t>(next.size());
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
