// MetricsExposer: serves metrics to Prometheus over HTTP, at /metrics.
//
// civetweb and prometheus-cpp's serializer, without prometheus::Exposer: that one also exports metrics of its own,
// one of them in microseconds.
//
// Owns its threads, which collect what is registered; collecting must therefore be thread-safe and never wait
// for a scheduler or a device. Thread-safe.
#ifndef BWRT_SERVER_METRICS_EXPOSER_H_
#define BWRT_SERVER_METRICS_EXPOSER_H_

#include <prometheus/collectable.h>

#include <memory>

#include "absl/status/statusor.h"
#include "server/listen_address.h"

namespace bwrt::server {

class MetricsExposer {
 public:
  // Binds. `address` is kTcp; its port 0 picks a free one. UNAVAILABLE when the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsExposer>> Create(const ListenAddress& address);

  // Waits for scrapes in progress; the HTTP server may take two seconds for it.
  ~MetricsExposer();
  MetricsExposer(const MetricsExposer&) = delete;
  MetricsExposer& operator=(const MetricsExposer&) = delete;

  // Served from now on, while it exists.
  void Register(const std::weak_ptr<prometheus::Collectable>& collectable);

  // The bound address, with the port that was picked.
  const ListenAddress& address() const { return address_; }

 private:
  class Server;
  MetricsExposer(ListenAddress address, std::unique_ptr<Server> server);

  const ListenAddress address_;
  const std::unique_ptr<Server> server_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_METRICS_EXPOSER_H_
