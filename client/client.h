// A connection to one bwrt daemon. Every method is one RPC; proto/bwrt/v1 says what each does and
// which codes it can return.
//
// A Client is thread-safe. It must outlive the streams and watches it makes and the calls running
// on it.
//
//   auto client = bwrt::client::Client::Connect("unix:/run/bwrt/bwrt.sock");
//   if (!client.ok()) return client.status();
//   auto result = (*client)->SubmitWave(request, {.timeout = absl::Seconds(5)});
//
// 1. Requests are sent exactly as given. To name waves (wave_id), put client_id() into them.
// 2. Errors are absl::Status with the RPC's code and message; client/status.h reads their details.
// 3. Nothing is retried implicitly. After a lost connection, later calls reconnect.
// 4. No method throws.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bwrt/v1/execution.pb.h"
#include "bwrt/v1/telemetry.pb.h"
#include "bwrt/v1/wave.pb.h"
#include "bwrt/v1/weights.pb.h"
#include "client/call_options.h"
#include "client/stage_stream.h"
#include "client/watch.h"
#include "client/wave_stream.h"
#include "grpc/health/v1/health.pb.h"

namespace bwrt::client {

struct ClientOptions {
  // For unary calls that state none. absl::InfiniteDuration(): none.
  absl::Duration default_timeout = absl::Seconds(30);
  // How long Connect waits for the daemon to accept. A refused connection fails at once.
  absl::Duration connect_timeout = absl::Seconds(5);
  // Empty: 128 random bits in hex.
  std::string client_id = {};
  // In bytes; -1: unlimited. The daemon's own limits apply besides.
  int max_send_bytes = -1;
  int max_receive_bytes = -1;
};

class Client {
 public:
  // Connects to `address`: "unix:PATH" or "HOST:PORT".
  // - INVALID_ARGUMENT: neither of these.
  // - UNAVAILABLE: nobody accepts there.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(std::string address, ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const std::string& address() const;
  const std::string& client_id() const;

  // Execution.
  absl::StatusOr<v1::WaveResult> SubmitWave(const v1::SubmitWaveRequest& request, const CallOptions& options = {});
  std::unique_ptr<WaveStream> StreamWaves(const CallOptions& options = {});
  absl::StatusOr<v1::ValidateWaveResponse> ValidateWave(const v1::SubmitWaveRequest& request,
                                                        const CallOptions& options = {});
  absl::StatusOr<v1::CancelWaveResponse> CancelWave(const v1::CancelWaveRequest& request,
                                                    const CallOptions& options = {});
  // Of a wave that carries this client's client_id().
  absl::StatusOr<v1::CancelWaveResponse> CancelWave(absl::string_view wave_id, const CallOptions& options = {});
  absl::StatusOr<v1::GetCapabilitiesResponse> GetCapabilities(const CallOptions& options = {});
  absl::StatusOr<v1::ModelTraversalsResponse> ModelTraversals(const v1::ModelTraversalsRequest& request,
                                                              const CallOptions& options = {});
  std::unique_ptr<TuneWatch> Tune(const v1::TuneRequest& request, const CallOptions& options = {});

  // Weights. With WAIT_FOR_WINDOW and no timeout given, SetWeights allows wait_timeout on top of
  // the default.
  absl::StatusOr<v1::SetWeightsResponse> SetWeights(const v1::SetWeightsRequest& request,
                                                    const CallOptions& options = {});
  absl::StatusOr<v1::ListModelsResponse> ListModels(const CallOptions& options = {});
  absl::StatusOr<v1::GetModelResponse> GetModel(const v1::GetModelRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::GetModelResponse> GetModel(absl::string_view model, const CallOptions& options = {});
  std::unique_ptr<ModelWatch> WatchModel(const v1::WatchModelRequest& request, const CallOptions& options = {});
  std::unique_ptr<ModelWatch> WatchModel(absl::string_view model, const CallOptions& options = {});
  absl::StatusOr<v1::DeleteModelResponse> DeleteModel(const v1::DeleteModelRequest& request,
                                                      const CallOptions& options = {});
  absl::StatusOr<v1::ReadTensorResponse> ReadTensor(const v1::ReadTensorRequest& request,
                                                    const CallOptions& options = {});

  // Updates. Precommit, Commit and Rollback have no timeout unless one is given: they may take as long as moving
  // the bytes takes, and the daemon itself bounds their wait for a window. client/stager.h stages whole files.
  absl::StatusOr<v1::UpdateInfo> BeginUpdate(const v1::BeginUpdateRequest& request, const CallOptions& options = {});
  std::unique_ptr<StageStream> StageWeights(const CallOptions& options = {});
  std::unique_ptr<LoadWatch> LoadFile(const v1::LoadFileRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::GetUpdateResponse> GetUpdate(const v1::GetUpdateRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::GetUpdateResponse> GetUpdate(absl::string_view update_id, const CallOptions& options = {});
  absl::StatusOr<v1::ListUpdatesResponse> ListUpdates(const CallOptions& options = {});
  absl::StatusOr<v1::PrecommitResponse> Precommit(absl::string_view update_id, const CallOptions& options = {});
  absl::StatusOr<v1::CommitResponse> Commit(const v1::CommitRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::AbortResponse> Abort(absl::string_view update_id, const CallOptions& options = {});
  absl::StatusOr<v1::RollbackResponse> Rollback(const v1::RollbackRequest& request, const CallOptions& options = {});

  // Telemetry.
  absl::StatusOr<v1::SampleResponse> Sample(const v1::SampleRequest& request = {}, const CallOptions& options = {});
  std::unique_ptr<SampleWatch> WatchSamples(const v1::WatchSamplesRequest& request = {},
                                            const CallOptions& options = {});
  absl::StatusOr<v1::ListPagesResponse> ListPages(const v1::ListPagesRequest& request = {},
                                                  const CallOptions& options = {});

  // Health of the daemon (an empty name) or of one service.
  absl::StatusOr<grpc::health::v1::HealthCheckResponse> CheckHealth(absl::string_view service = "",
                                                                    const CallOptions& options = {});
  std::unique_ptr<HealthWatch> WatchHealth(absl::string_view service = "", const CallOptions& options = {});

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bwrt::client
