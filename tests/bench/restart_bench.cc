#include "tests/bench/restart_bench.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <filesystem>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/digest.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/require.h"
#include "tests/bench/samples.h"
#include "tests/bench/stager.h"

namespace bwrt::bench {
namespace {

constexpr int64_t kChunk = int64_t{1} << 20;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kReadBlock = size_t{256} << 10;

// Reads and hashes one file. Its memory lasts as long as the process.
void ReadFile(const std::string& path) {
  const size_t bytes = std::filesystem::file_size(path);
  const size_t mapped = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Require(memory != MAP_FAILED, "no memory for a file");
  madvise(memory, mapped, MADV_HUGEPAGE);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  XXH3_state_t* state = XXH3_createState();
  XXH3_128bits_reset(state);
  for (size_t at = 0; at < bytes;) {
    char* to = static_cast<char*>(memory) + at;
    const ssize_t n = read(fd, to, kReadBlock);
    Require(n > 0, "a file can't be read");
    XXH3_128bits_update(state, to, static_cast<size_t>(n));
    at += static_cast<size_t>(n);
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state);
  Require((hash.low64 | hash.high64) != 0, "no digest is zero");
  XXH3_freeState(state);
  close(fd);
}

}  // namespace

Restart MeasureRestart(const std::string& bwrtd, const std::string& self, const std::string& directory, int64_t bytes,
                       int64_t tensor_bytes, int repeats) {
  const std::string flag = absl::StrCat("--state-dir=", directory);
  {
    const BenchDaemon daemon = StartBwrtd(bwrtd, {flag});
    Stager stager(daemon.Connect(), tensor_bytes, kChunk, runtime::Digest::Kind::kXxh3,
                  static_cast<int>(bytes / tensor_bytes));
    const std::string update = stager.Begin("");
    stager.Stage(update);
    stager.Precommit(update);
    stager.Commit(update);
  }
  std::vector<double> ours;
  std::vector<double> bare;
  for (int i = 0; i <= repeats; ++i) {  // The first is the warm-up: the page cache's.
    ours.push_back(StartBwrtd(bwrtd, {flag}).seconds_to_ready());
    bare.push_back(BenchDaemon(self, {absl::StrCat("--read=", directory)}).seconds_to_ready());
  }
  ours.erase(ours.begin());
  bare.erase(bare.begin());
  return {Median(std::move(ours)), Median(std::move(bare))};
}

void RunReader(const std::string& directory, int threads, const std::string& ready_file) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file() && entry.file_size() >= static_cast<size_t>(kChunk)) files.push_back(entry.path());
  }
  std::atomic<size_t> next{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < threads; ++i) {
    readers.emplace_back([&] {
      for (size_t at = next++; at < files.size(); at = next++) ReadFile(files[at]);
    });
  }
  for (std::thread& reader : readers) reader.join();
  TellReady(ready_file);
  for (;;) pause();
}

}  // namespace bwrt::bench
