#include "client/stager.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

// The most that one GetUpdate lists: shards, and ranges of each.
constexpr uint32_t kMaxMissing = 10'000;
constexpr int kMaxRanges = 64;

// Whether what the daemon has is there still, and the rest can follow over another stream.
bool CanResume(const absl::Status& status) {
  return absl::IsUnavailable(status) || (!status.ok() && DetailsOf(status).reason == "STAGE_IDLE");
}

}  // namespace

absl::StatusOr<v1::Shard> DescribeShard(const ByteSource& source, uint32_t rank, DigestKind digest,
                                        v1::Encoding encoding) {
  auto text = DigestOf(digest, source);
  if (!text.ok()) return text.status();
  v1::Shard shard;
  shard.set_rank(rank);
  shard.set_bytes(source.size());
  shard.set_digest(*std::move(text));
  shard.set_encoding(encoding);
  return shard;
}

Stager::Stager(Client& client, std::string update_id, StagerOptions options)
    : client_(client), update_id_(std::move(update_id)), options_(std::move(options)), ask_(options_.only_missing) {}

void Stager::Add(std::string tensor, uint32_t rank, std::shared_ptr<const ByteSource> source) {
  total_ += source->size();
  shards_.push_back({std::move(tensor), rank, std::move(source)});
}

absl::StatusOr<StageResult> Stager::Run() {
  const absl::Time begin = absl::Now();
  if (!declared_.empty()) {
    if (absl::Status status = Retry([this] { return SendDeclarations(); }); !status.ok()) return status;
  }
  if (!shards_.empty()) {
    if (absl::Status status = Retry([this] { return SendShards(); }); !status.ok()) return status;
  }
  result_.seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  return result_;
}

template <class Attempt>
absl::Status Stager::Retry(Attempt attempt) {
  constexpr absl::Duration kLongest = absl::Seconds(5);
  failures_ = 0;
  absl::Duration delay = options_.retry_delay;
  for (;;) {
    absl::Status status = attempt();
    if (!CanResume(status)) return status;
    if (failures_ == 0) delay = options_.retry_delay;
    if (++failures_ > options_.max_retries) return status;
    ++result_.retries;
    absl::SleepFor(delay);
    delay = std::min(2 * delay, kLongest);
  }
}

absl::Status Stager::SendDeclarations() {
  const auto stream = client_.StageWeights({.timeout = {}, .handle = options_.handle});
  v1::StageWeightsRequest request;
  request.set_update_id(update_id_);
  for (const v1::TensorManifest& tensor : declared_) {
    *request.mutable_declare()->mutable_tensor() = tensor;
    if (!stream->Write(request)) break;
    request.clear_update_id();
  }
  auto response = stream->Finish();
  if (!response.ok()) return response.status();
  result_.info = std::move(*response->mutable_info());
  return absl::OkStatus();
}

absl::Status Stager::SendShards() {
  if (!ask_) {
    std::vector<Piece> pieces;
    for (const Shard& shard : shards_) pieces.push_back({&shard, 0, shard.source->size()});
    // Should this fail, only the daemon knows what arrived.
    ask_ = true;
    return SendPieces(pieces);
  }
  std::optional<uint64_t> before;
  for (;;) {
    const auto missing = FindMissing();
    if (!missing.ok()) return missing.status();
    if (missing->pieces.empty()) return absl::OkStatus();
    if (before.has_value() && received_ <= *before) {
      return absl::InternalError(
          absl::StrCat("update ", update_id_, ": the daemon took what it lacked and still lacks it"));
    }
    before = received_;
    if (absl::Status status = SendPieces(missing->pieces); !status.ok() || missing->all) return status;
  }
}

absl::Status Stager::SendPieces(const std::vector<Piece>& pieces) {
  uint64_t unsent = 0;
  for (const Piece& piece : pieces) unsent += piece.end - piece.begin;
  ReportProgress(unsent);
  const auto stream = client_.StageWeights({.timeout = {}, .handle = options_.handle});
  v1::StageWeightsRequest request;
  request.set_update_id(update_id_);
  bool broken = false;
  for (const Piece& piece : pieces) {
    for (uint64_t offset = piece.begin; offset < piece.end && !broken; offset += options_.chunk_bytes) {
      const size_t count = std::min(options_.chunk_bytes, piece.end - offset);
      v1::Chunk* chunk = request.mutable_chunk();
      chunk->set_tensor(piece.shard->tensor);
      chunk->set_rank(piece.shard->rank);
      chunk->set_offset(offset);
      chunk->mutable_data()->resize(count);
      absl::Status status = piece.shard->source->Read(offset, count, chunk->mutable_data()->data());
      if (!status.ok()) return status;
      broken = !stream->Write(request);
      if (broken) break;
      request.clear_update_id();
      unsent -= count;
      result_.bytes += count;
      ++result_.chunks;
      ReportProgress(unsent);
    }
    if (broken) break;
  }
  auto response = stream->Finish();
  if (!response.ok()) return response.status();
  result_.info = std::move(*response->mutable_info());
  return absl::OkStatus();
}

absl::StatusOr<Stager::Missing> Stager::FindMissing() {
  v1::GetUpdateRequest request;
  request.set_update_id(update_id_);
  request.set_max_missing(kMaxMissing);
  auto response = client_.GetUpdate(request, {.timeout = {}, .handle = options_.handle});
  if (!response.ok()) return response.status();
  if (response->info().received_bytes() > received_) {
    received_ = response->info().received_bytes();
    failures_ = 0;
  }
  using Key = std::pair<absl::string_view, uint32_t>;
  std::map<Key, const v1::MissingShard*> listed;
  for (const v1::MissingShard& shard : response->missing()) listed[{shard.tensor(), shard.rank()}] = &shard;
  const bool cut = response->missing_shards() > listed.size();
  Missing missing;
  for (const Shard& shard : shards_) {
    const Key key = {shard.tensor, shard.rank};
    const auto it = listed.find(key);
    if (it == listed.end()) {
      // Beyond the end of a list cut short: it may be missing, and sending it again does no harm.
      if (cut && (listed.empty() || listed.rbegin()->first < key)) {
        missing.pieces.push_back({&shard, 0, shard.source->size()});
      }
      continue;
    }
    if (it->second->missing_size() >= kMaxRanges) missing.all = false;
    for (const v1::ByteRange& range : it->second->missing()) {
      const uint64_t end = std::min(range.end(), shard.source->size());
      if (range.begin() < end) missing.pieces.push_back({&shard, range.begin(), end});
    }
  }
  result_.info = std::move(*response->mutable_info());
  return missing;
}

void Stager::ReportProgress(uint64_t unsent) const {
  if (options_.on_progress) options_.on_progress(total_ - unsent, total_);
}

}  // namespace bwrt::client
