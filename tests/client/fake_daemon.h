// A daemon for the client's tests: answers over real gRPC on a free loopback port, computes waves
// with the client's own reference, and misbehaves on request. No queue, no windows, no validation.
//
// Owned by a test; stops when destroyed. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bwrt::client {

// Models that make a wave, a swap or a watch behave:
inline constexpr char kHangs[] = "hangs";        // No answer until the call is cancelled.
inline constexpr char kRefuses[] = "refuses";    // INVALID_ARGUMENT with two violations.
inline constexpr char kDrains[] = "drains";      // UNAVAILABLE with reason DRAINING.
inline constexpr char kWrong[] = "wrong";        // One element of C is off.
inline constexpr char kShort[] = "short";        // C lacks its last byte.
inline constexpr char kConfused[] = "confused";  // The window in the result is another.
inline constexpr char kFull[] = "full";          // The first two waves find the queue full.
inline constexpr char kClosed[] = "closed";      // Its swap window never opens.
inline constexpr char kLost[] = "lost";          // All its versions, up to 7, are damaged.

// A chunk that StageWeights took.
struct StagedChunk {
  std::string tensor;
  uint32_t rank;
  uint64_t offset;
  uint64_t bytes;
};

class FakeDaemon {
 public:
  FakeDaemon();
  ~FakeDaemon();

  // "127.0.0.1:PORT".
  const std::string& address() const;
  // Calls that ended because the client cancelled them or went away.
  int cancelled() const;
  // Calls waiting in kHangs right now.
  int hanging() const;

  // The next `streams` StageWeights streams end with UNAVAILABLE where their chunk number `chunks` would be taken; if
  // `idle`, as those on which nothing has come for long.
  void BreakStages(int streams, int chunks, bool idle = false);
  // Every chunk taken, in order.
  std::vector<StagedChunk> staged() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace bwrt::client
