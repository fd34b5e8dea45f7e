// Kinds of command-line flags that several commands have.
//
// Free functions, used while RunCli builds its parser; the variables they fill must outlive the
// parse.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/dtype.h"
#include "google/protobuf/duration.pb.h"

namespace bwrt::client {

// A positive duration, such as "30s" or "100ms". `Value` is absl::Duration or an optional one.
template <class Value>
CLI::Option* AddDuration(CLI::App& app, const std::string& name, Value* value, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [value](const std::string& text) {
            absl::Duration parsed;
            if (absl::ParseDuration(text, &parsed)) *value = parsed;
          },
          help)
      ->check([](const std::string& text) -> std::string {
        absl::Duration parsed;
        if (absl::ParseDuration(text, &parsed) && parsed > absl::ZeroDuration()) return "";
        return text + ": must be a positive duration, such as 30s or 100ms";
      })
      ->type_name("DURATION");
}

// The name of an element type.
inline CLI::Option* AddDType(CLI::App& app, const std::string& name, DType* value, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name, [value](const std::string& text) { *value = ParseDType(text).value_or(DTYPE_UNSPECIFIED); }, help)
      ->check([](const std::string& text) -> std::string {
        return ParseDType(text).has_value() ? "" : text + ": must be f32, f16, bf16, f8_e4m3 or f8_e5m2";
      })
      ->type_name("DTYPE");
}

// A check for counts and versions: the parser itself would wrap a negative number around.
inline std::string CheckUnsigned(const std::string& text) {
  uint64_t value = 0;
  return absl::SimpleAtoi(text, &value) ? "" : text + ": must be an integer from 0 to 2^64 - 1";
}

// One of a few words, in either case, such as {"wait", WAIT_FOR_WINDOW}.
template <class Value>
CLI::Option* AddChoice(CLI::App& app, const std::string& name, Value* value,
                       const std::vector<std::pair<std::string, Value>>& choices, const std::string& help) {
  std::string words;
  for (const auto& [word, meaning] : choices) words += (words.empty() ? "" : "|") + word;
  return app
      .add_option_function<std::string>(
          name,
          [value, choices](const std::string& text) {
            for (const auto& [word, meaning] : choices) {
              if (absl::EqualsIgnoreCase(word, text)) *value = meaning;
            }
          },
          help)
      ->check([choices, words](const std::string& text) -> std::string {
        for (const auto& [word, meaning] : choices) {
          if (absl::EqualsIgnoreCase(word, text)) return "";
        }
        return text + ": must be one of " + words;
      })
      ->type_name(words);
}

// Refuses, while the command line is parsed, what makes no sense beside `chosen`.
inline void RefuseBeside(const CLI::Option* chosen, const std::vector<CLI::Option*>& others) {
  if (chosen->count() == 0) return;
  for (const CLI::Option* other : others) {
    if (other->count() > 0) throw CLI::ExcludesError(chosen->get_name(), other->get_name());
  }
}

// "X,Y": two integers from 0 up.
inline bool ParsePair(const std::string& text, std::pair<int32_t, int32_t>* value) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ',');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &value->first) && absl::SimpleAtoi(parts[1], &value->second) &&
         value->first >= 0 && value->second >= 0;
}

inline std::string CheckPair(const std::string& text) {
  std::pair<int32_t, int32_t> pair;
  return ParsePair(text, &pair) ? "" : text + ": must be two integers, such as 2,1";
}

inline google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::ToInt64Seconds(duration));
  proto.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(duration - absl::Seconds(absl::ToInt64Seconds(duration)))));
  return proto;
}

}  // namespace bwrt::client
