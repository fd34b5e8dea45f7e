// WaveStream, StageStream and Watch over gRPC's synchronous streams. Included by client.cc only: it pulls in
// gRPC.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "client/call_options.h"
#include "client/stage_stream.h"
#include "client/status.h"
#include "client/watch.h"
#include "client/wave_stream.h"

namespace bwrt::client {

class GrpcWaveStream : public WaveStream {
 public:
  using Stream = grpc::ClientReaderWriter<v1::StreamWavesRequest, v1::StreamWavesResponse>;

  // `open` makes the stream in the context it is given.
  template <class Open>
  GrpcWaveStream(std::unique_ptr<grpc::ClientContext> context, CallHandle* handle, Open open)
      : context_(std::move(context)),
        stream_(open(context_.get())),
        binding_(handle, [context = context_.get()] { context->TryCancel(); }) {}

  ~GrpcWaveStream() override {
    if (finished_) return;
    context_->TryCancel();
    stream_->Finish();
  }

  bool Write(const v1::StreamWavesRequest& request) override { return stream_->Write(request); }
  bool WritesDone() override { return stream_->WritesDone(); }

  std::optional<v1::StreamWavesResponse> Read() override {
    v1::StreamWavesResponse response;
    if (!stream_->Read(&response)) return std::nullopt;
    return response;
  }

  absl::Status Finish() override {
    finished_ = true;
    return FromGrpcStatus(stream_->Finish());
  }

  void Cancel() override { context_->TryCancel(); }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<Stream> stream_;
  const CallHandle::Binding binding_;
  bool finished_ = false;  // The reading thread's.
};

class GrpcStageStream : public StageStream {
 public:
  // `open` makes the stream in the context, with the place for its response.
  template <class Open>
  GrpcStageStream(std::unique_ptr<grpc::ClientContext> context, CallHandle* handle, Open open)
      : context_(std::move(context)),
        writer_(open(context_.get(), &response_)),
        binding_(handle, [context = context_.get()] { context->TryCancel(); }) {}

  ~GrpcStageStream() override {
    if (finished_) return;
    context_->TryCancel();
    writer_->Finish();
  }

  bool Write(const v1::StageWeightsRequest& request) override { return writer_->Write(request); }

  absl::StatusOr<v1::StageWeightsResponse> Finish() override {
    // False when the stream is broken; its status says why.
    writer_->WritesDone();
    finished_ = true;
    if (const grpc::Status status = writer_->Finish(); !status.ok()) return FromGrpcStatus(status);
    return std::move(response_);
  }

  void Cancel() override { context_->TryCancel(); }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  v1::StageWeightsResponse response_;
  const std::unique_ptr<grpc::ClientWriter<v1::StageWeightsRequest>> writer_;
  const CallHandle::Binding binding_;
  bool finished_ = false;
};

template <class Event>
class GrpcWatch : public Watch<Event> {
 public:
  template <class Open>
  GrpcWatch(std::unique_ptr<grpc::ClientContext> context, CallHandle* handle, Open open)
      : context_(std::move(context)), reader_(open(context_.get())), binding_(handle, [this] { Cancel(); }) {}

  ~GrpcWatch() override {
    if (end_.has_value()) return;
    context_->TryCancel();
    reader_->Finish();
  }

  absl::StatusOr<std::optional<Event>> Next() override {
    if (!end_.has_value()) {
      Event event;
      if (reader_->Read(&event)) return std::optional<Event>(std::move(event));
      end_ = FromGrpcStatus(reader_->Finish());
      if (cancelled_ && absl::IsCancelled(*end_)) end_ = absl::OkStatus();
    }
    if (!end_->ok()) return *end_;
    return std::optional<Event>();
  }

  void Cancel() override {
    cancelled_ = true;
    context_->TryCancel();
  }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::ClientReader<Event>> reader_;
  std::atomic<bool> cancelled_ = false;
  std::optional<absl::Status> end_;  // The reading thread's.
  const CallHandle::Binding binding_;
};

}  // namespace bwrt::client
