// WeightsStub: the Weights service through its generated stub: exactly the RPCs that a test asks for, and their errors.
//
// Thread-safe. It shares no connection with anything else, so that a daemon that starts anew at the same address is
// not mistaken for the old one.
#ifndef BWRT_TESTS_E2E_WEIGHTS_STUB_H_
#define BWRT_TESTS_E2E_WEIGHTS_STUB_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bwrt/v1/weights.grpc.pb.h"

namespace bwrt::e2e {

class WeightsStub {
 public:
  // Waits for the connection, but not for ever: then every call fails.
  explicit WeightsStub(const std::string& address);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  v1::Weights::Stub& raw() { return *stub_; }

  absl::StatusOr<v1::SetWeightsResponse> SetWeights(const v1::SetWeightsRequest& request);
  absl::StatusOr<v1::UpdateInfo> Begin(const v1::BeginUpdateRequest& request);
  // Sends the messages over one stream.
  absl::StatusOr<v1::StageWeightsResponse> Stage(const std::vector<v1::StageWeightsRequest>& messages);
  absl::StatusOr<v1::GetUpdateResponse> Get(const std::string& update_id);
  absl::StatusOr<v1::ListUpdatesResponse> List();
  absl::StatusOr<v1::PrecommitResponse> Precommit(const std::string& update_id);
  absl::StatusOr<v1::CommitResponse> Commit(const v1::CommitRequest& request);
  absl::StatusOr<v1::CommitResponse> Commit(const std::vector<std::string>& update_ids);
  absl::StatusOr<v1::AbortResponse> Abort(const std::string& update_id);
  absl::StatusOr<v1::RollbackResponse> Rollback(const v1::RollbackRequest& request);
  absl::StatusOr<v1::DeleteModelResponse> DeleteModel(const v1::DeleteModelRequest& request);
  absl::StatusOr<v1::ReadTensorResponse> Read(const v1::ReadTensorRequest& request);
  absl::StatusOr<std::vector<v1::LoadFileProgress>> Load(const v1::LoadFileRequest& request);
  absl::StatusOr<v1::GetModelResponse> GetModel(const std::string& model);

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Weights::Stub> stub_;
};

// A chunk of shard 0.
v1::StageWeightsRequest ChunkOf(const std::string& update_id, const std::string& tensor, uint64_t offset,
                                const std::string& data);

}  // namespace bwrt::e2e

#endif  // BWRT_TESTS_E2E_WEIGHTS_STUB_H_
