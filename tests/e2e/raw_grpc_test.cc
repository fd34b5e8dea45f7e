// What only a raw gRPC client can send: compressed bombs, messages that are none, and methods that are not there.
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "bwrt/v1/execution.grpc.pb.h"
#include "bwrt/v1/weights.grpc.pb.h"
#include "client/status.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/waves.h"

namespace bwrt::e2e {
namespace {

class RawGrpcTest : public DaemonFixture {
 protected:
  void SetUp() override {
    StartDaemon({"--max-message-bytes=4M"});
    if (HasFatalFailure()) return;
    channel_ = grpc::CreateChannel(daemon().unix_address(), grpc::InsecureChannelCredentials());
  }

  void TearDown() override {
    channel_.reset();  // Or the daemon would wait a moment for it.
    DaemonFixture::TearDown();
  }

  static void SetDeadline(grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + absl::ToChronoSeconds(kPatience));
  }

  // One unary call of `bytes`.
  grpc::Status Send(const std::string& method, const std::string& bytes) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    SetDeadline(&context);
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, this);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    return status;
  }

  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(RawGrpcTest, CompressedBombsAreRefused) {
  const auto execution = v1::Execution::NewStub(channel_);
  v1::SubmitWaveRequest wave = MakeWave(8, 8, 8);
  ASSERT_TRUE(client().SubmitWave(wave).ok());
  const int64_t before = daemon().PeakMemory();
  ASSERT_GT(before, 0);
  wave.mutable_a()->set_inline_(std::string(200 << 20, '\0'));  // A few hundred kilobytes on the wire.
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    SetDeadline(&context);
    context.set_compression_algorithm(algorithm);
    v1::WaveResult result;
    const grpc::Status status = execution->SubmitWave(&context, wave, &result);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
  }
  EXPECT_LT(daemon().PeakMemory() - before, 64 << 20);
}

TEST_F(RawGrpcTest, ACompressedStreamIsRefused) {
  const auto execution = v1::Execution::NewStub(channel_);
  grpc::ClientContext context;
  SetDeadline(&context);
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  const auto stream = execution->StreamWaves(&context);
  v1::StreamWavesRequest request;
  *request.mutable_wave() = MakeWave(256, 256, 64);
  stream->Write(request);
  stream->WritesDone();
  v1::StreamWavesResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

const std::vector<std::string>& Garbage() {
  static const auto* const garbage = new std::vector<std::string>{
      std::string(1, '\xff'),
      std::string("\x0a\xff\xff\xff\xff\x0f", 6),  // A string of 4 GiB that is not there.
      std::string("\x0a\x02\xc3\x28", 4),          // No UTF-8, where field 1 is a string.
      std::string(100'000, '\x0b'),                // Groups within groups.
      std::string(65'536, '\x80'),                 // A number without end.
  };
  return *garbage;
}

TEST_F(RawGrpcTest, WhatIsNoMessage) {
  for (const char* method :
       {"/bwrt.v1.Execution/SubmitWave", "/bwrt.v1.Execution/ValidateWave", "/bwrt.v1.Execution/CancelWave",
        "/bwrt.v1.Weights/SetWeights", "/bwrt.v1.Weights/GetModel", "/bwrt.v1.Weights/WatchModel",
        "/bwrt.v1.Telemetry/Sample", "/bwrt.v1.Telemetry/WatchSamples", "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch"}) {
    for (const std::string& bytes : Garbage()) {
      EXPECT_FALSE(Send(method, bytes).ok()) << method << " took " << bytes.size() << " bytes of garbage";
    }
    ASSERT_TRUE(IsServing()) << method;
  }
  // Within a message, what is broken is the part.
  EXPECT_FALSE(Send("/bwrt.v1.Execution/SubmitWave", std::string("\x22\x04\x1a\xff\xff\x7f", 6)).ok());
}

TEST_F(RawGrpcTest, WhatIsNoMessageInAStream) {
  for (const std::string& bytes : Garbage()) {
    if (bytes.size() == 4) continue;  // Field 1 is a number here.
    EXPECT_FALSE(Send("/bwrt.v1.Execution/StreamWaves", bytes).ok()) << bytes.size() << " bytes of garbage";
  }
}

TEST_F(RawGrpcTest, WhatIsNoStageWeightsRequestIsSaidToBeNone) {
  for (const std::string& bytes : Garbage()) {
    const grpc::Status status = Send("/bwrt.v1.Weights/StageWeights", bytes);
    EXPECT_TRUE(Is(client::FromGrpcStatus(status), absl::StatusCode::kInvalidArgument, "MALFORMED"))
        << bytes.size() << " bytes of garbage";
  }
  ASSERT_TRUE(IsServing());
}

TEST_F(RawGrpcTest, UnknownMethods) {
  for (const char* method : {"/bwrt.v1.Execution/Nothing", "/bwrt.v1.Regions/CreateRegion", "/x", "/"}) {
    EXPECT_EQ(Send(method, "").error_code(), grpc::StatusCode::UNIMPLEMENTED) << method;
  }
}

TEST_F(RawGrpcTest, EmptyRequests) {
  EXPECT_EQ(Send("/bwrt.v1.Execution/SubmitWave", "").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Send("/bwrt.v1.Execution/ValidateWave", "").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Send("/bwrt.v1.Weights/SetWeights", "").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(Send("/bwrt.v1.Weights/GetModel", "").ok());
  EXPECT_TRUE(Send("/bwrt.v1.Execution/GetCapabilities", "").ok());
}

}  // namespace
}  // namespace bwrt::e2e
