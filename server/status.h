// The one conversion from absl::Status to what a client sees.
//
// Details come from runtime::MakeError, and from payloads whose key is a type URL of a google.rpc message (see
// AddDetail). Every string is made valid UTF-8, for details may quote what a client sent.
//
// An error has to fit into the trailers: gRPC and most other clients accept 8 KiB of them, and turn a larger
// answer into RESOURCE_EXHAUSTED, hiding the real one. Hence bounds: the message is cut, violations are kept
// from the first on while they fit, and a last one says how many more there are.
//
// Pure functions; thread-safe.
#ifndef BWRT_SERVER_STATUS_H_
#define BWRT_SERVER_STATUS_H_

#include <google/protobuf/message.h>
#include <grpcpp/support/status.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace bwrt::server {

// What grpc-message (percent-encoded) and grpc-status-details-bin (base64) may take on the wire together.
inline constexpr size_t kMaxTrailerBytes = 7 * 1024;
// What an error inside a response message may take; it travels as data, not as trailers.
inline constexpr size_t kMaxEmbeddedErrorBytes = 64 * 1024;

// For ending an RPC. The details are a google.rpc.Status.
grpc::Status ToGrpcStatus(const absl::Status& status);

// For an error inside a response, such as that of one wave of a stream.
google::rpc::Status ToRpcStatus(const absl::Status& status);

// Attaches a google.rpc message (BadRequest, ErrorInfo, ...) to an error, replacing one of the same type.
// Nothing happens to an OK status.
void AddDetail(absl::Status* status, const google::protobuf::Message& detail);

// `text` as valid UTF-8 of at most `max_bytes`: a bad byte becomes '?', and a cut is marked with "...".
std::string CleanUtf8(std::string_view text, size_t max_bytes);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_STATUS_H_
