#include "client/machine_info.h"

#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace bwrt::client {
namespace {

// The value of the first line "key : value" of a file, or nothing.
std::string ValueOf(const std::string& path, absl::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const absl::string_view text = line;
    if (absl::StripAsciiWhitespace(text.substr(0, colon)) != key) continue;
    return std::string(absl::StripAsciiWhitespace(text.substr(colon + 1)));
  }
  return "";
}

int64_t MemoryOf(const std::string& root, absl::string_view key) {
  const std::string text = ValueOf(absl::StrCat(root, "/proc/meminfo"), key);
  absl::string_view number = text;
  int64_t kib = 0;
  if (!absl::ConsumeSuffix(&number, " kB") || !absl::SimpleAtoi(number, &kib)) return 0;
  return kib * 1024;
}

}  // namespace

BenchMachine ReadMachine(const std::string& root) {
  BenchMachine machine;
  machine.cpu = ValueOf(absl::StrCat(root, "/proc/cpuinfo"), "model name");
  machine.cores = std::max<int64_t>(std::thread::hardware_concurrency(), 1);
  machine.memory_bytes = MemoryOf(root, "MemTotal");
  utsname system{};
  if (uname(&system) == 0) machine.kernel = system.release;
  return machine;
}

int64_t AvailableMemory(const std::string& root) { return MemoryOf(root, "MemAvailable"); }

std::map<std::string, std::string> LibraryVersions() {
  return {{"grpc", grpc::Version()}, {"protobuf", google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION)}};
}

}  // namespace bwrt::client
