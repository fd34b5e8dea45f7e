// Shorthands for what tests ask of an error's details. Pure functions.
#ifndef BWRT_TESTS_SUPPORT_ERROR_DETAILS_H_
#define BWRT_TESTS_SUPPORT_ERROR_DETAILS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/error.h"

namespace bwrt::runtime {

// {field, reason} of every violation, in the order given.
inline std::vector<std::pair<std::string, std::string>> ViolationsOf(const absl::Status& status) {
  std::vector<std::pair<std::string, std::string>> violations;
  if (const auto details = GetDetails(status)) {
    for (const FieldViolation& v : details->fields) violations.emplace_back(v.field, v.reason);
  }
  return violations;
}

// The description of the first violation of `field`; empty when there is none.
inline std::string DescriptionOf(const absl::Status& status, absl::string_view field) {
  if (const auto details = GetDetails(status)) {
    for (const FieldViolation& v : details->fields) {
      if (v.field == field) return v.description;
    }
  }
  return "";
}

// The value of `key` in the metadata; "(none)" when it is not there.
inline std::string MetadataOf(const absl::Status& status, absl::string_view key) {
  if (const auto details = GetDetails(status)) {
    for (const auto& [name, value] : details->metadata) {
      if (name == key) return value;
    }
  }
  return "(none)";
}

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_SUPPORT_ERROR_DETAILS_H_
