// Routes what gRPC itself has to say into the daemon's log, as the fields of "grpc" lines.
//
// A client can provoke some of gRPC's messages; at most a few lines a second pass, and the next one says how
// many were left out.
#ifndef BWRT_SERVER_GRPC_LOG_H_
#define BWRT_SERVER_GRPC_LOG_H_

#include "server/log.h"

namespace bwrt::server {

// To be called before anything else of gRPC. At kDebug gRPC tells everything, else its errors only. The
// environment's GRPC_VERBOSITY, where set, decides instead.
void RouteGrpcLog(LogLevel level);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_GRPC_LOG_H_
