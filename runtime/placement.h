// Placement: which of several devices a wave runs on, and why. A value; absent where a daemon has one device.
#ifndef BWRT_RUNTIME_PLACEMENT_H_
#define BWRT_RUNTIME_PLACEMENT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/clock.h"

namespace bwrt::runtime {

struct Placement {
  enum class Reason {
    kFaster,        // Another device than the first is predicted to take less than the threshold.
    kNotFaster,     // None is.
    kSmallWave,     // The first device needs so little time that a prediction says nothing.
    kOutOfService,  // None but the first can run the wave now.
    kNoMemory       // The device that was chosen had no memory for the operands: the first ran it.
  };
  struct Prediction {
    std::string device;
    std::optional<Duration> time;  // With the copies it needs. Unset: the device can't run the wave now.
    bool resident = true;          // False: the weights would have to be copied there for this wave.
  };

  std::string device;
  Reason reason = Reason::kNotFaster;
  std::string text;  // The reason, in words and numbers.
  std::vector<Prediction> predictions;
  // What another device than the first must be predicted to stay below; 0: none is asked (a small wave).
  Duration threshold{0};
};

// "faster", "not_faster", "small_wave", "out_of_service", "no_memory".
constexpr absl::string_view Name(Placement::Reason reason) {
  switch (reason) {
    case Placement::Reason::kFaster:
      return "faster";
    case Placement::Reason::kNotFaster:
      return "not_faster";
    case Placement::Reason::kSmallWave:
      return "small_wave";
    case Placement::Reason::kOutOfService:
      return "out_of_service";
    case Placement::Reason::kNoMemory:
      return "no_memory";
  }
  return "";
}

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_PLACEMENT_H_
