// ModelTraversals over gRPC: what it answers, what it refuses, and that it costs a bounded time whatever is asked.
#include "server/services/traversal_calls.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "bwrt/v1/execution.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/runtime/runtime_fixture.h"

namespace bwrt::server {
namespace {

using grpc::StatusCode;
using std::chrono::seconds;
using std::chrono::steady_clock;

// The call alone, without the asynchronous rest of the service.
class ServedCalls final : public TraversalCalls {
 public:
  explicit ServedCalls(runtime::Runtime* runtime) { Init(runtime); }
};

// Detail `T` of an error; a default one where it has none.
template <typename T>
T DetailOf(const grpc::Status& status) {
  google::rpc::Status rich;
  T detail;
  if (rich.ParseFromString(status.error_details())) {
    for (const auto& any : rich.details()) {
      if (any.UnpackTo(&detail)) break;
    }
  }
  return detail;
}

std::string ReasonOf(const grpc::Status& status) { return DetailOf<google::rpc::ErrorInfo>(status).reason(); }

std::set<std::string> FieldsOf(const grpc::Status& status) {
  std::set<std::string> fields;
  const auto detail = DetailOf<google::rpc::BadRequest>(status);
  for (const auto& violation : detail.field_violations()) fields.insert(violation.field());
  return fields;
}

v1::ModelTraversalsRequest Question(int64_t m, int64_t n, int64_t k, int32_t tile = 128, uint64_t l2_bytes = 1 << 20) {
  v1::ModelTraversalsRequest request;
  request.mutable_wave()->set_m(m);
  request.mutable_wave()->set_n(n);
  request.mutable_wave()->set_k(k);
  WaveSpec* spec = request.mutable_wave()->mutable_spec();
  spec->set_bm(tile);
  spec->set_bn(tile);
  spec->set_bk(64);
  request.set_l2_bytes(l2_bytes);
  return request;
}

class TraversalCallsTest : public runtime::RuntimeFixture {
 protected:
  void SetUp() override {
    Create();
    calls_ = std::make_unique<ServedCalls>(runtime_.get());
    grpc::ServerBuilder builder;
    builder.RegisterService(calls_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    stub_ = v1::Execution::NewStub(server_->InProcessChannel(grpc::ChannelArguments()));
  }
  void TearDown() override {
    server_->Shutdown();
    server_.reset();
    calls_.reset();
    runtime::RuntimeFixture::TearDown();
  }

  grpc::Status Ask(const v1::ModelTraversalsRequest& request, seconds patience = seconds(60)) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + patience);
    response_.Clear();
    return stub_->ModelTraversals(&context, request, &response_);
  }

  std::unique_ptr<ServedCalls> calls_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Execution::Stub> stub_;
  v1::ModelTraversalsResponse response_;
};

TEST_F(TraversalCallsTest, AnswersForEveryOrder) {
  v1::ModelTraversalsRequest request = Question(512, 512, 1024);
  request.set_concurrent_tiles(2);
  const grpc::Status status = Ask(request);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response_.tiles(), 16u);
  EXPECT_EQ(response_.l2_bytes(), 1u << 20);
  EXPECT_EQ(response_.concurrent_tiles(), 2u);
  EXPECT_EQ(response_.cache(), "");
  // Each tile reads a row and a column panel of 128 x 1024 floats.
  EXPECT_EQ(response_.read_bytes(), 16u * 2 * 128 * 1024 * 4);
  EXPECT_EQ(response_.distinct_bytes(), 8u * 128 * 1024 * 4);
  ASSERT_EQ(response_.traversals_size(), 5);  // Given, row-major, snake, groups of 2 and of 4.
  for (const v1::ModelledTraversal& one : response_.traversals()) {
    EXPECT_GE(one.l2_hit_ratio(), 0);
    EXPECT_LE(one.l2_hit_ratio(), 1);
    EXPECT_GE(one.memory_bytes(), response_.distinct_bytes());
    EXPECT_LE(one.memory_bytes(), response_.read_bytes());
  }
}

TEST_F(TraversalCallsTest, NeedsACacheWhereTheDeviceKnowsNone) {
  const grpc::Status status = Ask(Question(512, 512, 1024, 128, 0));
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonOf(status), "L2_UNKNOWN");
}

TEST_F(TraversalCallsTest, NamesEveryBadFieldOfTheQuestion) {
  v1::ModelTraversalsRequest request = Question(512, 512, 1024, 128, uint64_t{1} << 41);
  request.set_concurrent_tiles(65537);
  request.add_traversals();
  request.add_traversals()->set_kind(static_cast<v1::TraversalKind>(77));
  request.add_traversals()->set_kind(v1::GROUPED);
  const grpc::Status status = Ask(request);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FieldsOf(status), (std::set<std::string>{"l2_bytes", "concurrent_tiles", "traversals[0].kind",
                                                     "traversals[1].kind", "traversals[2].group_size"}));
}

TEST_F(TraversalCallsTest, NamesEveryBadFieldOfTheWave) {
  v1::ModelTraversalsRequest request = Question(0, -5, 1024, -128);
  request.mutable_wave()->mutable_spec()->set_bk(0);
  grpc::Status status = Ask(request);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  const std::set<std::string> fields = FieldsOf(status);
  for (const char* field : {"m", "n", "spec.bm", "spec.bn", "spec.bk"}) EXPECT_TRUE(fields.contains(field)) << field;

  request = Question(256, 256, 64);
  TileCoord* tile = request.mutable_wave()->mutable_spec()->add_tile_order();
  tile->set_m(2);
  status = Ask(request);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << "a tile outside the grid";
  tile->set_m(1);
  *request.mutable_wave()->mutable_spec()->add_tile_order() = *tile;
  status = Ask(request);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << "a tile twice";

  EXPECT_EQ(Ask({}).error_code(), StatusCode::INVALID_ARGUMENT) << "an empty request";
}

