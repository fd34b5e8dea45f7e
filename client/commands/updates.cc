#include "client/commands/updates.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/commands/output.h"

namespace bwrt::client {
namespace {

Table UpdateTable() { return Table({"UPDATE", "MODEL", "STATE", "BASE", "LABEL", "TENSORS", "RECEIVED", "EXPIRES"}); }

void AddUpdate(const v1::UpdateInfo& info, Table* table) {
  std::string state = StateName(info.state());
  if (info.state() == v1::COMMITTED) absl::StrAppend(&state, " as ", info.version());
  std::string expires = "never";
  if (info.has_expires_in()) {
    expires = absl::StrCat("in ", absl::FormatDuration(absl::Seconds(info.expires_in().seconds())));
  }
  table->Add({info.update_id(), info.model(), state, absl::StrCat(info.base_version()), info.label(),
              absl::StrCat(info.tensors()),
              absl::StrCat(FormatBytes(info.received_bytes()), " of ", FormatBytes(info.bytes())), expires});
}

}  // namespace

std::string StateName(v1::UpdateState state) {
  return absl::AsciiStrToLower(v1::UpdateState_IsValid(state) ? v1::UpdateState_Name(state) : absl::StrCat(state));
}

double BytesPerSecond(uint64_t bytes, double seconds) { return seconds > 0 ? static_cast<double>(bytes) / seconds : 0; }

std::string FormatTransfer(uint64_t bytes, double seconds) {
  std::string text = absl::StrCat(FormatBytes(bytes), " in ", FormatSeconds(seconds));
  if (seconds > 0) {
    absl::StrAppend(&text, " (", FormatBytes(static_cast<uint64_t>(BytesPerSecond(bytes, seconds))), "/s)");
  }
  return text;
}

void PrintUpdates(const v1::ListUpdatesResponse& updates, std::ostream& out) {
  Table table = UpdateTable();
  for (const v1::UpdateInfo& info : updates.updates()) AddUpdate(info, &table);
  table.Print(out);
}

void PrintUpdate(const v1::GetUpdateResponse& update, std::ostream& out) {
  Table summary = UpdateTable();
  AddUpdate(update.info(), &summary);
  summary.Print(out);
  if (update.missing().empty()) return;
  out << '\n';
  Table table({"TENSOR", "SHARD", "BYTES", "MISSING"});
  for (const v1::MissingShard& shard : update.missing()) {
    table.Add({shard.tensor(), absl::StrCat(shard.rank()), FormatBytes(shard.bytes()),
               absl::StrJoin(shard.missing(), " ", [](std::string* text, const v1::ByteRange& range) {
                 absl::StrAppendFormat(text, "[%d, %d)", range.begin(), range.end());
               })});
  }
  table.Print(out);
  const uint64_t listed = update.missing_size();
  if (update.missing_shards() > listed) out << "and " << update.missing_shards() - listed << " more shards\n";
}

void PrintSwap(const std::string& model, uint64_t previous_version, uint64_t version, std::ostream& out) {
  out << Printable(model) << ": version " << previous_version << " -> " << version;
}

void PrintWait(double waited_seconds, double held_seconds, std::ostream& out) {
  out << " after " << FormatSeconds(waited_seconds);
  if (held_seconds > 0) out << ", holding new waves for " << FormatSeconds(held_seconds);
  out << std::endl;
}

}  // namespace bwrt::client
