#include "runtime/update_request.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "runtime/request_check.h"
#include "runtime/wave_validator.h"

namespace bwrt::runtime {
namespace {

constexpr uint64_t kMaxShardBytes = uint64_t{1} << 50;
constexpr int kEncodingNpy = 1;
constexpr int kApplyInPlace = 1;

bool IsUpdateId(absl::string_view id) {
  return id.size() <= kMaxUpdateIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

// The shards by rank, as far as they are right.
std::vector<ShardPlan> CheckShards(absl::string_view path, const std::vector<ShardRequest>& shards, Violations& bad) {
  std::vector<ShardPlan> plans(shards.size());
  std::vector<bool> seen(shards.size(), false);
  for (size_t i = 0; i < shards.size(); ++i) {
    const ShardRequest& shard = shards[i];
    const auto field = [&](absl::string_view part) { return absl::StrCat(path, ".shards[", i, "].", part); };
    if (shard.rank >= shards.size() || seen[shard.rank]) {
      bad.Add(field("rank"), "SHARD_RANK", shard.rank, "the ", shards.size(), " shards must have the ranks 0 to ",
              shards.size() - 1, ", each once");
    }
    if (shard.bytes == 0 || shard.bytes > kMaxShardBytes) {
      bad.Add(field("bytes"), "OUT_OF_RANGE", shard.bytes, "must lie in [1, ", kMaxShardBytes, "]");
    }
    if (shard.encoding < 0 || shard.encoding > kEncodingNpy) {
      bad.Add(field("encoding"), "UNKNOWN_VALUE", shard.encoding, "use RAW or NPY");
    }
    ShardPlan plan;
    plan.bytes = static_cast<int64_t>(std::min(shard.bytes, kMaxShardBytes));
    plan.npy = shard.encoding == kEncodingNpy;
    if (!shard.digest.empty()) {
      if (auto digest = Digest::Parse(shard.digest); digest.ok()) {
        plan.digest = *digest;
      } else {
        bad.Add(field("digest"), "DIGEST", Quoted(shard.digest), digest.status().message());
      }
    }
    if (shard.rank < shards.size()) {
      seen[shard.rank] = true;
      plans[shard.rank] = plan;
    }
  }
  return plans;
}

TensorPlan CheckTensor(absl::string_view path, const TensorManifestRequest& request, const Limits& limits,
                       std::set<absl::string_view>& names, Violations& bad) {
  TensorPlan plan;
  CheckTensorName(path, request.name, names, bad);
  if (request.shards.size() > kMaxShards) {
    bad.Add(absl::StrCat(path, ".shards"), "TOO_MANY", absl::StrCat(request.shards.size(), " shards"), "at most ",
            kMaxShards);
  } else {
    plan.shards = CheckShards(path, request.shards, bad);
  }
  const bool untyped = request.dtype == 0 && request.shape.empty();
  const bool one_npy = plan.shards.size() == 1 && plan.shards[0].npy;
  if (!untyped || !one_npy) plan.type = CheckTensorType(path, request.dtype, request.shape, limits, bad);
  if (plan.type && request.shards.empty()) plan.shards.push_back({plan.type->bytes().value(), std::nullopt, false});
  // What NPY files hold besides their headers is known once they are there.
  const bool raw = std::none_of(plan.shards.begin(), plan.shards.end(), [](const ShardPlan& s) { return s.npy; });
  if (plan.type && raw && plan.bytes() != plan.type->bytes().value()) {
    bad.Add(absl::StrCat(path, ".shards"), "TENSOR_SIZE", absl::StrCat(plan.bytes(), " bytes"), "shape and dtype ",
            plan.type->dtype.name(), " need exactly ", plan.type->bytes().value());
  }
  plan.name = request.name;
  return plan;
}

}  // namespace

int64_t TensorPlan::bytes() const {
  int64_t sum = 0;  // At most kMaxShards * kMaxShardBytes.
  for (const ShardPlan& shard : shards) sum += shard.bytes;
  return sum;
}

absl::StatusOr<TensorPlan> CheckTensorManifest(absl::string_view path, const TensorManifestRequest& request,
                                               const Limits& limits) {
  Violations bad;
  std::set<absl::string_view> names;
  TensorPlan plan = CheckTensor(path, request, limits, names, bad);
  if (!bad.empty()) return bad.Take("tensor");
  return plan;
}

absl::StatusOr<UpdatePlan> CheckBeginUpdate(BeginUpdateRequest request, const Limits& limits) {
  Violations bad;
  UpdatePlan plan;
  CheckModelName(request.model, bad);
  CheckLabel("label", request.label, bad);
  if (!IsUpdateId(request.update_id)) {
    bad.Add("update_id", "UPDATE_ID", Quoted(request.update_id), "use 1 to ", kMaxUpdateIdBytes,
            " of A-Z a-z 0-9 . _ -, or leave it empty");
  }
  if (request.apply_mode < 0 || request.apply_mode > kApplyInPlace) {
    bad.Add("apply_mode", "UNKNOWN_VALUE", request.apply_mode, "use SHADOW or IN_PLACE");
  }
  CheckDuration("ttl", request.ttl, std::chrono::seconds(1), std::chrono::hours(24), bad);
  CheckDuration("prepared_ttl", request.prepared_ttl, std::chrono::seconds(1), std::chrono::hours(24 * 365), bad);
  for (const auto& [field, count] :
       {std::pair("tensors", request.tensors.size()), std::pair("removed", request.removed.size())}) {
    if (count > static_cast<size_t>(limits.max_tensors)) {
      bad.Add(field, "TOO_MANY", absl::StrCat(count, " tensors"), "at most ", limits.max_tensors);
      return bad.Take("update");
    }
  }
  std::set<absl::string_view> names;  // Views of the request, which lives on.
  plan.tensors.reserve(request.tensors.size());
  for (size_t i = 0; i < request.tensors.size(); ++i) {
    plan.tensors.push_back(CheckTensor(absl::StrCat("tensors[", i, "]"), request.tensors[i], limits, names, bad));
  }
  size_t shards = 0;
  for (const TensorPlan& tensor : plan.tensors) shards += tensor.shards.size();
  if (shards > static_cast<size_t>(limits.max_tensors)) {
    bad.Add("tensors", "TOO_MANY_SHARDS", absl::StrCat(shards, " shards"), "at most ", limits.max_tensors,
            " in one update; make them larger");
  }
  std::set<absl::string_view> removed;
  for (size_t i = 0; i < request.removed.size(); ++i) {
    const std::string& name = request.removed[i];
    if (names.contains(name) || !removed.insert(name).second) {
      bad.Add(absl::StrCat("removed[", i, "]"), "TENSOR_REPEATED", Quoted(name),
              "given before; a tensor is either brought or removed, once");
    }
  }
  if (!bad.empty()) return bad.Take("update");

  plan.model = ModelName(std::move(request.model));
  if (request.base_version) plan.base = Version(*request.base_version);
  plan.label = std::move(request.label);
  plan.id = std::move(request.update_id);
  plan.open_manifest = request.open_manifest || request.tensors.empty();
  plan.removed = std::move(request.removed);
  plan.in_place = request.apply_mode == kApplyInPlace;
  if (request.ttl) plan.ttl = *request.ttl;
  plan.prepared_ttl = request.prepared_ttl;
  return plan;
}

}  // namespace bwrt::runtime
