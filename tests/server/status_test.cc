#include "server/status.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "runtime/error.h"

namespace bwrt::server {
namespace {

using google::rpc::BadRequest;
using google::rpc::ErrorInfo;
using google::rpc::PreconditionFailure;
using google::rpc::RetryInfo;

google::rpc::Status Parse(const grpc::Status& status) {
  google::rpc::Status rpc;
  EXPECT_TRUE(rpc.ParseFromString(status.error_details()));
  return rpc;
}

template <typename T>
T Detail(const google::rpc::Status& rpc, int index) {
  T detail;
  EXPECT_TRUE(index < rpc.details_size() && rpc.details(index).UnpackTo(&detail));
  return detail;
}

size_t OnTheWire(const grpc::Status& status) {
  size_t size = (status.error_details().size() + 2) / 3 * 4;
  for (const unsigned char c : status.error_message()) size += c >= ' ' && c < 0x7f && c != '%' ? 1 : 3;
  return size;
}

TEST(StatusTest, Ok) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).error_details().empty());
  EXPECT_EQ(ToRpcStatus(absl::OkStatus()).code(), 0);
}

TEST(StatusTest, EveryCodeKeepsItsNumber) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "text");
    EXPECT_EQ(ToGrpcStatus(status).error_code(), code);
    EXPECT_EQ(ToGrpcStatus(status).error_message(), "text");
    EXPECT_EQ(ToRpcStatus(status).code(), code);
    EXPECT_EQ(ToRpcStatus(status).message(), "text");
  }
}

TEST(StatusTest, DetailsOfTheRuntime) {
  runtime::ErrorDetails details;
  details.reason = "SWAP_WINDOW_CLOSED";
  details.metadata = {{"model", "default"}, {"clock", "[1, 3]"}};
  details.fields = {{"spec.bk", "BAD_GRANULARITY", "try bk=32"}};
  details.preconditions = {{"SWAP_WINDOW", "default/wave 17", "closed until token 4"}};
  details.retry_after = std::chrono::milliseconds(1500);
  const auto error = runtime::MakeError(absl::StatusCode::kFailedPrecondition, "the window is closed", details);

  const grpc::Status status = ToGrpcStatus(error);
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  const google::rpc::Status rpc = Parse(status);
  EXPECT_EQ(rpc.ByteSizeLong(), ToRpcStatus(error).ByteSizeLong());
  EXPECT_EQ(rpc.code(), 9);
  EXPECT_EQ(rpc.message(), "the window is closed");
  ASSERT_EQ(rpc.details_size(), 4);
  EXPECT_EQ(rpc.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  const auto info = Detail<ErrorInfo>(rpc, 0);
  EXPECT_EQ(info.reason(), "SWAP_WINDOW_CLOSED");
  EXPECT_EQ(info.domain(), "bwrt");
  EXPECT_EQ(info.metadata().at("clock"), "[1, 3]");
  const auto retry = Detail<RetryInfo>(rpc, 1);
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
  const auto precondition = Detail<PreconditionFailure>(rpc, 2);
  ASSERT_EQ(precondition.violations_size(), 1);
  EXPECT_EQ(precondition.violations(0).subject(), "default/wave 17");
  const auto bad = Detail<BadRequest>(rpc, 3);
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "spec.bk");
  EXPECT_EQ(bad.field_violations(0).reason(), "BAD_GRANULARITY");
}

TEST(StatusTest, DetailsByTypeUrl) {
  absl::Status error = absl::ResourceExhaustedError("full");
  RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  AddDetail(&error, retry);
  ErrorInfo info;
  info.set_reason("QUEUE_FULL");
  AddDetail(&error, info);
  google::rpc::Status other;  // Any message will do.
  other.set_message("other");
  AddDetail(&error, other);
  error.SetPayload("something of our own", absl::Cord("stays inside"));
  const google::rpc::Status rpc = Parse(ToGrpcStatus(error));
  ASSERT_EQ(rpc.details_size(), 3);
  EXPECT_EQ(Detail<ErrorInfo>(rpc, 0).reason(), "QUEUE_FULL");
  EXPECT_EQ(Detail<RetryInfo>(rpc, 1).retry_delay().seconds(), 2);
  EXPECT_EQ(Detail<google::rpc::Status>(rpc, 2).message(), "other");
}

