#include "client/patient_submit.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "client/status.h"

namespace bwrt::client {

absl::StatusOr<v1::WaveResult> SubmitPatiently(Client& client, const v1::SubmitWaveRequest& request,
                                               absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    auto result = client.SubmitWave(request, {.timeout = deadline - absl::Now()});
    if (result.ok() || !absl::IsResourceExhausted(result.status())) return result;
    const auto delay = DetailsOf(result.status()).retry_delay;
    if (!delay.has_value() || absl::Now() + *delay >= deadline) return result;
    absl::SleepFor(std::max(*delay, absl::Milliseconds(1)));
  }
}

}  // namespace bwrt::client
