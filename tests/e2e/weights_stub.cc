#include "tests/e2e/weights_stub.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>

#include "client/status.h"
#include "tests/e2e/daemon_process.h"

namespace bwrt::e2e {
namespace {

std::chrono::system_clock::time_point Deadline() {
  return std::chrono::system_clock::now() + absl::ToChronoSeconds(kPatience);
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments own;
  own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), own);
  channel->WaitForConnected(Deadline());
  return channel;
}

template <typename Request, typename Response>
using Method = grpc::Status (v1::Weights::Stub::*)(grpc::ClientContext*, const Request&, Response*);

template <typename Request, typename Response>
absl::StatusOr<Response> Call(v1::Weights::Stub& stub, Method<Request, Response> method, const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(Deadline());
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) return client::FromGrpcStatus(status);
  return response;
}

template <typename Request>
Request Of(const std::string& update_id) {
  Request request;
  request.set_update_id(update_id);
  return request;
}

using Stub = v1::Weights::Stub;

}  // namespace

WeightsStub::WeightsStub(const std::string& address)
    : channel_(Connect(address)), stub_(v1::Weights::NewStub(channel_)) {}

absl::StatusOr<v1::SetWeightsResponse> WeightsStub::SetWeights(const v1::SetWeightsRequest& request) {
  return Call(*stub_, &Stub::SetWeights, request);
}

absl::StatusOr<v1::UpdateInfo> WeightsStub::Begin(const v1::BeginUpdateRequest& request) {
  return Call(*stub_, &Stub::BeginUpdate, request);
}

absl::StatusOr<v1::StageWeightsResponse> WeightsStub::Stage(const std::vector<v1::StageWeightsRequest>& messages) {
  grpc::ClientContext context;
  context.set_deadline(Deadline());
  v1::StageWeightsResponse response;
  const auto stream = stub_->StageWeights(&context, &response);
  for (const auto& message : messages) {
    if (!stream->Write(message)) break;  // Finish says why.
  }
  stream->WritesDone();
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return client::FromGrpcStatus(status);
  return response;
}

absl::StatusOr<v1::GetUpdateResponse> WeightsStub::Get(const std::string& update_id) {
  return Call(*stub_, &Stub::GetUpdate, Of<v1::GetUpdateRequest>(update_id));
}

absl::StatusOr<v1::ListUpdatesResponse> WeightsStub::List() {
  return Call(*stub_, &Stub::ListUpdates, v1::ListUpdatesRequest());
}

absl::StatusOr<v1::PrecommitResponse> WeightsStub::Precommit(const std::string& update_id) {
  return Call(*stub_, &Stub::Precommit, Of<v1::PrecommitRequest>(update_id));
}

absl::StatusOr<v1::CommitResponse> WeightsStub::Commit(const v1::CommitRequest& request) {
  return Call(*stub_, &Stub::Commit, request);
}

absl::StatusOr<v1::CommitResponse> WeightsStub::Commit(const std::vector<std::string>& update_ids) {
  v1::CommitRequest request;
  for (const std::string& id : update_ids) request.add_update_ids(id);
  return Commit(request);
}

absl::StatusOr<v1::AbortResponse> WeightsStub::Abort(const std::string& update_id) {
  return Call(*stub_, &Stub::Abort, Of<v1::AbortRequest>(update_id));
}

absl::StatusOr<v1::RollbackResponse> WeightsStub::Rollback(const v1::RollbackRequest& request) {
  return Call(*stub_, &Stub::Rollback, request);
}

absl::StatusOr<v1::DeleteModelResponse> WeightsStub::DeleteModel(const v1::DeleteModelRequest& request) {
  return Call(*stub_, &Stub::DeleteModel, request);
}

absl::StatusOr<v1::ReadTensorResponse> WeightsStub::Read(const v1::ReadTensorRequest& request) {
  return Call(*stub_, &Stub::ReadTensor, request);
}

absl::StatusOr<std::vector<v1::LoadFileProgress>> WeightsStub::Load(const v1::LoadFileRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(Deadline());
  const auto stream = stub_->LoadFile(&context, request);
  std::vector<v1::LoadFileProgress> all;
  v1::LoadFileProgress one;
  while (stream->Read(&one)) all.push_back(one);
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return client::FromGrpcStatus(status);
  return all;
}

absl::StatusOr<v1::GetModelResponse> WeightsStub::GetModel(const std::string& model) {
  v1::GetModelRequest request;
  request.set_model(model);
  return Call(*stub_, &Stub::GetModel, request);
}

v1::StageWeightsRequest ChunkOf(const std::string& update_id, const std::string& tensor, uint64_t offset,
                                const std::string& data) {
  v1::StageWeightsRequest request;
  request.set_update_id(update_id);
  request.mutable_chunk()->set_tensor(tensor);
  request.mutable_chunk()->set_offset(offset);
  request.mutable_chunk()->set_data(data);
  return request;
}

}  // namespace bwrt::e2e
