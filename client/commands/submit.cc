// bwrtctl submit: one wave, from flags or from a file.
#include <openssl/evp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/flags.h"
#include "client/commands/output.h"
#include "client/commands/wave_file.h"
#include "client/dtype.h"
#include "client/file.h"
#include "client/operands.h"
#include "client/reference.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

struct Flags {
  // Where the wave comes from; otherwise from the shape flags.
  std::string file = {};

  int64_t m = 256, n = 256, k = 512;
  int32_t bm = 128, bn = 128, bk = 64, stage = 2;
  std::string cluster = "2,1";
  std::vector<std::string> tiles = {};
  std::string coverage = "COMPLETE";
  DType dtype = F32;
  DType c_dtype = F32;
  std::string tensor = {};
  bool transposed = false;
  float alpha = 1, beta = 0;
  bool bias = false;
  std::string activation = "IDENTITY";
  int32_t swap_begin = 0;
  std::optional<int32_t> swap_end = {};

  // These also apply to a file's wave.
  std::string model = {};
  uint64_t required_version = 0;
  uint64_t seed = 0;
  std::optional<uint64_t> tensor_seed = {};
  absl::Duration timeout = absl::Seconds(60);
  bool verify = false;
  std::string out = {};
};

std::string Sha256(absl::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) != 1) return "";
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(digest), size));
}

v1::SubmitWaveRequest FromFlags(const Flags& flags) {
  v1::SubmitWaveRequest request;
  WaveSpec* spec = request.mutable_spec();
  spec->set_bm(flags.bm);
  spec->set_bn(flags.bn);
  spec->set_bk(flags.bk);
  spec->mutable_tmem_layout()->set_stage_n(flags.stage);
  spec->set_dtype(flags.dtype);
  std::pair<int32_t, int32_t> pair;
  if (ParsePair(flags.cluster, &pair)) {
    spec->mutable_cluster_shape()->set_x(pair.first);
    spec->mutable_cluster_shape()->set_y(pair.second);
  }
  for (const std::string& tile : flags.tiles) {
    if (!ParsePair(tile, &pair)) continue;  // Checked by the parser.
    spec->add_tile_order()->set_m(pair.first);
    spec->mutable_tile_order()->rbegin()->set_n(pair.second);
  }
  request.set_m(flags.m);
  request.set_n(flags.n);
  request.set_k(flags.k);
  request.set_w_transposed(flags.transposed);
  request.set_c_dtype(flags.c_dtype);
  request.set_alpha(flags.alpha);
  request.set_beta(flags.beta);
  v1::Coverage coverage = v1::COMPLETE;
  v1::Coverage_Parse(flags.coverage, &coverage);
  request.set_coverage(coverage);
  v1::Activation activation = v1::IDENTITY;
  v1::Activation_Parse(flags.activation, &activation);
  request.set_activation(activation);
  if (!flags.tensor.empty()) request.mutable_w()->set_tensor(flags.tensor);
  spec->set_swap_begin(flags.swap_begin);
  if (flags.swap_end.has_value()) {
    spec->set_swap_end(*flags.swap_end);
  } else {
    // All of its tokens: a window that is always open.
    const auto tiles = [](int64_t size, int64_t tile) { return tile > 0 ? (size - 1) / tile + 1 : 1; };
    const double grid = static_cast<double>(tiles(flags.m, flags.bm)) * static_cast<double>(tiles(flags.n, flags.bn));
    const double end = flags.tiles.empty() ? grid : static_cast<double>(flags.tiles.size());
    spec->set_swap_end(
        static_cast<int32_t>(std::clamp(end, 1.0, static_cast<double>(std::numeric_limits<int32_t>::max()))));
  }
  return request;
}

