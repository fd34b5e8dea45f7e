#include "client/bench_artifact.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/dtype.h"
#include "client/file.h"
#include "client/json_value.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

using Json = nlohmann::ordered_json;
using Kind = JsonValue::Kind;

constexpr size_t kMaxViolations = 100;
constexpr size_t kMaxFileBytes = size_t{16} << 20;
constexpr size_t kMaxCases = 10'000;
constexpr size_t kMaxRounds = 10'000;
constexpr size_t kMaxPairs = 1000;
constexpr size_t kMaxText = 1000;
constexpr size_t kMaxName = 100;  // Has to fit a legend.
// Whole in a double, so that sums and ratios of counts are.
constexpr int64_t kMaxCount = int64_t{1} << 53;
constexpr double kMaxNumber = 1e18;

// Reads an artifact and gathers what is wrong with it. After a violation, values read are placeholders.
class Reader {
 public:
  absl::StatusOr<BenchArtifact> Read(const JsonValue& json) {
    if (absl::Status status = CheckFormat(json); !status.ok()) return status;
    BenchArtifact artifact;
    Created(json, &artifact.created);
    if (const JsonValue* machine = Object(json, "", "machine")) {
      artifact.machine.cpu = Text(*machine, "machine", "cpu", kMaxText);
      artifact.machine.cores = Count(*machine, "machine", "cores", 1);
      artifact.machine.memory_bytes = Count(*machine, "machine", "memory_bytes", 0);
      artifact.machine.kernel = Text(*machine, "machine", "kernel", kMaxText);
    }
    if (const JsonValue* build = Object(json, "", "build")) {
      artifact.build.version = Text(*build, "build", "version", kMaxText);
      artifact.build.compiler = Text(*build, "build", "compiler", kMaxText);
      artifact.build.mode = Text(*build, "build", "mode", kMaxText);
    }
    artifact.libraries = Pairs(json, "libraries");
    artifact.flags = Pairs(json, "flags");
    artifact.sync_every = Count(json, "", "sync_every", 0);
    artifact.warmup_waves = Count(json, "", "warmup_waves", 0);
    artifact.cases = Cases(json);
    if (violations_.empty()) return artifact;
    std::string message = absl::StrCat("the artifact has ", violations_.size(), Full() ? " or more" : "", " bad field",
                                       violations_.size() == 1 ? "" : "s");
    return InvalidFields(message, std::move(violations_));
  }

 private:
  bool Full() const { return violations_.size() >= kMaxViolations; }

  void Violate(const std::string& path, absl::string_view reason, absl::string_view description) {
    if (!Full()) violations_.push_back({path, std::string(reason), absl::StrCat(path, description)});
  }

