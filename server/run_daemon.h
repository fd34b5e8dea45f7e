// RunDaemon: all of bwrtd but its main.
#ifndef BWRT_SERVER_RUN_DAEMON_H_
#define BWRT_SERVER_RUN_DAEMON_H_

#include "runtime/failpoints.h"
#include "server/device_decorator.h"

namespace bwrt::server {

// Serves until a signal asks for a drain, and then ends the process: returns only when there is nothing to serve. The
// exit status: 0 after a drain or for --help, 1 when it can't serve, 2 for a wrong command line. `failpoints` and
// `decorate` are null but in tests.
int RunDaemon(int argc, const char* const* argv, runtime::Failpoints* failpoints = nullptr,
              DeviceDecorator decorate = nullptr);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_RUN_DAEMON_H_