// Draws the operands that the request needs and does not have.
absl::Status FillOperands(const Flags& flags, v1::SubmitWaveRequest* request) {
  const DType dtype = request->spec().dtype() == DTYPE_UNSPECIFIED ? F32 : request->spec().dtype();
  const DType c_dtype = request->c_dtype() == DTYPE_UNSPECIFIED ? F32 : request->c_dtype();
  const auto fill = [&flags](OperandStream::Role role, DType type, int64_t rows, int64_t columns,
                             v1::Operand* operand) -> absl::Status {
    if (operand->source_case() != v1::Operand::SOURCE_NOT_SET) return absl::OkStatus();
    auto bytes = RandomMatrix({flags.seed, 0, role}, type, rows, columns);
    if (!bytes.ok()) return bytes.status();
    operand->set_inline_(*std::move(bytes));
    operand->set_row_stride(0);
    return absl::OkStatus();
  };
  // The daemon says what is wrong with a negative size, along with all else.
  const int64_t m = std::max<int64_t>(0, request->m());
  const int64_t n = std::max<int64_t>(0, request->n());
  const int64_t k = std::max<int64_t>(0, request->k());
  const bool transposed = request->w_transposed();
  if (absl::Status status = fill(OperandStream::kA, dtype, m, k, request->mutable_a()); !status.ok()) {
    return status;
  }
  if (absl::Status status =
          fill(OperandStream::kW, dtype, transposed ? n : k, transposed ? k : n, request->mutable_w());
      !status.ok()) {
    return status;
  }
  if (request->beta() != 0) {
    if (absl::Status status = fill(OperandStream::kC, c_dtype, m, n, request->mutable_c()); !status.ok()) {
      return status;
    }
  }
  if (flags.bias && request->bias().empty()) {
    const uint64_t stream = OperandStream{flags.seed, 0, OperandStream::kBias}.id();
    for (int64_t i = 0; i < n && i < std::numeric_limits<int32_t>::max(); ++i) {
      request->add_bias(RandomValue(flags.seed, stream, i));
    }
  }
  if (request->ByteSizeLong() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return absl::ResourceExhaustedError("the wave exceeds one message (2 GiB)");
  }
  return absl::OkStatus();
}

absl::StatusOr<TileComparison> Verify(const Flags& flags, v1::SubmitWaveRequest request, const v1::WaveResult& result,
                                      absl::string_view c) {
  if (request.w().source_case() == v1::Operand::kTensor) {
    // The daemon says which type it took from the tensor.
    request.mutable_spec()->set_dtype(result.effective().dtype());
    const bool transposed = request.w_transposed();
    auto w = RandomMatrix({flags.tensor_seed.value_or(0), 0, OperandStream::kW}, request.spec().dtype(),
                          transposed ? request.n() : request.k(), transposed ? request.k() : request.n());
    if (!w.ok()) return w.status();
    request.mutable_w()->set_inline_(*std::move(w));
  }
  const auto reference = ReferenceC(request);
  if (!reference.ok()) return reference.status();
  return CompareTiles(request, *reference, c);
}

// C in brief: its shape, its digest and its first values.
struct Summary {
  Summary(const v1::SubmitWaveRequest& request, absl::string_view c)
      : rows(request.m()),
        columns(request.n()),
        dtype(request.c_dtype() == DTYPE_UNSPECIFIED ? F32 : request.c_dtype()),
        bytes(c.size()),
        sha256(Sha256(c)) {
    const size_t shown = std::min<size_t>(c.size(), 4 * DTypeBytes(dtype));
    if (auto values = DecodeElements(dtype, c.substr(0, shown)); values.ok()) first = *values;
  }

  int64_t rows, columns;
  DType dtype;
  size_t bytes;
  std::string sha256;
  std::vector<double> first;
};

