#include "server/host_memory.h"

#include <algorithm>
#include <fstream>

namespace bwrt::server {
namespace {

uint64_t MemTotal(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  std::string name;
  std::string rest;
  uint64_t kib = 0;
  while (file >> name >> kib) {
    if (name == "MemTotal:") return kib * 1024;
    std::getline(file, rest);
  }
  return 0;
}

// Of one control group, version 2; 0 when it sets no limit ("max").
uint64_t GroupLimit(const std::string& directory) {
  std::ifstream file(directory + "/memory.max");
  uint64_t bytes = 0;
  return file >> bytes ? bytes : 0;
}

// "0::/system.slice/bwrtd.service" -> "/system.slice/bwrtd.service". In a container this is "/".
std::string GroupPath(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("0::/")) return line.substr(3);
  }
  return "/";
}

}  // namespace

uint64_t HostMemoryBytes(const std::string& root) {
  uint64_t bytes = MemTotal(root);
  // A group is also bound by those above it.
  std::string path = GroupPath(root);
  while (true) {
    std::string group = root;
    group.append("/sys/fs/cgroup").append(path);
    const uint64_t limit = GroupLimit(group);
    if (limit > 0) bytes = bytes == 0 ? limit : std::min(bytes, limit);
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return bytes;
    path.resize(slash);
  }
}

}  // namespace bwrt::server