TEST(StatusTest, ViolationsAreKeptWhileTheyFitAndCounted) {
  constexpr int kCount = 5000;
  runtime::ErrorDetails details;
  details.reason = "INVALID";
  for (int i = 0; i < kCount; ++i) {
    details.fields.push_back(
        {"spec.tile_order[" + std::to_string(i) + "].m", "TILE_OUTSIDE", "is outside of the grid of 4 x 4 tiles"});
  }
  const auto error = runtime::MakeError(absl::StatusCode::kInvalidArgument, "bad wave", details);
  const grpc::Status status = ToGrpcStatus(error);
  EXPECT_LE(OnTheWire(status), kMaxTrailerBytes);
  EXPECT_GT(OnTheWire(status), kMaxTrailerBytes / 2);
  const auto bad = Detail<BadRequest>(Parse(status), 1);
  const int kept = bad.field_violations_size() - 1;
  ASSERT_GT(kept, 20);
  EXPECT_EQ(bad.field_violations(0).field(), "spec.tile_order[0].m");
  EXPECT_EQ(bad.field_violations(kept).field(), "");
  EXPECT_EQ(bad.field_violations(kept).description(),
            "and " + std::to_string(kCount - kept) + " more, left out to fit the size limit");
  // Inside a response there is more room.
  const google::rpc::Status rpc = ToRpcStatus(error);
  EXPECT_GT(Detail<BadRequest>(rpc, 1).field_violations_size(), 5 * kept);
  EXPECT_LE(rpc.ByteSizeLong(), kMaxEmbeddedErrorBytes);
}

TEST(StatusTest, AnyErrorStaysWithinTheBound) {
  for (const size_t size : {10u, 400u, 4000u, 20000u}) {
    for (const char* piece : {"x", "\xc3\xa9", "\xff", "\n"}) {
      std::string text;
      while (text.size() < size) text += piece;
      runtime::ErrorDetails details;
      details.reason = text;
      for (int i = 0; i < 100; ++i) {
        details.metadata.emplace_back(std::to_string(i) + text, text);
        details.fields.push_back({text, text, text});
        details.preconditions.push_back({text, text, text});
      }
      const auto error = runtime::MakeError(absl::StatusCode::kInvalidArgument, text, details);
      const grpc::Status status = ToGrpcStatus(error);
      EXPECT_LE(OnTheWire(status), kMaxTrailerBytes) << size << piece;
      EXPECT_GT(Parse(status).details_size(), 0);
      EXPECT_LE(ToRpcStatus(error).ByteSizeLong(), kMaxEmbeddedErrorBytes);
    }
  }
}

TEST(StatusTest, CleanUtf8) {
  EXPECT_EQ(CleanUtf8("", 10), "");
  EXPECT_EQ(CleanUtf8("plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 99),
            "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(CleanUtf8("a\xff\xfe"
                      "b",
                      99),
            "a??b");
  EXPECT_EQ(CleanUtf8("\xc0\xaf", 99), "??");            // Overlong.
  EXPECT_EQ(CleanUtf8("\xed\xa0\x80", 99), "???");       // A surrogate.
  EXPECT_EQ(CleanUtf8("\xf4\x90\x80\x80", 99), "????");  // Beyond Unicode.
  EXPECT_EQ(CleanUtf8("cut \xe2\x82", 99), "cut ??");    // Ends in the middle.
  EXPECT_EQ(CleanUtf8("12345678", 8), "12345678");
  EXPECT_EQ(CleanUtf8("123456789", 8), "12345...");
  EXPECT_EQ(CleanUtf8("1234\xc3\xa9\xc3\xa9\xc3\xa9", 8), "1234...");  // Never half a character.
  EXPECT_EQ(CleanUtf8("123456789", 2), "");
}

}  // namespace
}  // namespace bwrt::server
