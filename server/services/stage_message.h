// StageMessage: a message of StageWeights as it is received: the bytes of its chunk stay where gRPC put them.
//
// The generated class would copy them into a string of its own, which costs as much as copying them to their place
// does.
#ifndef BWRT_SERVER_SERVICES_STAGE_MESSAGE_H_
#define BWRT_SERVER_SERVICES_STAGE_MESSAGE_H_

#include <google/protobuf/descriptor.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/codegen/serialization_traits.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include "absl/strings/cord.h"
#include "bwrt/v1/weights.grpc.pb.h"

namespace bwrt::server {

struct StageMessage {
  v1::StageWeightsRequest request;  // chunk.data is left out.
  absl::Cord data;                  // It is here.
  bool malformed = false;           // Not a StageWeightsRequest; the rest is unspecified then.

  // What a serialized StageWeightsRequest says. Shares the buffer's memory.
  static StageMessage Parse(grpc::ByteBuffer* buffer);
};

// A service that receives StageWeights as StageMessages.
template <typename Base>
class WithStageMessages : public v1::Weights::WithAsyncMethod_StageWeights<Base> {
 public:
  void RequestStageMessages(grpc::ServerContext* context,
                            grpc::ServerAsyncReader<v1::StageWeightsResponse, StageMessage>* reader,
                            grpc::CompletionQueue* own, grpc::ServerCompletionQueue* queue, void* tag) {
    this->RequestAsyncClientStreaming(Index(), context, reader, own, queue, tag);
  }

 private:
  // gRPC numbers methods as the proto lists them.
  static int Index() {
    static const int index =
        google::protobuf::DescriptorPool::generated_pool()->FindMethodByName("bwrt.v1.Weights.StageWeights")->index();
    return index;
  }
};

}  // namespace bwrt::server

template <>
class grpc::SerializationTraits<bwrt::server::StageMessage> {
 public:
  // Never fails: to gRPC an unreadable message is the end of the stream, and the client should be told better.
  static Status Deserialize(ByteBuffer* buffer, bwrt::server::StageMessage* message) {
    *message = bwrt::server::StageMessage::Parse(buffer);
    buffer->Clear();
    return Status::OK;
  }
};

#endif  // BWRT_SERVER_SERVICES_STAGE_MESSAGE_H_
