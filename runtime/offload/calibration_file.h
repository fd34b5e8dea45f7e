// CalibrationFile: the costs of devices as measured before, by what the device is: its name, its description, and the
// versions of its driver and libraries. What was measured on another one, or under another driver, does not count.
//
// One JSON object, written whole under a temporary name and renamed. It is a cache: a file that can't be read or makes
// no sense counts as empty, and is replaced by the next Save. Blocking; used by one thread.
#ifndef BWRT_RUNTIME_OFFLOAD_CALIBRATION_FILE_H_
#define BWRT_RUNTIME_OFFLOAD_CALIBRATION_FILE_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "runtime/device.h"
#include "runtime/offload/cost_model.h"

namespace bwrt::runtime {

class CalibrationFile {
 public:
  // Reads what is there.
  explicit CalibrationFile(std::string path);

  std::optional<DeviceCosts> Find(const DeviceInfo& device) const;
  // Besides those of other devices. UNAVAILABLE when it can't be written; the file is then as it was.
  absl::Status Save(const DeviceInfo& device, const DeviceCosts& costs);

 private:
  const std::string path_;
  std::map<std::string, DeviceCosts> costs_;  // By the device in words.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_OFFLOAD_CALIBRATION_FILE_H_