void PrintResult(const v1::WaveResult& result, const Summary& c, std::ostream& out) {
  const v1::EffectiveSpec& effective = result.effective();
  const v1::Timings& timings = result.timings();
  out << "version " << result.version();
  if (!result.version_label().empty()) out << " '" << absl::CHexEscape(result.version_label()) << "'";
  out << " of " << absl::CHexEscape(result.model()) << '\n';
  out << "ran on " << effective.device() << " with " << effective.kernel() << ": tile " << effective.bm() << "x"
      << effective.bn() << ", k step " << effective.k_step() << ", stages " << effective.stages() << ", cluster "
      << effective.cluster().x() << "," << effective.cluster().y() << ", " << DTypeName(effective.dtype()) << " to "
      << DTypeName(effective.c_dtype()) << (effective.unlisted_shape() ? ", unlisted shape" : "") << '\n';
  out << "tiles " << effective.tiles_listed() << " listed, " << effective.tiles_appended() << " appended, "
      << effective.tiles_dropped() << " dropped, " << effective.tiles_omitted() << " omitted; order "
      << (effective.traversal_honoured() ? "honoured" : "not honoured") << '\n';
  for (const v1::Downgrade& downgrade : effective.downgrades()) {
    out << "  " << downgrade.field() << ": " << downgrade.requested() << " ran as " << downgrade.executed() << ": "
        << downgrade.reason() << '\n';
  }
  const v1::TokenPlan& tokens = result.tokens();
  out << "tokens " << tokens.prefetch_tokens() << " prefetch + " << tokens.tile_tokens() << " tiles, swap window ["
      << tokens.swap_begin() << ", " << tokens.swap_end() << ")\n";
  out << "time " << FormatSeconds(timings.queue_seconds()) << " queue, " << FormatSeconds(timings.prefetch_seconds())
      << " prefetch, " << FormatSeconds(timings.compute_seconds()) << " compute, "
      << FormatSeconds(timings.copy_seconds()) << " copy\n";
  PrintReadings(result.readings(), out);
  if (result.has_hardware_counts()) {
    const v1::HardwareCounts& counts = result.hardware_counts();
    out << "counted " << counts.cycles() << " cycles, " << counts.cache_reads() << " cache reads, "
        << counts.cache_misses() << " misses\n";
  }
  out << "C " << c.rows << "x" << c.columns << " " << DTypeName(c.dtype) << ", " << FormatBytes(c.bytes) << ", sha256 "
      << c.sha256 << ", first " << absl::StrJoin(c.first, " ") << '\n';
}

Json ResultJson(const v1::WaveResult& result, const Summary& c) {
  Json json = ToJson(result);
  Json summary;
  summary["rows"] = c.rows;
  summary["columns"] = c.columns;
  summary["dtype"] = std::string(DTypeName(c.dtype));
  summary["bytes"] = c.bytes;
  summary["sha256"] = c.sha256;
  summary["first"] = c.first;
  json["c"] = std::move(summary);
  return json;
}

absl::StatusOr<v1::SubmitWaveRequest> MakeRequest(const Flags& flags) {
  v1::SubmitWaveRequest request;
  if (flags.file.empty()) {
    request = FromFlags(flags);
  } else {
    auto file = ReadWaveFile(flags.file);
    if (!file.ok()) return file.status();
    if (!file->request.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(flags.file, ": holds a planner's waves: run them with bwrtctl replay"));
    }
    request = *std::move(file->request);
  }
  if (!flags.model.empty()) request.set_model(flags.model);
  if (flags.required_version != 0) request.set_required_version(flags.required_version);
  if (absl::Status status = FillOperands(flags, &request); !status.ok()) return status;
  if (flags.verify && request.w().source_case() == v1::Operand::kTensor && !flags.tensor_seed.has_value()) {
    return absl::InvalidArgumentError(
        "--verify cannot know a stored tensor's values: say with --tensor-seed which seed it was "
        "published with (weights set ... =random:SEED)");
  }
  return request;
}

int RunSubmit(const Context& context, const Flags& flags) {
  const auto request = MakeRequest(flags);
  if (!request.ok()) return context.Usage(request.status());
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  auto result = (*client)->SubmitWave(*request, {.timeout = flags.timeout});
  if (!result.ok()) return context.Fail(result.status());
  const std::string c = std::move(*result->mutable_c());
  result->clear_c();
  if (!flags.out.empty()) {
    if (absl::Status status = WriteFile(flags.out, c); !status.ok()) return context.Usage(status);
  }
  const Summary summary(*request, c);
  Json json;
  if (context.json) {
    json = ResultJson(*result, summary);
  } else {
    PrintResult(*result, summary, context.out);
  }
  bool agrees = true;
  if (flags.verify) {
    const auto comparison = Verify(flags, *request, *result, c);
    if (!comparison.ok()) return context.Fail(comparison.status());
    const double tolerance = Tolerance(*request);
    const double error = std::min(comparison->max_rel_error, std::numeric_limits<double>::max());
    agrees = comparison->max_rel_error <= tolerance;
    if (context.json) {
      Json verify;
      verify["verified"] = agrees;
      verify["tiles"] = comparison->tiles;
      verify["max_rel_error"] = error;
      verify["tolerance"] = tolerance;
      json["verify"] = std::move(verify);
    } else {
      context.out << absl::StreamFormat("%s: %d tiles, worst relative error %.2g in tile (%d, %d), allowed %.0e\n",
                                        agrees ? "verified" : "WRONG", comparison->tiles, error, comparison->worst_m,
                                        comparison->worst_n, tolerance);
    }
  }
  if (context.json) PrintJson(json, context.out);
  context.out << std::flush;
  return agrees ? kExitDone : kExitFailed;
}

