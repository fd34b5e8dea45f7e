// TuningFile: what devices were tuned to, by what the device is: its name, its description, and the versions of its
// driver and libraries. What was found on another one, or under another driver, does not count.
//
// One JSON object, written whole under a temporary name and renamed. Nothing in it is trusted: it is read up to
// kMaxBytes, numbers are checked, and devices check what they take back from it. A file that makes no sense is renamed
// to "<path>.damaged", which note() says, and counts as empty. Blocking; used by one thread.
#ifndef BWRT_RUNTIME_TUNING_TUNING_FILE_H_
#define BWRT_RUNTIME_TUNING_TUNING_FILE_H_

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/device.h"
#include "runtime/tuning/tune_problem.h"

namespace bwrt::runtime {

class TuningFile {
 public:
  static constexpr size_t kMaxBytes = size_t{4} << 20;
  // Beyond them nothing is added.
  static constexpr size_t kMaxDevices = 64;
  static constexpr size_t kMaxEntries = 4096;  // Of each kind, of a device.

  struct Tiles {
    TimedTile winner;
    TimedTile first;
    friend bool operator==(const Tiles&, const Tiles&) = default;
  };

  // Reads what is there. An empty path: nothing is read or written.
  explicit TuningFile(std::string path);

  // What was wrong with the file; empty where nothing was.
  const std::string& note() const { return note_; }

  // `problem` in words, of at most kMaxProblemBytes; it says with which whitelist, too.
  static constexpr size_t kMaxProblemBytes = 256;
  std::optional<Tiles> Find(const DeviceInfo& device, const std::string& problem) const;
  std::vector<std::string> Algorithms(const DeviceInfo& device) const;

  void Put(const DeviceInfo& device, const std::string& problem, const Tiles& tiles);
  // In place of those there were.
  void PutAlgorithms(const DeviceInfo& device, std::vector<std::string> algorithms);
  // UNAVAILABLE when it can't be written; the file is then as it was.
  absl::Status Save() const;

 private:
  struct Entries {
    std::map<std::string, Tiles> tiles;  // By problem.
    std::vector<std::string> algorithms;
  };

  // Empty where the text is what Save writes, else what is wrong with it.
  std::string Parse(const std::string& text);
  // Null where there are too many.
  Entries* Of(const DeviceInfo& device);

  const std::string path_;
  std::string note_;
  std::map<std::string, Entries> devices_;  // By the device in words.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_TUNING_TUNING_FILE_H_
