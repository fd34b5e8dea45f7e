#include "server/metrics_exposer.h"

#include <CivetServer.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <exception>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/mutex.h"

namespace bwrt::server {

// The HTTP server and the one page it has.
class MetricsExposer::Server {
 public:
  // Throws what CivetServer throws when it can't bind.
  explicit Server(const std::string& address)
      : civet_(std::vector<std::string>{"listening_ports", address, "num_threads", "2"}) {
    civet_.addHandler("/metrics", page_);
  }

  std::vector<int> ports() { return civet_.getListeningPorts(); }
  void Register(const std::weak_ptr<prometheus::Collectable>& collectable) { page_.Register(collectable); }

 private:
  class Page final : public CivetHandler {
   public:
    void Register(const std::weak_ptr<prometheus::Collectable>& collectable) {
      runtime::MutexLock lock(mu_);
      collectables_.push_back(collectable);
    }

    bool handleGet(CivetServer* /*server*/, mg_connection* connection) override {
      const std::string text = prometheus::TextSerializer().Serialize(Collect());
      mg_printf(connection,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                "Content-Length: %zu\r\n\r\n",
                text.size());
      mg_write(connection, text.data(), text.size());
      return true;
    }

   private:
    std::vector<prometheus::MetricFamily> Collect() {
      std::vector<std::weak_ptr<prometheus::Collectable>> collectables;
      {
        runtime::MutexLock lock(mu_);
        collectables = collectables_;
      }
      std::vector<prometheus::MetricFamily> all;
      for (const auto& weak : collectables) {
        const auto collectable = weak.lock();
        if (collectable == nullptr) continue;
        std::vector<prometheus::MetricFamily> families = collectable->Collect();
        all.insert(all.end(), std::make_move_iterator(families.begin()), std::make_move_iterator(families.end()));
      }
      return all;
    }

    runtime::Mutex mu_;
    std::vector<std::weak_ptr<prometheus::Collectable>> collectables_ ABSL_GUARDED_BY(mu_);
  };

  Page page_;
  CivetServer civet_;  // Last: its threads use the page.
};

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Create(const ListenAddress& address) {
  ListenAddress bound = address;
  // The HTTP server takes literal addresses only.
  if (bound.host == "localhost") bound.host = "127.0.0.1";
  try {
    auto server = std::make_unique<Server>(bound.ToString());
    const std::vector<int> ports = server->ports();
    if (ports.size() != 1) return absl::InternalError("the metrics server has bound no port");
    bound.port = ports.front();
    return std::unique_ptr<MetricsExposer>(new MetricsExposer(std::move(bound), std::move(server)));
  } catch (const std::exception&) {
    // What it says ("null context ...") helps nobody.
    return absl::UnavailableError(
        absl::StrCat("cannot serve metrics at ", address.ToString(),
                     ": the port is in use, or the address not one of this machine; choose another, or port 0"));
  }
}

MetricsExposer::MetricsExposer(ListenAddress address, std::unique_ptr<Server> server)
    : address_(std::move(address)), server_(std::move(server)) {}

MetricsExposer::~MetricsExposer() = default;

void MetricsExposer::Register(const std::weak_ptr<prometheus::Collectable>& collectable) {
  server_->Register(collectable);
}

}  // namespace bwrt::server
