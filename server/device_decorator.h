// DeviceDecorator: what a daemon is given to put around its device before that runs a wave. The daemon that is shipped
// has none: tests make devices fail with it.
#ifndef BWRT_SERVER_DEVICE_DECORATOR_H_
#define BWRT_SERVER_DEVICE_DECORATOR_H_

#include <functional>
#include <memory>

#include "runtime/device.h"

namespace bwrt::server {

using DeviceDecorator = std::function<std::unique_ptr<runtime::Device>(std::unique_ptr<runtime::Device>)>;

}  // namespace bwrt::server

#endif  // BWRT_SERVER_DEVICE_DECORATOR_H_
