#include "server/services/traversal_calls.h"

#include <chrono>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/traversal_model.h"
#include "server/services/wave_codec.h"
#include "server/status.h"

namespace bwrt::server {
namespace {

absl::Status TooManyCalls(int limit) {
  runtime::ErrorDetails details;
  details.reason = "TOO_MANY_CALLS";
  details.retry_after = std::chrono::milliseconds(500);
  return runtime::MakeError(absl::StatusCode::kResourceExhausted,
                            absl::StrCat(limit, " calls model traversals or wait for it, the limit; retry later"),
                            details);
}

runtime::TraversalQuestion Decode(const v1::ModelTraversalsRequest& request) {
  runtime::TraversalQuestion question;
  question.l2_bytes = request.l2_bytes();
  question.concurrent_tiles = request.concurrent_tiles();
  for (const v1::TraversalChoice& choice : request.traversals()) {
    question.traversals.push_back({static_cast<runtime::TraversalKind>(choice.kind()), choice.group_size()});
  }
  return question;
}

void Encode(const runtime::TraversalAnswer& answer, v1::ModelTraversalsResponse* response) {
  response->set_l2_bytes(static_cast<uint64_t>(answer.l2_bytes));
  response->set_concurrent_tiles(static_cast<uint32_t>(answer.concurrent_tiles));
  response->set_tiles(static_cast<uint64_t>(answer.tiles));
  for (const runtime::ModelledTraversal& modelled : answer.traversals) {
    v1::ModelledTraversal* out = response->add_traversals();
    out->mutable_traversal()->set_kind(static_cast<v1::TraversalKind>(modelled.traversal.kind));
    out->mutable_traversal()->set_group_size(modelled.traversal.group_size);
    out->set_l2_hit_ratio(modelled.traffic.hit_ratio());
    out->set_memory_bytes(static_cast<uint64_t>(modelled.traffic.miss_bytes()));
    // The same tiles in every order.
    response->set_read_bytes(static_cast<uint64_t>(modelled.traffic.read_bytes));
    response->set_distinct_bytes(static_cast<uint64_t>(modelled.traffic.distinct_bytes));
  }
}

}  // namespace

grpc::Status TraversalCalls::ModelTraversals(grpc::ServerContext* context, const v1::ModelTraversalsRequest* request,
                                             v1::ModelTraversalsResponse* response) {
  const absl::Cleanup leave = [this] { calls_.fetch_sub(1, std::memory_order_relaxed); };
  if (calls_.fetch_add(1, std::memory_order_relaxed) >= kMaxCalls) return ToGrpcStatus(TooManyCalls(kMaxCalls));
  runtime::MutexLock turn(turn_);
  // To decode a large wave takes a while too.
  if (context->IsCancelled()) return ToGrpcStatus(absl::CancelledError("the client has gone away"));
  // gRPC keeps the request until this returns.
  const auto plan = runtime_->PlanTiles(DecodeWave(request->wave(), /*owner=*/nullptr));
  if (!plan.ok()) return ToGrpcStatus(plan.status());
  // The device a wave would run on.
  const runtime::DeviceInfo& device = *runtime_->Devices().front().info;
  const auto answer =
      runtime::ModelTraversals(*plan, Decode(*request), device.cache, [context] { return context->IsCancelled(); });
  if (answer.ok()) Encode(*answer, response);
  if (answer.ok() && !answer->cache.empty()) response->set_cache(absl::StrCat(answer->cache, " of ", device.name));
  return ToGrpcStatus(answer.status());
}

}  // namespace bwrt::server
