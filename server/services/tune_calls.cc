#include "server/services/tune_calls.h"

#include "server/services/duration.h"
#include "server/status.h"

namespace bwrt::server {
namespace {

runtime::TuneOrder Decode(const v1::TuneRequest& request) {
  runtime::TuneOrder order;
  order.device = request.device();
  order.only_missing = request.only_missing();
  if (request.has_budget()) order.budget = FromProto(request.budget());
  for (const v1::TuneProblem& problem : request.problems()) {
    order.problems.push_back({.m = problem.m(),
                              .n = problem.n(),
                              .k = problem.k(),
                              .dtype = static_cast<runtime::DTypeWish>(problem.dtype()),
                              .c_dtype = static_cast<runtime::DTypeWish>(problem.c_dtype()),
                              .w_transposed = problem.w_transposed()});
  }
  return order;
}

void Encode(const runtime::TimedTile& tile, v1::TimedTile* out) {
  v1::TileShape* shape = out->mutable_shape();
  shape->set_bm(tile.shape.bm);
  shape->set_bn(tile.shape.bn);
  shape->set_bk(tile.shape.bk);
  shape->set_stage_n(tile.shape.stage);
  shape->mutable_cluster_shape()->set_x(tile.shape.cluster_x);
  shape->mutable_cluster_shape()->set_y(tile.shape.cluster_y);
  out->set_kernel(tile.kernel);
  out->set_median_seconds(runtime::Seconds(tile.median));
  out->set_repeats(static_cast<uint32_t>(tile.repeats));
  out->set_algorithm(tile.algorithm);
  out->set_first_choice_seconds(runtime::Seconds(tile.first_choice));
}

void Encode(size_t problem, const runtime::TuneResult& result, v1::TuneResult* out) {
  out->set_problem(static_cast<uint32_t>(problem));
  Encode(result.winner, out->mutable_winner());
  Encode(result.first, out->mutable_first());
  for (const runtime::TimedTile& tile : result.timed) Encode(tile, out->add_timed());
  out->set_left_out(static_cast<uint32_t>(result.left_out));
  for (const std::string& rejected : result.rejected) out->add_rejected(rejected);
  out->set_kept(result.kept);
}

}  // namespace

grpc::Status TuneCalls::Tune(grpc::ServerContext* context, const v1::TuneRequest* request,
                             grpc::ServerWriter<v1::TuneResponse>* writer) {
  // A client that is gone is one that has cancelled.
  bool gone = false;
  const auto write = [&](const v1::TuneResponse& response) { gone = !writer->Write(response) || gone; };
  runtime::TuneListener listener;
  listener.on_progress = [&](size_t problem, size_t done, size_t of) {
    v1::TuneResponse response;
    response.mutable_progress()->set_problem(static_cast<uint32_t>(problem));
    response.mutable_progress()->set_shapes_done(static_cast<uint32_t>(done));
    response.mutable_progress()->set_shapes(static_cast<uint32_t>(of));
    write(response);
  };
  listener.on_result = [&](size_t problem, const runtime::TuneResult& result) {
    v1::TuneResponse response;
    Encode(problem, result, response.mutable_result());
    write(response);
  };
  listener.cancelled = [&] { return gone || context->IsCancelled(); };
  return ToGrpcStatus(tuner_->Tune(Decode(*request), listener));
}

}  // namespace bwrt::server
