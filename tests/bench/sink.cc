#include "tests/bench/sink.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <cstdlib>
#include <memory>

#include "bwrt/v1/weights.grpc.pb.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/require.h"

namespace bwrt::bench {
namespace {

class Sink final : public v1::Weights::Service {
 public:
  grpc::Status StageWeights(grpc::ServerContext* /*context*/, grpc::ServerReader<v1::StageWeightsRequest>* reader,
                            v1::StageWeightsResponse* response) override {
    v1::StageWeightsRequest request;
    while (reader->Read(&request)) response->set_bytes(response->bytes() + request.chunk().data().size());
    return grpc::Status::OK;
  }
};

}  // namespace

void RunSink(const std::string& address, const std::string& ready_file) {
  Sink sink;
  grpc::ServerBuilder builder;
  builder.RegisterService(&sink);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(64 << 20);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  Require(server != nullptr, "the sink can't listen");
  TellReady(ready_file);
  server->Wait();
  std::exit(0);  // NOLINT(concurrency-mt-unsafe): nothing else runs any more.
}

}  // namespace bwrt::bench
