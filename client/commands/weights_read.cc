// bwrtctl weights read: a tensor's bytes.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/commands/context.h"
#include "client/commands/flags.h"
#include "client/commands/output.h"
#include "client/commands/weights_commands.h"
#include "client/digest.h"
#include "client/dtype.h"
#include "client/progress.h"

namespace bwrt::client {
namespace {

constexpr uint64_t kSliceBytes = uint64_t{4} << 20;

struct Flags {
  std::string model = {};
  std::string tensor = {};
  std::string update = {};
  uint64_t offset = 0;
  std::optional<uint64_t> bytes = {};
  std::string out = {};
};

struct Summary {
  v1::ReadTensorResponse first = {};  // Without its bytes.
  uint64_t bytes = 0;
};

// Everything that the flags ask for, slice by slice, to `take`.
template <class Take>
absl::StatusOr<Summary> ReadSlices(const Context& context, Client& client, const Flags& flags, Take take) {
  v1::ReadTensorRequest request;
  // The daemon takes one of the two.
  if (flags.update.empty()) {
    request.set_model(flags.model);
  } else {
    request.set_update_id(flags.update);
  }
  request.set_tensor(flags.tensor);
  Summary summary;
  std::optional<Progress> progress;
  for (uint64_t wanted = flags.bytes.value_or(kSliceBytes); wanted > 0;) {
    request.set_offset(flags.offset + summary.bytes);
    request.set_bytes(std::min(wanted, kSliceBytes));
    auto slice = client.ReadTensor(request);
    if (!slice.ok()) return slice.status();
    if (!progress.has_value()) {
      summary.first = *slice;
      summary.first.clear_data();
      const uint64_t rest = slice->total_bytes() - std::min(flags.offset, slice->total_bytes());
      wanted = std::min(flags.bytes.value_or(rest), rest);
      // Bytes on the terminal and a bar would mix.
      progress.emplace(context.err, context.terminal && !flags.out.empty(), "read", wanted, Progress::Unit::kBytes);
    } else if (slice->version() != summary.first.version()) {
      return absl::AbortedError(absl::StrCat("the model went from version ", summary.first.version(), " to ",
                                             slice->version(), " while it was read; read it again"));
    }
    if (wanted == 0) break;
    if (slice->data().empty() || slice->data().size() > wanted) {
      return absl::InternalError(absl::StrCat("the daemon sent ", slice->data().size(), " bytes at offset ",
                                              request.offset(), ", where ", wanted, " were left"));
    }
    if (absl::Status status = take(slice->data()); !status.ok()) return status;
    summary.bytes += slice->data().size();
    wanted -= slice->data().size();
    progress->Update(summary.bytes);
  }
  return summary;
}

void PrintSummary(const Context& context, const Flags& flags, const Summary& summary, const std::string& digest) {
  Json json;
  json["model"] = flags.model;
  json["update_id"] = flags.update;
  json["tensor"] = flags.tensor;
  json["version"] = summary.first.version();
  json["dtype"] = StoredDTypeName(summary.first.dtype());
  json["shape"] = std::vector<int64_t>(summary.first.shape().begin(), summary.first.shape().end());
  json["total_bytes"] = summary.first.total_bytes();
  json["offset"] = flags.offset;
  json["bytes"] = summary.bytes;
  json["sha256"] = digest.substr(digest.find(':') + 1);
  PrintJson(json, context.out);
}

int RunRead(const Context& context, const Flags& flags) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  std::ofstream file;
  if (!flags.out.empty()) {
    file.open(flags.out, std::ios::binary | std::ios::trunc);
    if (!file.is_open()) return context.Usage(absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", flags.out)));
  }
  Hasher hasher(context.json ? DigestKind::kSha256 : DigestKind::kNone);
  const auto summary = ReadSlices(context, **client, flags, [&](const std::string& bytes) {
    hasher.Update(bytes);
    if (!flags.out.empty()) {
      file << bytes;
      if (!file.good()) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", flags.out));
    } else if (!context.json) {
      context.out << bytes;
      if (!context.out.good()) return absl::UnknownError("cannot write the output");
    }
    return absl::OkStatus();
  });
  if (!summary.ok()) return context.Fail(summary.status());
  if (!flags.out.empty()) {
    file.close();
    if (!file.good()) return context.Fail(absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", flags.out)));
  }
  if (context.json) PrintSummary(context, flags, *summary, hasher.Finish());
  return kExitDone;
}

}  // namespace

void AddWeightsReadCommand(CLI::App& weights, Context& context) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command =
      weights.add_subcommand("read", "A tensor's bytes, raw; with --json what they are, and their SHA-256");
  command->add_option("MODEL", flags->model, "The model")->required();
  command->add_option("TENSOR", flags->tensor, "The tensor's name")->required();
  command->add_option("--update", flags->update, "Read what this update of the model has staged")->type_name("UPDATE");
  command->add_option("--offset", flags->offset, "Begin at this byte")->check(CheckUnsigned)->type_name("N");
  command->add_option("--bytes", flags->bytes, "So many bytes; default: to the end")
      ->check(CheckUnsigned)
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command->add_option("--out", flags->out, "Write them to this file instead of the standard output")->type_name("FILE");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunRead(context, *flags); }; });
}

}  // namespace bwrt::client
