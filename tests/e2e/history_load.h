// HistoryLoad: clients that publish, roll back and run waves on two models all at once, and publish and delete a third,
// each by a schedule drawn from the seed; what they do and see is recorded. A client stops when the daemon goes.
#ifndef BWRT_TESTS_E2E_HISTORY_LOAD_H_
#define BWRT_TESTS_E2E_HISTORY_LOAD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/history_client.h"

namespace bwrt::e2e {

inline constexpr const char* kHistoryModels[] = {"a", "b"};
inline constexpr char kPassingModel[] = "passing";  // The one that comes and goes.

struct HistoryLoadOptions {
  uint64_t seed = 1;
  int publishers = 3;
  int submitters = 3;
  int changes = 40;  // Of each publisher.
  int waves = 150;   // Of each submitter.
  bool in_place = false;
};

class HistoryLoad {
 public:
  // Starts. Both models that stay must be there; address and recorder must outlive it.
  HistoryLoad(const std::string& address, HistoryRecorder* recorder, const HistoryLoadOptions& options);
  // As Join.
  ~HistoryLoad();
  HistoryLoad(const HistoryLoad&) = delete;
  HistoryLoad& operator=(const HistoryLoad&) = delete;

  // Waits until so many more operations have ended, or every client is done.
  void Await(int64_t operations) { recorder_->Await(operations, running_); }
  // Waits until every client is done.
  void Join();

 private:
  using Draw = std::mt19937_64;

  void Start(uint64_t seed, int count, std::function<absl::Status(HistoryClient&, Draw&)> act);
  absl::Status Change(HistoryClient& client, Draw& draw) const;
  static absl::Status RunWave(HistoryClient& client, Draw& draw);
  static absl::Status RollBack(HistoryClient& client, const std::string& model, Draw& draw, SwapChoice choice);

  const std::string address_;
  HistoryRecorder* const recorder_;
  const HistoryLoadOptions options_;
  std::atomic<int> running_{0};
  std::vector<std::thread> threads_;
};

}  // namespace bwrt::e2e

#endif  // BWRT_TESTS_E2E_HISTORY_LOAD_H_
