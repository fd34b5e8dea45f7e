#include "client/commands/explained_wave.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/file.h"
#include "client/json_value.h"
#include "client/plan.h"

namespace bwrt::client {
namespace {

using Kind = JsonValue::Kind;

// A parsed value takes some fifty times its text in memory.
constexpr size_t kMaxFileBytes = size_t{64} << 20;
constexpr int64_t kDefaultK = 512;

// The first item of a list, or the value itself; null where there is none.
const JsonValue* FirstOf(const JsonValue* value) {
  if (value == nullptr || value->kind != Kind::kArray) return value;
  return value->items.empty() ? nullptr : &value->items[0];
}

// A planner's wave and a WaveSpec share their names, but a planner writes pairs and triples as lists where proto JSON
// has objects, and it knows neither camelCase nor the fields that are ours alone.
bool LooksLikeSpec(const JsonValue& json) {
  if (json.kind != Kind::kObject) return false;
  bool like_spec = false;
  for (const char* name : {"tile_order", "io_extents", "cluster_shape"}) {
    const JsonValue* value = json.Find(name);
    const JsonValue* first = FirstOf(value);
    if (first == nullptr) continue;
    // A list of lists, or a pair.
    if (first->kind == Kind::kArray || (first->kind == Kind::kInteger && value->kind == Kind::kArray)) return false;
    like_spec = like_spec || first->kind == Kind::kObject;
  }
  const google::protobuf::Descriptor* spec = WaveSpec::descriptor();
  for (const auto& [key, value] : json.members) {
    const google::protobuf::FieldDescriptor* field = spec->FindFieldByName(key);
    if (field != nullptr && field->number() > WaveSpec::kTileOrderFlatFieldNumber) like_spec = true;
    if (field == nullptr && spec->FindFieldByCamelcaseName(key) != nullptr) like_spec = true;
  }
  return like_spec;
}

absl::Status FromJson(const std::string& path, const std::string& text, google::protobuf::Message* message) {
  const auto status = google::protobuf::util::JsonStringToMessage(text, message);
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, ": no ", message->GetDescriptor()->full_name(), ": ",
                                                 absl::string_view(status.message().data(), status.message().size())));
}

absl::Status ReadPlanned(const ExplainFlags& flags, const JsonValue& json, ExplainedWave* wave) {
  auto plan = ParsePlan(json);
  if (!plan.ok()) return plan.status();
  if (plan->waves.empty()) return absl::InvalidArgumentError(absl::StrCat(flags.spec, ": holds no wave"));
  const uint64_t index = flags.wave.value_or(0);
  if (index >= plan->waves.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--wave=", index, ": ", flags.spec, " has the waves 0 to ", plan->waves.size() - 1));
  }
  wave->name = plan->waves[index].path;
  wave->ignored_keys = std::move(plan->ignored_keys);
  *wave->request.mutable_spec() = std::move(plan->waves[index].spec);
  return absl::OkStatus();
}

// Dimensions nobody stated: the smallest grid that holds every listed tile.
void FillDimensions(const ExplainFlags& flags, v1::SubmitWaveRequest* request) {
  const WaveSpec& spec = request->spec();
  int64_t max_row = 0, max_col = 0;
  for (const TileCoord& tile : spec.tile_order()) {
    max_row = std::max<int64_t>(max_row, tile.m());
    max_col = std::max<int64_t>(max_col, tile.n());
  }
  for (const uint32_t tile : spec.tile_order_flat()) {
    max_row = std::max<int64_t>(max_row, tile >> 16);
    max_col = std::max<int64_t>(max_col, tile & 0xffff);
  }
  const auto choose = [](const std::optional<int64_t>& flag, int64_t stated, int64_t smallest) {
    return flag.value_or(stated != 0 ? stated : smallest);
  };
  // At most 2^31 * 2^31: no overflow.
  request->set_m(choose(flags.m, request->m(), (max_row + 1) * spec.bm()));
  request->set_n(choose(flags.n, request->n(), (max_col + 1) * spec.bn()));
  request->set_k(choose(flags.k, request->k(), kDefaultK));
}

}  // namespace

absl::StatusOr<ExplainedWave> ReadSpecWave(const ExplainFlags& flags) {
  const auto text = ReadFile(flags.spec, kMaxFileBytes);
  if (!text.ok()) return text.status();
  const auto json = ParseJson(*text);
  if (!json.ok()) return absl::Status(json.status().code(), absl::StrCat(flags.spec, ": ", json.status().message()));
  const bool is_spec = LooksLikeSpec(*json);
  const bool is_plan = !is_spec && LooksLikePlan(*json);
  if (!is_plan && flags.wave.value_or(0) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("--wave=", *flags.wave, ": ", flags.spec, " is no plan"));
  }
  ExplainedWave wave{.name = is_spec ? "spec" : "wave"};
  const absl::Status status = is_spec   ? FromJson(flags.spec, *text, wave.request.mutable_spec())
                              : is_plan ? ReadPlanned(flags, *json, &wave)
                                        : FromJson(flags.spec, *text, &wave.request);
  if (!status.ok()) return status;
  FillDimensions(flags, &wave.request);
  return wave;
}

absl::StatusOr<ExplainedWave> ReadExplainedWave(const ExplainFlags& flags) {
  auto wave = ReadSpecWave(flags);
  if (!wave.ok()) return wave;
  wave->request.clear_a();
  wave->request.clear_w();
  wave->request.clear_c();
  return wave;
}

}  // namespace bwrt::client
