#include "runtime/offload/calibration_file.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;

std::string Key(const DeviceInfo& device) {
  std::string key = absl::StrCat(device.name, "; ", device.description);
  for (const auto& [name, version] : device.versions) absl::StrAppend(&key, "; ", name, " ", version);
  return key;
}

Json ToJson(const DeviceCosts& costs) {
  return {{"fixed", costs.fixed},
          {"per_flop", costs.per_flop},
          {"per_weight_byte", costs.per_weight_byte},
          {"per_operand_byte", costs.per_operand_byte},
          {"per_load_byte", costs.per_load_byte}};
}

std::optional<double> Cost(const Json& json) {
  if (!json.is_number()) return std::nullopt;
  const double cost = json.get<double>();
  if (!std::isfinite(cost) || cost < 0) return std::nullopt;
  return cost;
}

std::optional<DeviceCosts> FromJson(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  DeviceCosts costs;
  for (const auto& [name, to] :
       {std::pair("fixed", &costs.fixed), std::pair("per_weight_byte", &costs.per_weight_byte),
        std::pair("per_operand_byte", &costs.per_operand_byte), std::pair("per_load_byte", &costs.per_load_byte)}) {
    const auto cost = Cost(json.value(name, Json()));
    if (!cost) return std::nullopt;
    *to = *cost;
  }
  const Json per_flop = json.value("per_flop", Json());
  if (!per_flop.is_array() || per_flop.size() != costs.per_flop.size()) return std::nullopt;
  for (size_t i = 0; i < costs.per_flop.size(); ++i) {
    const auto cost = Cost(per_flop[i]);
    if (!cost) return std::nullopt;
    costs.per_flop[i] = *cost;
  }
  return costs;
}

}  // namespace

CalibrationFile::CalibrationFile(std::string path) : path_(std::move(path)) {
  std::ifstream file(path_);
  std::stringstream text;
  text << file.rdbuf();
  const Json json = Json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.value("format", Json()) != kFormat || !json.value("devices", Json()).is_object())
    return;
  for (const auto& [key, value] : json["devices"].items()) {
    if (const auto costs = FromJson(value)) costs_[key] = *costs;
  }
}

std::optional<DeviceCosts> CalibrationFile::Find(const DeviceInfo& device) const {
  const auto it = costs_.find(Key(device));
  if (it == costs_.end()) return std::nullopt;
  return it->second;
}

absl::Status CalibrationFile::Save(const DeviceInfo& device, const DeviceCosts& costs) {
  costs_[Key(device)] = costs;
  Json devices = Json::object();
  for (const auto& [key, value] : costs_) devices[key] = ToJson(value);
  const std::string draft = path_ + ".tmp";
  {
    std::ofstream file(draft, std::ios::trunc);
    // Names come from drivers: whatever they hold is written.
    file << Json({{"format", kFormat}, {"devices", std::move(devices)}})
                .dump(1, ' ', false, Json::error_handler_t::replace)
         << '\n';
    file.flush();
    if (!file) return absl::UnavailableError("the calibration can't be written to the state directory");
  }
  if (std::rename(draft.c_str(), path_.c_str()) != 0) {
    return absl::UnavailableError("the calibration can't be renamed in the state directory");
  }
  return absl::OkStatus();
}

}  // namespace bwrt::runtime
