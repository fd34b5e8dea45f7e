#include "runtime/tuning/tuning_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;
constexpr size_t kMaxTextBytes = 512;
constexpr int64_t kLongest = int64_t{1'000'000} * 1'000'000'000;  // Longer than any wave takes, in nanoseconds.

std::string Key(const DeviceInfo& device) {
  std::string key = absl::StrCat(device.name, "; ", device.description);
  for (const auto& [name, version] : device.versions) absl::StrAppend(&key, "; ", name, " ", version);
  return key;
}

bool Printable(const std::string& text, size_t most) {
  return text.size() <= most && std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

Json ToJson(const TimedTile& tile) {
  const TileShape& s = tile.shape;
  return {{"shape", {s.bm, s.bn, s.bk, s.stage, s.cluster_x, s.cluster_y}},
          {"kernel", tile.kernel},
          {"median_ns", tile.median.count()},
          {"repeats", tile.repeats},
          {"algorithm", tile.algorithm},
          {"first_choice_ns", tile.first_choice.count()}};
}

// Takes checked values out of one object, and remembers whether all of them were good.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object), good_(object.is_object()) {}

  int64_t Integer(const char* name, int64_t least, int64_t most) { return Integer(Value(name), least, most); }
  std::string Text(const char* name) {
    const Json value = Value(name);
    const std::string* text = value.get_ptr<const Json::string_t*>();
    good_ = good_ && text != nullptr && Printable(*text, kMaxTextBytes);
    return good_ ? *text : std::string();
  }
  TileShape Shape(const char* name) {
    const Json value = Value(name);
    TileShape shape;
    int32_t* const to[] = {&shape.bm, &shape.bn, &shape.bk, &shape.stage, &shape.cluster_x, &shape.cluster_y};
    good_ = good_ && value.is_array() && value.size() == std::size(to);
    for (size_t i = 0; good_ && i < std::size(to); ++i) *to[i] = static_cast<int32_t>(Integer(value[i], 1, 1 << 24));
    return shape;
  }
  bool good() const { return good_; }

 private:
  Json Value(const char* name) const { return good_ ? object_.value(name, Json()) : Json(); }
  int64_t Integer(const Json& value, int64_t least, int64_t most) {
    good_ = good_ && value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
    const int64_t number = good_ ? value.get<int64_t>() : 0;
    good_ = good_ && number >= least && number <= most;
    return number;
  }

  const Json& object_;
  bool good_;
};

std::optional<TimedTile> FromJson(const Json& json) {
  Fields fields(json);
  TimedTile tile;
  tile.shape = fields.Shape("shape");
  tile.kernel = fields.Text("kernel");
  tile.median = Duration(fields.Integer("median_ns", 0, kLongest));
  tile.repeats = static_cast<int>(fields.Integer("repeats", 1, 1'000'000));
  tile.algorithm = fields.Text("algorithm");
  tile.first_choice = Duration(fields.Integer("first_choice_ns", 0, kLongest));
  if (!fields.good()) return std::nullopt;
  return tile;
}

