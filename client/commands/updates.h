// Updates as bwrtctl shows them to people.
//
// Free functions; thread-safe apart from the streams.
#pragma once

#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "bwrt/v1/weights.pb.h"

namespace bwrt::client {

// "open", "prepared", ...
std::string StateName(v1::UpdateState state);

// 0 where no time has passed.
double BytesPerSecond(uint64_t bytes, double seconds);

// "12.0 MiB in 1.23 s (9.8 MiB/s)".
std::string FormatTransfer(uint64_t bytes, double seconds);

// A table of all updates.
void PrintUpdates(const v1::ListUpdatesResponse& updates, std::ostream& out);

// One update, and what is missing of it.
void PrintUpdate(const v1::GetUpdateResponse& update, std::ostream& out);

// "MODEL: version 6 -> 7".
void PrintSwap(const std::string& model, uint64_t previous_version, uint64_t version, std::ostream& out);

// " after 1.20 s, holding new waves for 0.20 s"; ends the line.
void PrintWait(double waited_seconds, double held_seconds, std::ostream& out);

}  // namespace bwrt::client
