#include "client/commands/output.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/status.h"

namespace bwrt::client {

std::string Printable(std::string text) {
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return text;
}

Json ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return Json();
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

Json ErrorJson(const absl::Status& status) {
  const ErrorDetails details = DetailsOf(status);
  Json violations = Json::array();
  for (const FieldViolation& violation : details.field_violations) {
    violations.push_back(
        {{"field", violation.field}, {"reason", violation.reason}, {"description", violation.description}});
  }
  for (const PreconditionViolation& violation : details.precondition_violations) {
    violations.push_back(
        {{"field", violation.subject}, {"reason", violation.type}, {"description", violation.description}});
  }
  Json error;
  error["code"] = absl::StatusCodeToString(status.code());
  error["reason"] = details.reason;
  error["message"] = std::string(status.message());
  error["violations"] = std::move(violations);
  Json json;
  json["error"] = std::move(error);
  return json;
}

void PrintJson(const Json& json, std::ostream& out) {
  // Bytes that are no UTF-8 would otherwise throw.
  out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
}

void Table::Print(std::ostream& out) const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&line, Printable(row[i]));
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    out << absl::StripTrailingAsciiWhitespace(line) << '\n';
  }
  out << std::flush;
}

void PrintReadings(const v1::Readings& readings, std::ostream& out) {
  Table table({"METRIC", "RATIO", "SOURCE"});
  const auto add = [&table](absl::string_view name, bool present, const v1::Reading& reading) {
    if (!present) return;
    table.Add({std::string(name), absl::StrFormat("%.1f %%", 100 * reading.ratio()),
               absl::AsciiStrToLower(v1::Source_Name(reading.source()))});
  };
  add("wgmma_active", readings.has_wgmma_active(), readings.wgmma_active());
  // The source tells it from the kernel's.
  add("wgmma_active", readings.has_wgmma_active_hardware(), readings.wgmma_active_hardware());
  add("tma_occ", readings.has_tma_occ(), readings.tma_occ());
  add("l2_hit", readings.has_l2_hit(), readings.l2_hit());
  // The source tells it from the model's.
  add("l2_hit", readings.has_l2_hit_hardware(), readings.l2_hit_hardware());
  add("llc_hit", readings.has_llc_hit_hardware(), readings.llc_hit_hardware());
  add("ring_occ", readings.has_ring_occ(), readings.ring_occ());
  add("sm_active", readings.has_sm_active(), readings.sm_active());
  add("dram_throughput", readings.has_dram_throughput(), readings.dram_throughput());
  table.Print(out);
}

void PrintSample(const v1::SampleResponse& sample, std::ostream& out) {
  out << "sample of " << Printable(sample.device()) << " over " << sample.waves() << " waves, "
      << FormatSeconds(sample.compute_seconds()) << " of compute\n";
  // Before the first wave there may still be those of a GPU's counters.
  if (sample.waves() == 0 && sample.readings().ByteSizeLong() == 0) return;
  PrintReadings(sample.readings(), out);
  for (const v1::Advice& advice : sample.advice()) {
    out << "advice: " << Printable(advice.metric()) << ": " << Printable(advice.text()) << '\n';
  }
  out << std::flush;
}

}  // namespace bwrt::client