// At most one byte more than `most`. Nullopt where there is no file, or none that can be read.
std::optional<std::string> ReadUpTo(const std::string& path, size_t most) {
  struct stat status {};
  // A pipe or a device would block, or never end.
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(most + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

// Nullopt where it is no JSON, or nests deeper than this file ever does: what copies values follows every level.
std::optional<Json> ParseShallow(const std::string& text) {
  constexpr int kDeepest = 8;
  bool deep = false;
  const auto keep = [&deep](int depth, Json::parse_event_t /*event*/, Json& /*parsed*/) {
    deep = deep || depth > kDeepest;
    return !deep;
  };
  Json json = Json::parse(text, keep, /*allow_exceptions=*/false);
  if (deep || json.is_discarded()) return std::nullopt;
  return json;
}

}  // namespace

TuningFile::TuningFile(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  const auto text = ReadUpTo(path_, kMaxBytes);
  if (!text) return;
  const std::string wrong = Parse(*text);
  if (wrong.empty()) return;
  devices_.clear();
  const std::string aside = path_ + ".damaged";
  note_ =
      std::rename(path_.c_str(), aside.c_str()) == 0
          ? absl::StrCat("the tuning table is damaged: ", wrong, "; it was renamed to *.damaged and counts as empty")
          : absl::StrCat("the tuning table is damaged: ", wrong, "; it counts as empty and will be replaced");
}

std::string TuningFile::Parse(const std::string& text) {
  if (text.size() > kMaxBytes) return absl::StrCat("it has more than ", kMaxBytes, " bytes");
  const std::optional<Json> json = ParseShallow(text);
  if (!json || !json->is_object() || json->value("format", Json()) != kFormat)
    return "it is no tuning table of format 1";
  const Json devices = json->value("devices", Json());
  if (!devices.is_object() || devices.size() > kMaxDevices) return "its devices are none, or too many";
  for (const auto& [key, value] : devices.items()) {
    const Json tiles = value.is_object() ? value.value("tiles", Json()) : Json();
    const Json algorithms = value.is_object() ? value.value("algorithms", Json()) : Json();
    if (!tiles.is_object() || !algorithms.is_array() || tiles.size() > kMaxEntries || algorithms.size() > kMaxEntries) {
      return "a device's entries are none, or too many";
    }
    Entries entries;
    for (const auto& [problem, of] : tiles.items()) {
      const auto winner = FromJson(of.is_object() ? of.value("winner", Json()) : Json());
      const auto first = FromJson(of.is_object() ? of.value("first", Json()) : Json());
      if (!winner || !first || !Printable(problem, kMaxProblemBytes)) return "a tile's entry has a bad value";
      entries.tiles[problem] = {*winner, *first};
    }
    for (const Json& algorithm : algorithms) {
      const std::string* line = algorithm.get_ptr<const Json::string_t*>();
      if (line == nullptr || !Printable(*line, Device::kMaxTuningBytes)) return "an algorithm's entry has a bad value";
      entries.algorithms.push_back(*line);
    }
    devices_[key] = std::move(entries);
  }
  return "";
}

std::optional<TuningFile::Tiles> TuningFile::Find(const DeviceInfo& device, const std::string& problem) const {
  const auto of = devices_.find(Key(device));
  if (of == devices_.end()) return std::nullopt;
  const auto at = of->second.tiles.find(problem);
  if (at == of->second.tiles.end()) return std::nullopt;
  return at->second;
}

std::vector<std::string> TuningFile::Algorithms(const DeviceInfo& device) const {
  const auto of = devices_.find(Key(device));
  return of == devices_.end() ? std::vector<std::string>() : of->second.algorithms;
}

TuningFile::Entries* TuningFile::Of(const DeviceInfo& device) {
  std::string key = Key(device);
  const auto at = devices_.find(key);
  if (at != devices_.end()) return &at->second;
  if (devices_.size() >= kMaxDevices) return nullptr;
  return &devices_[std::move(key)];
}

void TuningFile::Put(const DeviceInfo& device, const std::string& problem, const Tiles& tiles) {
  Entries* const of = Of(device);
  if (of == nullptr || (of->tiles.size() >= kMaxEntries && of->tiles.find(problem) == of->tiles.end())) return;
  of->tiles[problem] = tiles;
}

void TuningFile::PutAlgorithms(const DeviceInfo& device, std::vector<std::string> algorithms) {
  Entries* const of = Of(device);
  if (of == nullptr) return;
  if (algorithms.size() > kMaxEntries) algorithms.resize(kMaxEntries);
  of->algorithms = std::move(algorithms);
}

absl::Status TuningFile::Save() const {
  if (path_.empty()) return absl::OkStatus();
  Json devices = Json::object();
  for (const auto& [key, entries] : devices_) {
    Json tiles = Json::object();
    for (const auto& [problem, of] : entries.tiles) {
      tiles[problem] = {{"winner", ToJson(of.winner)}, {"first", ToJson(of.first)}};
    }
    devices[key] = {{"tiles", std::move(tiles)}, {"algorithms", entries.algorithms}};
  }
  const std::string draft = path_ + ".tmp";
  {
    std::ofstream file(draft, std::ios::trunc);
    // Names come from drivers: whatever they hold is written.
    file << Json({{"format", kFormat}, {"devices", std::move(devices)}})
                .dump(1, ' ', false, Json::error_handler_t::replace)
         << '\n';
    file.flush();
    if (!file) return absl::UnavailableError("the tuning table can't be written to the state directory");
  }
  if (std::rename(draft.c_str(), path_.c_str()) != 0) {
    return absl::UnavailableError("the tuning table can't be renamed in the state directory");
  }
  return absl::OkStatus();
}

}  // namespace bwrt::runtime
