#include "client/status.h"

#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"

namespace bwrt::client {
namespace {

google::rpc::Status FullStatus() {
  google::rpc::Status status;
  status.set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
  status.set_message("the wave has 2 invalid fields");
  google::rpc::ErrorInfo info;
  info.set_reason("INVALID_WAVE");
  info.set_domain("bwrt");
  (*info.mutable_metadata())["limit"] = "7";
  status.add_details()->PackFrom(info);
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field("spec.bk");
  violation->set_reason("NOT_GRANULAR");
  violation->set_description("spec.bk=24: try bk=32");
  violation = bad_request.add_field_violations();
  violation->set_field("m");
  violation->set_reason("NOT_POSITIVE");
  violation->set_description("is 0, must be positive");
  status.add_details()->PackFrom(bad_request);
  google::rpc::PreconditionFailure failure;
  auto* precondition = failure.add_violations();
  precondition->set_type("SWAP_WINDOW");
  precondition->set_subject("default/wave 17");
  precondition->set_description("clock [0, 1] outside [4, 8)");
  status.add_details()->PackFrom(failure);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(1);
  retry.mutable_retry_delay()->set_nanos(500000000);
  status.add_details()->PackFrom(retry);
  return status;
}

void ExpectFull(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "the wave has 2 invalid fields");
  const ErrorDetails details = DetailsOf(status);
  EXPECT_EQ(details.reason, "INVALID_WAVE");
  EXPECT_EQ(details.metadata.at("limit"), "7");
  ASSERT_EQ(details.field_violations.size(), 2u);
  EXPECT_EQ(details.field_violations[0].field, "spec.bk");
  EXPECT_EQ(details.field_violations[0].reason, "NOT_GRANULAR");
  EXPECT_EQ(details.field_violations[1].description, "is 0, must be positive");
  ASSERT_EQ(details.precondition_violations.size(), 1u);
  EXPECT_EQ(details.precondition_violations[0].type, "SWAP_WINDOW");
  EXPECT_EQ(details.precondition_violations[0].subject, "default/wave 17");
  EXPECT_EQ(details.retry_delay, absl::Milliseconds(1500));
}

TEST(Status, DetailsSurviveTheWayThroughGrpc) {
  const google::rpc::Status status = FullStatus();
  ExpectFull(
      FromGrpcStatus(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, status.message(), status.SerializeAsString())));
}

TEST(Status, DetailsSurviveTheWayThroughAStream) { ExpectFull(FromRpcStatus(FullStatus())); }

TEST(Status, OkIsOk) {
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
  EXPECT_TRUE(FromRpcStatus(google::rpc::Status()).ok());
  EXPECT_EQ(FormatError(absl::OkStatus()), "OK");
}

TEST(Status, UnknownCodesBecomeUnknown) {
  google::rpc::Status status;
  for (const int code : {-1, 17, 1000}) {
    status.set_code(code);
    EXPECT_EQ(FromRpcStatus(status).code(), absl::StatusCode::kUnknown);
  }
}

TEST(Status, GarbageDetailsAreNone) {
  const absl::Status status = FromGrpcStatus(grpc::Status(grpc::StatusCode::ABORTED, "text", "\xff\xff garbage"));
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(DetailsOf(status).reason.empty());
}

TEST(Status, FormatsOneLineAViolation) {
  EXPECT_EQ(FormatError(FromRpcStatus(FullStatus())),
            "INVALID_ARGUMENT INVALID_WAVE: the wave has 2 invalid fields\n"
            "  spec.bk=24: try bk=32\n"
            "  m: is 0, must be positive\n"
            "  SWAP_WINDOW default/wave 17: clock [0, 1] outside [4, 8)\n"
            "  try again in 1.5s");
}

TEST(Status, AMessageCannotForgeLines) {
  EXPECT_EQ(FormatError(absl::InternalError("a\nb\x1b[31m")), "INTERNAL: a b?[31m");
}

TEST(Status, OnlyAnUnavailableWithoutReasonIsUnreachable) {
  EXPECT_TRUE(IsUnreachable(absl::UnavailableError("connection refused")));
  EXPECT_FALSE(IsUnreachable(absl::InternalError("x")));
  google::rpc::Status status = FullStatus();
  status.set_code(static_cast<int>(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(IsUnreachable(FromRpcStatus(status)));
}

TEST(Status, OwnInvalidFieldsLookLikeTheDaemons) {
  const absl::Status status = InvalidFields("bad", {{"a.b", "WRONG", "a.b=1: no"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(DetailsOf(status).field_violations.size(), 1u);
  EXPECT_EQ(DetailsOf(status).field_violations[0].field, "a.b");
}

}  // namespace
}  // namespace bwrt::client
