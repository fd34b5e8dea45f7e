#include "client/commands/verify_output.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "client/matrix_rect.h"
#include "client/wave_draft.h"

namespace bwrt::client {

std::string FirstDifference(const VerifyMismatch& mismatch) {
  const VerifyFinding& finding = mismatch.finding;
  if (!finding.first || !finding.around) return "";
  const ElementPair values = ValuesAt(*finding.around, OutputDTypeOf(mismatch.of.draft.request), *finding.first);
  return absl::StrFormat("row %d, column %d: the reference has %.9g, the device %.9g", finding.first->row,
                         finding.first->column, values.reference, values.device);
}

Json VerifyReportJson(const VerifyOptions& options, const VerifyReport& report, const std::string& bundle) {
  Json json;
  json["device"] = options.device;
  json["ref_device"] = options.ref_device;
  json["seed"] = options.seed;
  json["waves"] = report.waves;
  json["compared"] = report.compared;
  json["exact"] = report.exact;
  json["not_compared"] = report.not_compared;
  json["mismatches"] = report.mismatches;
  json["worst_rel_error"] = Json::object();
  json["tolerance"] = Json::object();
  for (const auto& [dtype, error] : report.errors) {
    json["worst_rel_error"][dtype] = error.worst;
    json["tolerance"][dtype] = error.tolerance;
  }
  json["swaps"] = report.swaps;
  json["swaps_refused"] = report.swaps_refused;
  json["seconds"] = report.seconds;
  if (options.region) json["region"] = FormatMatrixRect(*options.region);
  if (report.first_mismatch) {
    const VerifyMismatch& mismatch = *report.first_mismatch;
    Json first;
    first["wave"] = mismatch.of.wave;
    first["mismatch"] = mismatch.finding.mismatch;
    if (mismatch.finding.first) {
      first["row"] = mismatch.finding.first->row;
      first["column"] = mismatch.finding.first->column;
    }
    json["first_mismatch"] = std::move(first);
  }
  if (!bundle.empty()) json["bundle"] = bundle;
  return json;
}

void PrintVerifyReport(const VerifyOptions& options, const VerifyReport& report, std::ostream& out) {
  const bool agrees = report.mismatches == 0 && report.compared != 0;
  out << (agrees                   ? "verified "
          : report.mismatches == 0 ? "NOT COMPARED "
                                   : "WRONG ")
      << options.device << " against " << options.ref_device << ": " << report.waves << " waves in "
      << FormatSeconds(report.seconds) << ", " << report.compared << " compared, " << report.exact
      << " of them bit-equal, " << report.mismatches << " wrong; seed " << options.seed << ", " << report.swaps
      << " swaps of weights\n";
  for (const auto& [dtype, error] : report.errors) {
    out << absl::StreamFormat("  %-4s worst tile %.2g, allowed %.0e\n", dtype, error.worst, error.tolerance);
  }
  if (report.not_compared != 0) {
    out << "  " << report.not_compared << " waves not compared: nothing of their C is in the region\n";
  }
  if (report.swaps_refused != 0) out << "  " << report.swaps_refused << " swaps refused by the daemon's policy\n";
  out << std::flush;
}

}  // namespace bwrt::client
