// The updates of FakeDaemon: models, versions and transactions in memory, without windows, limits, times or disks.
//
// Owned by FakeDaemon. Thread-safe.
#pragma once

#include <grpcpp/support/sync_stream.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "bwrt/v1/weights.grpc.pb.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/fake_update.h"

namespace bwrt::client {

class FakeUpdates {
 public:
  grpc::Status Begin(const v1::BeginUpdateRequest& request, v1::UpdateInfo* info);
  grpc::Status Stage(grpc::ServerReader<v1::StageWeightsRequest>& reader, v1::StageWeightsResponse* response);
  grpc::Status Get(const v1::GetUpdateRequest& request, v1::GetUpdateResponse* response);
  grpc::Status List(v1::ListUpdatesResponse* response);
  grpc::Status Precommit(const std::string& id, v1::PrecommitResponse* response);
  grpc::Status Commit(const v1::CommitRequest& request, v1::CommitResponse* response);
  grpc::Status Abort(const std::string& id, v1::AbortResponse* response);
  grpc::Status Rollback(const v1::RollbackRequest& request, v1::RollbackResponse* response);
  // The versions that Rollback can restore.
  void ListKept(const std::string& model, v1::GetModelResponse* response);
  grpc::Status Delete(const v1::DeleteModelRequest& request, v1::DeleteModelResponse* response);
  grpc::Status Read(const v1::ReadTensorRequest& request, v1::ReadTensorResponse* response);
  grpc::Status Load(const v1::LoadFileRequest& request, grpc::ServerWriter<v1::LoadFileProgress>& writer);

  // As FakeDaemon has them.
  void BreakStages(int streams, int chunks, bool idle);
  std::vector<StagedChunk> staged() const;

 private:
  struct Version {
    uint64_t number = 0;
    std::string label = {};
    std::map<std::string, v1::Tensor> tensors = {};
  };

  FakeUpdate* Find(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t Current(const std::string& model) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Open ones only.
  grpc::Status FindOpen(const std::string& id, FakeUpdate** update) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Publish(FakeUpdate* update) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  std::vector<FakeUpdate> updates_ ABSL_GUARDED_BY(mu_);  // Oldest first.
  // All versions of each model, oldest first; each is kept.
  std::map<std::string, std::vector<Version>> models_ ABSL_GUARDED_BY(mu_);
  std::vector<StagedChunk> staged_ ABSL_GUARDED_BY(mu_);
  int broken_streams_ ABSL_GUARDED_BY(mu_) = 0;
  int chunks_before_break_ ABSL_GUARDED_BY(mu_) = 0;
  bool idle_break_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::client