  // What is not an artifact of ours at all deserves one sentence, not a list.
  static absl::Status CheckFormat(const JsonValue& json) {
    const JsonValue* format = json.kind == Kind::kObject ? json.Find("format") : nullptr;
    if (format == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("format: missing, so this is no benchmark artifact; `bwrtctl bench --out FILE` writes one with "
                       "\"format\": \"",
                       kBenchFormat, "\""));
    }
    if (format->kind != Kind::kString || format->text != kBenchFormat) {
      return absl::InvalidArgumentError(absl::StrCat("format=", format->Describe(), ": must be \"", kBenchFormat,
                                                     "\", as `bwrtctl bench --out FILE` writes it"));
    }
    const JsonValue* version = json.Find("version");
    if (version == nullptr || version->kind != Kind::kInteger || version->integer != kBenchVersion) {
      return absl::InvalidArgumentError(absl::StrCat("version=", version == nullptr ? "" : version->Describe(),
                                                     ": this bwrtctl reads version ", kBenchVersion,
                                                     "; measure again with it, or use the bwrtctl that wrote the "
                                                     "file"));
    }
    return absl::OkStatus();
  }

  static std::string Path(const std::string& path, absl::string_view name) {
    return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
  }

  // The member, or null with a violation.
  const JsonValue* Member(const JsonValue& object, const std::string& path, absl::string_view name) {
    const JsonValue* value = object.Find(name);
    if (value == nullptr) Violate(Path(path, name), "MISSING", ": missing");
    return value;
  }

  const JsonValue* MemberOfKind(const JsonValue& object, const std::string& path, absl::string_view name, Kind kind,
                                absl::string_view expected) {
    const JsonValue* value = Member(object, path, name);
    if (value == nullptr || value->kind == kind) return value;
    Violate(Path(path, name), "WRONG_TYPE", absl::StrCat("=", value->Describe(), ": must be ", expected));
    return nullptr;
  }

  const JsonValue* Object(const JsonValue& object, const std::string& path, absl::string_view name) {
    return MemberOfKind(object, path, name, Kind::kObject, "an object");
  }

  // The items, or null with a violation.
  const std::vector<JsonValue>* List(const JsonValue& object, const std::string& path, absl::string_view name,
                                     size_t limit) {
    const JsonValue* value = MemberOfKind(object, path, name, Kind::kArray, "a list");
    if (value == nullptr || value->items.size() <= limit) return value == nullptr ? nullptr : &value->items;
    Violate(Path(path, name), "OUT_OF_RANGE", absl::StrCat(" has ", value->items.size(), " items: at most ", limit));
    return nullptr;
  }

  std::string Text(const JsonValue& object, const std::string& path, absl::string_view name, size_t limit) {
    const JsonValue* value = MemberOfKind(object, path, name, Kind::kString, "a string");
    if (value == nullptr) return "";
    if (value->text.size() <= limit) return value->text;
    Violate(Path(path, name), "OUT_OF_RANGE", absl::StrCat(" has ", value->text.size(), " bytes: at most ", limit));
    return "";
  }

  int64_t Count(const JsonValue& object, const std::string& path, absl::string_view name, int64_t least) {
    const JsonValue* value = Member(object, path, name);
    if (value == nullptr) return least;
    if (value->kind == Kind::kInteger && value->integer >= least && value->integer <= kMaxCount) return value->integer;
    Violate(Path(path, name), "OUT_OF_RANGE",
            absl::StrCat("=", value->Describe(), ": must be an integer from ", least, " to ", kMaxCount));
    return least;
  }

  // Positive, unless zero is allowed.
  double Number(const JsonValue& object, const std::string& path, absl::string_view name, bool zero) {
    const JsonValue* value = Member(object, path, name);
    if (value == nullptr) return 1;
    double number = -1;
    if (value->kind == Kind::kInteger) number = static_cast<double>(value->integer);
    if (value->kind == Kind::kNumber && !absl::SimpleAtod(value->text, &number)) number = -1;
    if ((zero ? number >= 0 : number > 0) && number <= kMaxNumber) return number;
    Violate(
        Path(path, name), "OUT_OF_RANGE",
        absl::StrCat("=", value->Describe(), ": must be a number ", zero ? "from 0" : "above 0", " to ", kMaxNumber));
    return 1;
  }

  void Created(const JsonValue& json, absl::Time* created) {
    const size_t before = violations_.size();
    const std::string text = Text(json, "", "created", kMaxText);
    if (violations_.size() != before) return;
    // The parser also knows "infinite-future".
    std::string error;
    if (absl::ParseTime(absl::RFC3339_full, text, created, &error) && *created < absl::InfiniteFuture() &&
        *created > absl::InfinitePast()) {
      return;
    }
    Violate("created", "WRONG_TYPE", absl::StrCat("=\"", text.substr(0, 40), "\": must be a time as in RFC 3339"));
  }

  std::map<std::string, std::string> Pairs(const JsonValue& json, const std::string& name) {
    std::map<std::string, std::string> pairs;
    const JsonValue* object = Object(json, "", name);
    if (object == nullptr) return pairs;
    if (object->members.size() > kMaxPairs) {
      Violate(name, "OUT_OF_RANGE", absl::StrCat(" has ", object->members.size(), " members: at most ", kMaxPairs));
      return pairs;
    }
    for (const auto& [key, value] : object->members) {
      if (key.size() > kMaxName) {
        Violate(name, "OUT_OF_RANGE", absl::StrCat(" has a key of ", key.size(), " bytes: at most ", kMaxName));
      } else {
        pairs[key] = Text(*object, name, key, kMaxText);
      }
    }
    return pairs;
  }

  BenchSpec Spec(const JsonValue& json, const std::string& path) {
    BenchSpec spec;
    spec.m = Count(json, path, "m", 1);
    spec.n = Count(json, path, "n", 1);
    spec.k = Count(json, path, "k", 1);
    spec.bm = Count(json, path, "bm", 1);
    spec.bn = Count(json, path, "bn", 1);
    spec.bk = Count(json, path, "bk", 1);
    const size_t before = violations_.size();
    const std::string dtype = Text(json, path, "dtype", kMaxName);
    if (const auto parsed = ParseDType(dtype); parsed.has_value()) {
      spec.dtype = *parsed;
    } else if (violations_.size() == before) {
      Violate(path + ".dtype", "OUT_OF_RANGE", absl::StrCat("=\"", dtype, "\": must be f32, f16 or bf16"));
    }
    return spec;
  }

  std::vector<BenchRound> Rounds(const JsonValue& json, const std::string& path) {
    std::vector<BenchRound> rounds;
    const auto* items = List(json, path, "rounds", kMaxRounds);
    for (size_t i = 0; items != nullptr && i < items->size() && !Full(); ++i) {
      const std::string round = absl::StrCat(path, ".rounds[", i, "]");
      rounds.push_back({.waves = Count((*items)[i], round, "waves", 1),
                        .seconds = Number((*items)[i], round, "seconds", /*zero=*/false)});
    }
    return rounds;
  }

  BenchCase Case(const JsonValue& json, const std::string& path) {
    BenchCase read;
    read.name = Text(json, path, "name", kMaxName);
    if (const JsonValue* spec = Object(json, path, "spec")) read.spec = Spec(*spec, path + ".spec");
    read.in_flight = Count(json, path, "in_flight", 1);
    read.waves = Count(json, path, "waves", 1);
    read.seconds = Number(json, path, "seconds", /*zero=*/false);
    read.waves_per_second = Number(json, path, "waves_per_second", /*zero=*/false);
    read.gflops = Number(json, path, "gflops", /*zero=*/true);
    read.p50_us = Number(json, path, "p50_us", /*zero=*/true);
    read.p99_us = Number(json, path, "p99_us", /*zero=*/true);
    if (json.Find("refused") != nullptr) read.refused = Count(json, path, "refused", 0);
    read.rounds = Rounds(json, path);
    return read;
  }

  std::vector<BenchCase> Cases(const JsonValue& json) {
    std::vector<BenchCase> cases;
    const auto* items = List(json, "", "cases", kMaxCases);
    if (items != nullptr && items->empty()) Violate("cases", "OUT_OF_RANGE", " is empty: nothing was measured");
    std::set<std::pair<std::string, int64_t>> seen;
    for (size_t i = 0; items != nullptr && i < items->size() && !Full(); ++i) {
      const std::string path = absl::StrCat("cases[", i, "]");
      cases.push_back(Case((*items)[i], path));
      if (!seen.emplace(cases.back().name, cases.back().in_flight).second) {
        Violate(
            path, "DUPLICATE",
            absl::StrCat(": \"", cases.back().name, "\" with in_flight=", cases.back().in_flight, " is there twice"));
      }
    }
    return cases;
  }

  std::vector<FieldViolation> violations_;
};