TEST_F(TraversalCallsTest, RefusesNumbersThatOverflow) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const auto& [m, n, k] :
       std::vector<std::tuple<int64_t, int64_t, int64_t>>{{kMost, kMost, kMost},
                                                          {kMost, 1, 1},
                                                          {1, 1, kMost},
                                                          {1, kMost, 64},
                                                          {int64_t{1} << 40, int64_t{1} << 40, 64}}) {
    for (const int32_t tile : {1, 128, std::numeric_limits<int32_t>::max()}) {
      const steady_clock::time_point begin = steady_clock::now();
      const grpc::Status status = Ask(Question(m, n, k, tile));
      EXPECT_TRUE(status.error_code() == StatusCode::INVALID_ARGUMENT ||
                  status.error_code() == StatusCode::OUT_OF_RANGE)
          << m << " " << n << " " << k << " " << tile << ": " << status.error_code() << " " << status.error_message();
      EXPECT_LT(steady_clock::now() - begin, seconds(5));
    }
  }
}

TEST_F(TraversalCallsTest, RefusesMoreTilesThanItModelsAtOnce) {
  // 2^20 tiles, the largest grid: 8 traversals of them are the most.
  v1::ModelTraversalsRequest request = Question(1024, 1024, 64, 1);
  for (int i = 0; i < 9; ++i) request.add_traversals()->set_kind(v1::ROW_MAJOR);
  steady_clock::time_point begin = steady_clock::now();
  grpc::Status status = Ask(request);
  EXPECT_EQ(status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(ReasonOf(status), "TOO_MANY_TILES");
  EXPECT_LT(steady_clock::now() - begin, seconds(5));
  // One row more is beyond what any wave may have.
  request = Question(1025, 1024, 64, 1);
  request.add_traversals()->set_kind(v1::ROW_MAJOR);
  begin = steady_clock::now();
  status = Ask(request);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << status.error_message();
  EXPECT_LT(steady_clock::now() - begin, seconds(5));
}

// A second or two on a quiet machine; the sanitizers' builds and neighbours take their share.
TEST_F(TraversalCallsTest, TheLargestQuestionTakesABoundedTime) {
  v1::ModelTraversalsRequest request = Question(1024, 1024, 1 << 20, 1, uint64_t{1} << 20);
  request.mutable_wave()->mutable_spec()->set_bk(8);
  request.set_concurrent_tiles(65536);
  for (int i = 0; i < 8; ++i) {
    v1::TraversalChoice* choice = request.add_traversals();
    choice->set_kind(v1::GROUPED);
    choice->set_group_size(static_cast<uint32_t>(1) << i);
  }
  const steady_clock::time_point begin = steady_clock::now();
  const grpc::Status status = Ask(request);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response_.traversals_size(), 8);
  EXPECT_LT(steady_clock::now() - begin, seconds(40));
}

TEST_F(TraversalCallsTest, MoreCallsThanWaitAreRefusedAndMayComeBack) {
  v1::ModelTraversalsRequest request = Question(1024, 1024, 64, 1);
  request.add_traversals()->set_kind(v1::ROW_MAJOR);
  constexpr int kClients = 2 * TraversalCalls::kMaxCalls;
  std::vector<grpc::Status> ends(kClients);
  std::vector<std::thread> clients;
  for (grpc::Status& end : ends) {
    clients.emplace_back([&] {
      grpc::ClientContext context;
      v1::ModelTraversalsResponse response;
      end = stub_->ModelTraversals(&context, request, &response);
    });
  }
  for (std::thread& client : clients) client.join();
  int answered = 0;
  for (const grpc::Status& end : ends) {
    if (end.ok()) {
      ++answered;
    } else {
      EXPECT_EQ(end.error_code(), StatusCode::RESOURCE_EXHAUSTED) << end.error_message();
      EXPECT_EQ(ReasonOf(end), "TOO_MANY_CALLS");
      EXPECT_GT(DetailOf<google::rpc::RetryInfo>(end).retry_delay().nanos(), 0);
    }
  }
  EXPECT_GE(answered, 1);
  EXPECT_TRUE(Ask(request).ok()) << "a refused call leaves its place to others";
}

// Those that wait for their turn as well: a client that has gone must not cost anything.
TEST_F(TraversalCallsTest, ACallThatNobodyWaitsForEnds) {
  v1::ModelTraversalsRequest request = Question(1024, 1024, 64, 1);
  for (int i = 0; i < 8; ++i) request.add_traversals()->set_kind(v1::ROW_MAJOR);
  const steady_clock::time_point begin = steady_clock::now();
  std::vector<std::thread> clients;
  for (int i = 0; i < TraversalCalls::kMaxCalls; ++i) {
    clients.emplace_back([&] {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
      v1::ModelTraversalsResponse response;
      EXPECT_EQ(stub_->ModelTraversals(&context, request, &response).error_code(), StatusCode::DEADLINE_EXCEEDED);
    });
  }
  for (std::thread& client : clients) client.join();
  v1::ModelTraversalsRequest small = Question(256, 256, 64);
  grpc::Status status = Ask(small);
  while (status.error_code() == StatusCode::RESOURCE_EXHAUSTED) status = Ask(small);  // Their places are still taken.
  EXPECT_TRUE(status.ok()) << status.error_message();
  // All of them to their ends would be 64 traversals of a million tiles.
  EXPECT_LT(steady_clock::now() - begin, seconds(40));
}

}  // namespace
}  // namespace bwrt::server