void AddShapeFlags(CLI::App& command, Flags& flags) {
  command.add_option("--m", flags.m, "Rows of A and C")->capture_default_str();
  command.add_option("--n", flags.n, "Columns of W and C")->capture_default_str();
  command.add_option("--k", flags.k, "Columns of A, rows of W")->capture_default_str();
  command.add_option("--bm", flags.bm, "Rows of a tile")->capture_default_str();
  command.add_option("--bn", flags.bn, "Columns of a tile")->capture_default_str();
  command.add_option("--bk", flags.bk, "Depth of a step")->capture_default_str();
  command.add_option("--stage", flags.stage, "Stages planned with")->capture_default_str();
  command.add_option("--cluster", flags.cluster, "Cluster shape")
      ->check(CheckPair)
      ->type_name("X,Y")
      ->capture_default_str();
  command.add_option("--tiles", flags.tiles, "Tiles in the order to run, such as 0,0 0,1 1,1 1,0")
      ->check(CheckPair)
      ->type_name("M,N");
  command.add_option("--coverage", flags.coverage, "What becomes of tiles not listed")
      ->transform(CLI::IsMember({"COMPLETE", "EXACT", "PARTIAL"}, CLI::ignore_case))
      ->capture_default_str();
  AddDType(command, "--dtype", &flags.dtype, "Type of A and W: f32 (default), f16, bf16");
  AddDType(command, "--c-dtype", &flags.c_dtype, "Type of C: f32 (default) or that of A and W");
  command.add_option("--tensor", flags.tensor, "Take W from this tensor of the model");
  command.add_flag("--transposed", flags.transposed, "W is [n, k]");
  command.add_option("--alpha", flags.alpha, "Factor of A @ W")->capture_default_str();
  command.add_option("--beta", flags.beta, "Factor of C, which is drawn where this is not 0")->capture_default_str();
  command.add_flag("--bias", flags.bias, "Add a bias, drawn too");
  command.add_option("--activation", flags.activation, "Applied last")
      ->transform(CLI::IsMember({"IDENTITY", "RELU", "GELU_TANH", "GELU_ERF", "SILU"}, CLI::ignore_case))
      ->capture_default_str();
  command.add_option("--swap-begin", flags.swap_begin, "First token of the swap window")->capture_default_str();
  command.add_option("--swap-end", flags.swap_end, "End of the swap window; default: all tokens");
}

}  // namespace

void AddSubmitCommand(CLI::App& app, Context& context) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("submit", "Run one wave; operands not given are drawn from a seed");
  AddShapeFlags(*command, *flags);
  const std::vector<CLI::Option*> shape_flags =
      command->get_options([](const CLI::Option* option) { return option->get_name() != "--help"; });
  for (CLI::Option* option : shape_flags) option->group("The wave, unless from a file");
  command->add_option("--file", flags->file, "Take the wave from a bwrt.v1.SubmitWaveRequest in JSON; - for stdin");
  command->add_option("--model", flags->model, "Model whose weights and window the wave obeys");
  command->add_option("--required-version", flags->required_version, "Refuse to run with another version");
  command->add_option("--seed", flags->seed, "Of the operands drawn")->check(CheckUnsigned)->capture_default_str();
  command->add_option("--tensor-seed", flags->tensor_seed, "Seed the tensor was published with, to verify")
      ->check(CheckUnsigned);
  AddDuration(*command, "--timeout", &flags->timeout, "Deadline of the wave; default 60s");
  command->add_flag("--verify", flags->verify, "Compare C with a double-precision reference");
  command->add_option("--out", flags->out, "Write C's bytes to this file");
  command->callback([&context, flags, shape_flags] {
    for (const CLI::Option* option : shape_flags) {
      if (flags->file.empty() || option->empty()) continue;
      throw CLI::ValidationError(option->get_name(), "does not go with --file");
    }
    context.command = [&context, flags] { return RunSubmit(context, *flags); };
  });
}

}  // namespace bwrt::client
