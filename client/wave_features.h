// What is special about a wave: a name for each choice its author had, such as {"tails", "PEEL"}.
//
// Pure functions; thread-safe. For messages, and for tests that ask whether random waves cover every choice.
#pragma once

#include <map>
#include <string>

#include "bwrt/v1/wave.pb.h"

namespace bwrt::client {

// The same keys for every wave.
std::map<std::string, std::string> FeaturesOf(const v1::SubmitWaveRequest& request);

// One line: sizes, tile shape and features.
std::string DescribeWave(const v1::SubmitWaveRequest& request);

}  // namespace bwrt::client
