#include "client/status.h"

#include <grpcpp/support/status.h>

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "google/rpc/error_details.pb.h"

namespace bwrt::client {
namespace {

// Our own reason for errors that the client itself makes.
constexpr absl::string_view kInvalidInput = "INVALID_INPUT";

absl::Status Make(int code, absl::string_view message, std::string details) {
  if (code == 0) return absl::OkStatus();
  // The two sets of codes are numbered alike; a number outside them becomes UNKNOWN.
  absl::Status status(code > 0 && code <= 16 ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                      message);
  if (!details.empty()) status.SetPayload(kDetailsUrl, absl::Cord(std::move(details)));
  return status;
}

// Control characters would let a message forge lines of output.
std::string OneLine(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\n", " "}, {"\r", " "}, {"\x1b", "?"}});
}

}  // namespace

absl::Status FromGrpcStatus(const grpc::Status& status) {
  return Make(status.error_code(), status.error_message(), status.error_details());
}

absl::Status FromRpcStatus(const google::rpc::Status& status) {
  return Make(status.code(), status.message(), status.details().empty() ? std::string() : status.SerializeAsString());
}

ErrorDetails DetailsOf(const absl::Status& status) {
  ErrorDetails details;
  const absl::optional<absl::Cord> payload = status.GetPayload(kDetailsUrl);
  google::rpc::Status rpc;
  if (!payload.has_value() || !rpc.ParseFromString(std::string(*payload))) return details;
  for (const google::protobuf::Any& any : rpc.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad_request;
    google::rpc::PreconditionFailure failure;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) {
      details.reason = info.reason();
      details.metadata = {info.metadata().begin(), info.metadata().end()};
    } else if (any.UnpackTo(&bad_request)) {
      for (const auto& violation : bad_request.field_violations()) {
        details.field_violations.push_back({violation.field(), violation.reason(), violation.description()});
      }
    } else if (any.UnpackTo(&failure)) {
      for (const auto& violation : failure.violations()) {
        details.precondition_violations.push_back({violation.type(), violation.subject(), violation.description()});
      }
    } else if (any.UnpackTo(&retry)) {
      details.retry_delay =
          absl::Seconds(retry.retry_delay().seconds()) + absl::Nanoseconds(retry.retry_delay().nanos());
    }
  }
  return details;
}

absl::Status InvalidFields(absl::string_view message, std::vector<FieldViolation> violations) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(kInvalidInput));
  info.set_domain("bwrt");
  google::rpc::BadRequest bad_request;
  for (FieldViolation& violation : violations) {
    auto* added = bad_request.add_field_violations();
    added->set_field(std::move(violation.field));
    added->set_reason(std::move(violation.reason));
    added->set_description(std::move(violation.description));
  }
  google::rpc::Status rpc;
  rpc.set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
  rpc.set_message(std::string(message));
  rpc.add_details()->PackFrom(info);
  rpc.add_details()->PackFrom(bad_request);
  return FromRpcStatus(rpc);
}

bool IsUnreachable(const absl::Status& status) {
  return absl::IsUnavailable(status) && DetailsOf(status).reason.empty();
}

std::string FormatError(const absl::Status& status) {
  if (status.ok()) return "OK";
  const ErrorDetails details = DetailsOf(status);
  std::string text = absl::StatusCodeToString(status.code());
  if (!details.reason.empty()) absl::StrAppend(&text, " ", OneLine(details.reason));
  absl::StrAppend(&text, ": ", OneLine(status.message()));
  for (const FieldViolation& violation : details.field_violations) {
    // The daemon's descriptions begin with the path and its value; do not say it twice.
    const bool named = absl::StartsWith(violation.description, violation.field);
    absl::StrAppend(&text, "\n  ", named ? "" : OneLine(violation.field) + ": ", OneLine(violation.description));
  }
  for (const PreconditionViolation& violation : details.precondition_violations) {
    absl::StrAppend(&text, "\n  ", OneLine(violation.type), " ", OneLine(violation.subject), ": ",
                    OneLine(violation.description));
  }
  if (details.retry_delay.has_value()) {
    absl::StrAppend(&text, "\n  try again in ", absl::FormatDuration(*details.retry_delay));
  }
  return text;
}

}  // namespace bwrt::client
