// How bwrtctl writes: JSON objects of one line each, and aligned tables for people.
//
// Free functions and values; thread-safe apart from the streams.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json_fwd.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bwrt/v1/telemetry.pb.h"
#include "client/format.h"

namespace bwrt::client {

using Json = nlohmann::ordered_json;

// The message in proto JSON: field names as in the proto, 64-bit integers as strings, defaults
// included.
Json ToJson(const google::protobuf::Message& message);

// {"error": {"code", "reason", "message", "violations": [{"field", "reason", "description"}]}}.
Json ErrorJson(const absl::Status& status);

// One line.
void PrintJson(const Json& json, std::ostream& out);

// Columns as wide as their widest cell; the first row is the head.
class Table {
 public:
  explicit Table(std::vector<std::string> head) { Add(std::move(head)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void Print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Names are the clients' own: a control character in one must not reach a terminal.
std::string Printable(std::string text);

// A table of what the readings hold.
void PrintReadings(const v1::Readings& readings, std::ostream& out);
void PrintSample(const v1::SampleResponse& sample, std::ostream& out);

}  // namespace bwrt::client
