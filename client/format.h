// Quantities as people read them.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace bwrt::client {

std::string FormatBytes(uint64_t bytes);    // "1.5 MiB".
std::string FormatSeconds(double seconds);  // "1.23 ms".

}  // namespace bwrt::client
