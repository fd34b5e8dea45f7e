#include "server/health_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/server/rpc_fixture.h"

namespace bwrt::server {
namespace {

using namespace std::chrono_literals;
using HealthServiceTest = RpcFixture;

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

TEST_F(HealthServiceTest, HealthCheck) {
  Start();
  auto stub = Health::NewStub(NewChannel());
  const auto check = [&](const std::string& name) -> std::pair<grpc::StatusCode, int> {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(name);
    HealthCheckResponse response;
    const auto status = stub->Check(&context, request, &response);
    return {status.error_code(), response.status()};
  };
  using Answer = std::pair<grpc::StatusCode, int>;
  EXPECT_EQ(check(""), Answer(grpc::StatusCode::OK, HealthCheckResponse::NOT_SERVING));
  health_->SetServing(true);
  EXPECT_EQ(check(""), Answer(grpc::StatusCode::OK, HealthCheckResponse::SERVING));
  EXPECT_EQ(check("bwrt.v1.Execution"), Answer(grpc::StatusCode::OK, HealthCheckResponse::SERVING));
  EXPECT_EQ(check("other").first, grpc::StatusCode::NOT_FOUND);
  health_->Set("bwrt.v1.Execution", HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(check("bwrt.v1.Execution"), Answer(grpc::StatusCode::OK, HealthCheckResponse::NOT_SERVING));
  EXPECT_EQ(check(""), Answer(grpc::StatusCode::OK, HealthCheckResponse::SERVING));
}

TEST_F(HealthServiceTest, HealthWatch) {
  Start();
  auto stub = Health::NewStub(NewChannel());
  grpc::ClientContext context;
  auto reader = stub->Watch(&context, {});
  HealthCheckResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  health_->SetServing(true);
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);

  grpc::ClientContext other_context;
  HealthCheckRequest other;
  other.set_service("other");
  auto other_reader = stub->Watch(&other_context, other);
  ASSERT_TRUE(other_reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVICE_UNKNOWN);
  health_->Set("other", HealthCheckResponse::SERVING);
  ASSERT_TRUE(other_reader->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);

  {
    grpc::ClientContext third;  // Two are the limit of this test's service.
    auto refused = stub->Watch(&third, {});
    EXPECT_FALSE(refused->Read(&response));
    EXPECT_EQ(refused->Finish().error_code(), grpc::RESOURCE_EXHAUSTED);
  }
  other_context.TryCancel();
  other_reader->Finish();
  EXPECT_TRUE(Eventually([&] {  // A watch that ended makes room.
    grpc::ClientContext third;
    auto accepted = stub->Watch(&third, {});
    const bool read = accepted->Read(&response);
    third.TryCancel();
    accepted->Finish();
    return read;
  }));

  // However fast the state changes, the last one arrives.
  for (int i = 0; i < 1000; ++i) health_->SetServing(i % 2 == 0);
  health_->SetServing(false);
  health_->Set("", HealthCheckResponse::UNKNOWN);
  do {
    ASSERT_TRUE(reader->Read(&response));
  } while (response.status() != HealthCheckResponse::UNKNOWN);

  health_->CloseWatches();
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::UNAVAILABLE);
}

}  // namespace
}  // namespace bwrt::server
