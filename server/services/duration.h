// google.protobuf.Duration from a client, as the runtime's Duration. Saturates instead of overflowing.
#ifndef BWRT_SERVER_SERVICES_DURATION_H_
#define BWRT_SERVER_SERVICES_DURATION_H_

#include <google/protobuf/duration.pb.h>

#include <algorithm>
#include <cstdint>

#include "runtime/clock.h"

namespace bwrt::server {

inline runtime::Duration FromProto(const google::protobuf::Duration& d) {
  // Some 285 years; beyond, no clock of ours can tell the difference.
  constexpr int64_t kMaxSeconds = 9'000'000'000;
  return std::chrono::seconds(std::clamp<int64_t>(d.seconds(), -kMaxSeconds, kMaxSeconds)) +
         runtime::Duration(d.nanos());
}

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_DURATION_H_