Json Encode(const BenchCase& measured) {
  Json spec;
  spec["m"] = measured.spec.m;
  spec["n"] = measured.spec.n;
  spec["k"] = measured.spec.k;
  spec["bm"] = measured.spec.bm;
  spec["bn"] = measured.spec.bn;
  spec["bk"] = measured.spec.bk;
  spec["dtype"] = std::string(DTypeName(measured.spec.dtype));
  Json json;
  json["name"] = measured.name;
  json["spec"] = std::move(spec);
  json["in_flight"] = measured.in_flight;
  json["waves"] = measured.waves;
  json["seconds"] = measured.seconds;
  json["waves_per_second"] = measured.waves_per_second;
  json["gflops"] = measured.gflops;
  json["p50_us"] = measured.p50_us;
  json["p99_us"] = measured.p99_us;
  json["refused"] = measured.refused;
  json["rounds"] = Json::array();
  for (const BenchRound& round : measured.rounds) {
    json["rounds"].push_back({{"waves", round.waves}, {"seconds", round.seconds}});
  }
  return json;
}

// A map without members would else be null.
Json Encode(const std::map<std::string, std::string>& pairs) {
  Json json = Json::object();
  for (const auto& [key, value] : pairs) json[key] = value;
  return json;
}

}  // namespace

std::string EncodeBenchArtifact(const BenchArtifact& artifact) {
  Json json;
  json["format"] = std::string(kBenchFormat);
  json["version"] = kBenchVersion;
  json["created"] = absl::FormatTime(absl::RFC3339_full, artifact.created, absl::UTCTimeZone());
  json["machine"] = {{"cpu", artifact.machine.cpu},
                     {"cores", artifact.machine.cores},
                     {"memory_bytes", artifact.machine.memory_bytes},
                     {"kernel", artifact.machine.kernel}};
  json["build"] = {
      {"version", artifact.build.version}, {"compiler", artifact.build.compiler}, {"mode", artifact.build.mode}};
  json["libraries"] = Encode(artifact.libraries);
  json["flags"] = Encode(artifact.flags);
  json["sync_every"] = artifact.sync_every;
  json["warmup_waves"] = artifact.warmup_waves;
  json["cases"] = Json::array();
  for (const BenchCase& measured : artifact.cases) json["cases"].push_back(Encode(measured));
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<BenchArtifact> DecodeBenchArtifact(absl::string_view json) {
  const auto value = ParseJson(json);
  if (!value.ok()) return value.status();
  return Reader().Read(*value);
}

absl::StatusOr<BenchArtifact> ReadBenchArtifact(const std::string& path) {
  const auto text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status();
  auto artifact = DecodeBenchArtifact(*text);
  if (artifact.ok()) return artifact;
  absl::Status named(artifact.status().code(), absl::StrCat(path, ": ", artifact.status().message()));
  artifact.status().ForEachPayload(
      [&named](absl::string_view url, const absl::Cord& payload) { named.SetPayload(url, payload); });
  return named;
}

}  // namespace bwrt::client
