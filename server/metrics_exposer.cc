#include "server/metrics_exposer.h"

#include <prometheus/exposer.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace bwrt::server {

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Create(const ListenAddress& address) {
  ListenAddress bound = address;
  // The HTTP server takes literal addresses only.
  if (bound.host == "localhost") bound.host = "127.0.0.1";
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(bound.ToString());
    const std::vector<int> ports = exposer->GetListeningPorts();
    if (ports.size() != 1) return absl::InternalError("the metrics server has bound no port");
    bound.port = ports.front();
    return std::unique_ptr<MetricsExposer>(new MetricsExposer(std::move(bound), std::move(exposer)));
  } catch (const std::exception&) {
    // What it says ("null context ...") helps nobody.
    return absl::UnavailableError(
        absl::StrCat("cannot serve metrics at ", address.ToString(),
                     ": the port is in use, or the address not one of this machine; choose another, or port 0"));
  }
}

MetricsExposer::MetricsExposer(ListenAddress address, std::unique_ptr<prometheus::Exposer> exposer)
    : address_(std::move(address)), exposer_(std::move(exposer)) {}

MetricsExposer::~MetricsExposer() = default;

void MetricsExposer::Register(const std::weak_ptr<prometheus::Collectable>& collectable) {
  exposer_->RegisterCollectable(collectable);
}

}  // namespace bwrt::server
