// How much memory this process can have: the machine's, or less where its control group has a limit.
#ifndef BWRT_SERVER_HOST_MEMORY_H_
#define BWRT_SERVER_HOST_MEMORY_H_

#include <cstdint>
#include <string>

namespace bwrt::server {

// Bytes. 0 when it cannot be told. `root` stands for "/", for tests.
uint64_t HostMemoryBytes(const std::string& root = "");

}  // namespace bwrt::server

#endif  // BWRT_SERVER_HOST_MEMORY_H_
