#include "client/commands/models.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/commands/output.h"
#include "client/dtype.h"

namespace bwrt::client {
namespace {

Table ModelTable() { return Table({"MODEL", "VERSION", "LABEL", "TENSORS", "BYTES", "WINDOW"}); }

std::string WindowName(bool open) { return open ? "open" : "closed"; }

// "wave 17 (id) window [4,8) clock [2,3]".
std::string Describe(const v1::WindowClaim& claim) {
  return absl::StrCat("wave ", claim.wave(), claim.wave_id().empty() ? "" : absl::StrCat(" (", claim.wave_id(), ")"),
                      " window [", claim.swap_begin(), ",", claim.swap_end(), ") clock [", claim.clock().lo(), ",",
                      claim.clock().hi(), "]");
}

void AddModel(const v1::ModelSummary& model, std::string window, Table* table) {
  std::string bytes = FormatBytes(model.bytes());
  if (model.retiring_bytes() > 0) {
    absl::StrAppend(&bytes, " + ", FormatBytes(model.retiring_bytes()), " retiring");
  }
  table->Add({model.name(), absl::StrCat(model.version()),
              model.lost() ? absl::StrCat("lost: up to ", model.last_version(), " damaged") : model.label(),
              absl::StrCat(model.tensors()), bytes, std::move(window)});
}

// With the waves that keep its window closed, one a line.
void AddModelAndBlockers(const v1::ModelSummary& model, Table* table) {
  if (model.blockers().empty()) return AddModel(model, WindowName(model.window_open()), table);
  AddModel(model, absl::StrCat("closed by ", Describe(model.blockers(0))), table);
  for (int i = 1; i < model.blockers_size(); ++i) {
    table->Add({"", "", "", "", "", absl::StrCat("and by ", Describe(model.blockers(i)))});
  }
}

void PrintWindow(const v1::WindowState& window, std::ostream& out) {
  out << "window " << WindowName(window.open());
  if (!window.open()) out << " for " << FormatSeconds(window.closed_seconds());
  if (window.waiting_swaps() > 0) out << ", " << window.waiting_swaps() << " swaps waiting";
  if (window.holding()) out << ", holding new waves";
  out << '\n';
  if (window.claims().empty()) return;
  Table table({"WAVE", "ID", "WINDOW", "CLOCK", "STATE", "BLOCKS"});
  for (const v1::WindowClaim& claim : window.claims()) {
    table.Add({absl::StrCat(claim.wave()), claim.wave_id(),
               absl::StrFormat("[%d, %d)", claim.swap_begin(), claim.swap_end()),
               absl::StrFormat("[%d, %d]", claim.clock().lo(), claim.clock().hi()),
               claim.in_flight() ? "in flight" : "retired", claim.blocks() ? "yes" : "no"});
  }
  table.Print(out);
}

// The versions that a rollback can restore.
void PrintKept(const v1::GetModelResponse& model, std::ostream& out) {
  if (model.kept().empty()) return;
  out << '\n';
  Table table({"KEPT", "LABEL", "BYTES", "CONTENT OF", "IN MEMORY"});
  for (const v1::KeptVersion& kept : model.kept()) {
    table.Add({absl::StrCat(kept.version()), kept.label(), FormatBytes(kept.bytes()),
               kept.restored_from() == 0 ? "" : absl::StrCat(kept.restored_from()), kept.in_memory() ? "yes" : "no"});
  }
  table.Print(out);
}

}  // namespace

void PrintModels(const v1::ListModelsResponse& models, std::ostream& out) {
  Table table = ModelTable();
  for (const v1::ModelSummary& model : models.models()) AddModelAndBlockers(model, &table);
  table.Print(out);
}

void PrintModel(const v1::GetModelResponse& model, std::ostream& out) {
  Table summary = ModelTable();
  AddModel(model.summary(), WindowName(model.summary().window_open()), &summary);
  summary.Print(out);
  out << '\n';
  if (model.summary().lost()) {
    const uint64_t last = model.summary().last_version();
    out << "lost: a restart found its versions, up to " << last
        << ", damaged (the daemon's log says where); publish it "
        << "anew, as version " << last + 1 << "\n\n";
  }
  PrintWindow(model.window(), out);
  PrintKept(model, out);
  if (model.tensors().empty()) return;
  out << '\n';
  Table tensors({"TENSOR", "DTYPE", "SHAPE", "BYTES", "VERSION"});
  for (const v1::TensorInfo& tensor : model.tensors()) {
    tensors.Add({tensor.name(), StoredDTypeName(tensor.dtype()), absl::StrJoin(tensor.shape(), "x"),
                 FormatBytes(tensor.bytes()), absl::StrCat(tensor.version())});
  }
  tensors.Print(out);
}

}  // namespace bwrt::client
