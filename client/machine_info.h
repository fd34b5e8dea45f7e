// What this machine is, as benchmark artifacts say it.
//
// Free functions; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "client/bench_artifact.h"

namespace bwrt::client {

// What cannot be read is empty or 0, but for `cores`. `root` stands for "/", for tests.
BenchMachine ReadMachine(const std::string& root = "");

// Bytes that programs can still have without swapping, as the kernel estimates it. 0: not known.
int64_t AvailableMemory(const std::string& root = "");

// Of the libraries that this program was built with, those that waves pass through on their way.
std::map<std::string, std::string> LibraryVersions();

}  // namespace bwrt::client
