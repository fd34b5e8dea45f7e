// What bwrtctl verify found, for people and in JSON.
//
// Free functions; thread-safe.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "client/commands/output.h"
#include "client/verifier.h"

namespace bwrt::client {

// "row 3, column 5: the reference has 1.5, the device 2", or nothing.
std::string FirstDifference(const VerifyMismatch& mismatch);

// `bundle` is where the first mismatch's was left; empty where none was.
Json VerifyReportJson(const VerifyOptions& options, const VerifyReport& report, const std::string& bundle);

void PrintVerifyReport(const VerifyOptions& options, const VerifyReport& report, std::ostream& out);

}  // namespace bwrt::client
