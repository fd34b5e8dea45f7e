// How the fakes refuse: statuses with the details that the daemon's have.
//
// Pure functions.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace bwrt::client {

inline google::rpc::Status Reason(grpc::StatusCode code, const std::string& reason) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(absl::StrCat("refused: ", reason));
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("bwrt");
  status.add_details()->PackFrom(info);
  return status;
}

// Adds one violation a field.
inline google::rpc::Status WithViolations(google::rpc::Status status, const std::vector<std::string>& fields) {
  google::rpc::BadRequest bad_request;
  for (const std::string& field : fields) {
    auto* violation = bad_request.add_field_violations();
    violation->set_field(field);
    violation->set_reason("WRONG");
    violation->set_description(absl::StrCat(field, "=1: must be 2"));
  }
  status.add_details()->PackFrom(bad_request);
  return status;
}

inline grpc::Status WithDetails(const google::rpc::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message(), status.SerializeAsString());
}

inline grpc::Status Refuse(grpc::StatusCode code, const std::string& reason) {
  return WithDetails(Reason(code, reason));
}

}  // namespace bwrt::client
