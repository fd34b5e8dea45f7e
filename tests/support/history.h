// History: what clients of a daemon did and saw, and the judgement whether a daemon that keeps its promises could have
// made them see it.
//
// Every commit writes a value of its own into its models; a wave's result proves, tile by tile, which value it was
// computed with. Times are of one monotonic clock, in any unit; of two operations one came first only if it had
// returned before the other was invoked.
//
// A history is accepted if
//  1. all tiles of a wave have one value, that of a commit whose version the wave reports;
//  2. that commit was invoked before the wave returned, and had not failed;
//  3. versions never go back: what begins after a commit was acknowledged, or after a wave saw a version, sees that
//     version or a later one, and commits a later one;
//  4. the parts of a group commit are seen together;
//  5. a commit of unknown outcome took effect once or never, and not after the end of the restart that followed it;
//  6. a restart changes none of this;
//  7. a deletion ends a model's life: what begins after it was acknowledged sees nothing of what was committed before
//     it. The model's next life has versions of its own, so that rule 3 holds within one life. A deletion of unknown
//     outcome took effect once or never, and not after the end of the restart that followed it;
//  8. a model that had a version is there, unless a deletion can have come between.
//
// Where a deletion may have come between two operations nothing is said of their order: a checker of a few lines, which
// never blames a daemon wrongly. Values of a model that is deleted are not committed twice.
//
// Pure functions over values.
#ifndef BWRT_TESTS_SUPPORT_HISTORY_H_
#define BWRT_TESTS_SUPPORT_HISTORY_H_

#include <cstdint>
#include <string>
#include <vector>

namespace bwrt {

struct HistoryInterval {
  int64_t invoked = 0;
  int64_t returned = 0;  // > invoked.
};

// A swap of one model or a group commit of several; a rollback is a commit of a value that was there before.
struct HistoryCommit {
  enum class Outcome { kOk, kFailed, kUnknown };
  struct Part {
    std::string model;
    uint64_t value = 0;
    uint64_t base = 0;     // The version it was made for; 0: any.
    uint64_t version = 0;  // What it became; 0 unless the outcome is kOk.
  };
  HistoryInterval time;
  Outcome outcome = Outcome::kOk;
  std::vector<Part> parts;  // Of different models.
};

struct HistoryWave {
  HistoryInterval time;
  std::string model;
  uint64_t version = 0;          // As reported.
  std::vector<uint64_t> values;  // One a tile.
};

struct HistoryDeletion {
  HistoryInterval time;
  HistoryCommit::Outcome outcome = HistoryCommit::Outcome::kOk;
  std::string model;
};

// Something that was told there is no such model, or none with weights.
struct HistoryAbsence {
  HistoryInterval time;
  std::string model;
};

// The daemon's end, from the moment before it was asked for, until another one served.
struct HistoryRestart {
  HistoryInterval time;
};

struct History {
  std::vector<HistoryCommit> commits;
  std::vector<HistoryWave> waves;
  std::vector<HistoryRestart> restarts;
  std::vector<HistoryDeletion> deletions;
  std::vector<HistoryAbsence> absences;
};

// Contradictions, each naming the operations that can't both be: "wave[3] ..." is history.waves[3]. Empty: accepted.
std::vector<std::string> FindContradictions(const History& history);

}  // namespace bwrt

#endif  // BWRT_TESTS_SUPPORT_HISTORY_H_
