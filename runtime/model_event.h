// What a model tells those who watch it.
#ifndef BWRT_RUNTIME_MODEL_EVENT_H_
#define BWRT_RUNTIME_MODEL_EVENT_H_

#include <memory>
#include <string>

#include "runtime/ids.h"

namespace bwrt::runtime {

struct ModelEvent {
  enum class Kind { kSnapshot, kVersion, kWindowOpened, kWindowClosed, kHoldStarted, kHoldEnded };
  Kind kind = Kind::kSnapshot;
  Version version;
  std::string label;
  bool window_open = true;
};

class ModelWatcher {
 public:
  virtual ~ModelWatcher() = default;
  // In the order things happened, one call at a time, under no lock of the model. Must not block.
  virtual void OnEvent(const ModelEvent& event) = 0;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_MODEL_EVENT_H_
