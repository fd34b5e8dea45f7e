// A bwrtd whose device has a fault: see FaultyDevice. BWRT_FAULT=element|error|death says which.

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "server/run_daemon.h"
#include "tests/support/faulty_device.h"

int main(int argc, char** argv) {
  using bwrt::runtime::Device;
  using bwrt::runtime::FaultyDevice;
  const char* const variable = std::getenv("BWRT_FAULT");
  const std::string name = variable == nullptr ? "" : variable;
  const auto fault = name == "death"   ? FaultyDevice::Fault::kDeath
                     : name == "error" ? FaultyDevice::Fault::kError
                                       : FaultyDevice::Fault::kWrongElement;
  return bwrt::server::RunDaemon(argc, argv, nullptr, [fault](std::unique_ptr<Device> device) {
    return std::make_unique<FaultyDevice>(std::move(device), fault);
  });
}
