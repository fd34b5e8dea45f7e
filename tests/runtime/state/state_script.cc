#include "tests/runtime/state/state_script.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

Digest Xxh3(absl::string_view bytes) { return Digest::Of(Digest::Kind::kXxh3, bytes); }

SwapDecision ToDecision(StateStore& store, uint64_t id, const std::vector<ExpectedState::Part>& parts,
                        absl::Status* status) {
  SwapDecision decision;
  decision.id = id;
  for (const ExpectedState::Part& part : parts) {
    // Content names it, so writing it again is how to find it.
    const auto manifest = WriteVersion(store, part.model, part.version);
    if (!manifest.ok()) *status = manifest.status();
    if (manifest.ok()) decision.parts.push_back({part.model, Version(part.version), *manifest, part.update});
  }
  return decision;
}

}  // namespace

std::string TensorBytes(const std::string& model, uint64_t version, const std::string& tensor) {
  const std::string seed =
      tensor == "shared" ? absl::StrCat(model, " shared ") : absl::StrCat(model, " ", version, " ");
  std::string bytes;
  while (bytes.size() < 64) absl::StrAppend(&bytes, seed);
  bytes.resize(64);
  return bytes;
}

absl::StatusOr<Digest> WriteVersion(StateStore& store, const std::string& model, uint64_t version) {
  StoredVersion stored;
  stored.model = model;
  stored.number = Version(version);
  for (const std::string name : {"own", "shared"}) {
    const std::string bytes = TensorBytes(model, version, name);
    // Behind some bytes of padding, so that offsets matter.
    const auto blob = store.WriteBlob({"pad", bytes});
    if (!blob.ok()) return blob.status();
    stored.tensors.push_back(
        {name, {ElementType(kernels::DType::kF32), {4, 4}}, Version(version), {*blob, 3, 64}, Xxh3(bytes)});
  }
  return store.WriteManifest(stored);
}

absl::Status PrepareVersion(StateStore& store, const std::string& update, const std::string& model, uint64_t version) {
  const auto hold = store.HoldCollection();
  const auto manifest = WriteVersion(store, model, version);
  if (!manifest.ok()) return manifest.status();
  return store.Prepare({update, model, Version(version - 1), *manifest, false, std::nullopt});
}

absl::Status CommitVersion(StateStore& store, const std::string& model, uint64_t version) {
  const auto hold = store.HoldCollection();
  absl::Status status;
  const SwapDecision decision = ToDecision(store, store.NextDecisionId(), {{model, version, ""}}, &status);
  if (status.ok()) status = store.Decide(decision);
  if (status.ok()) store.Confirm(decision);
  return status;
}

std::string CheckVersion(const StateStore& store, const Digest& manifest, const std::string& model, uint64_t version) {
  const auto stored = store.ReadManifest(manifest);
  if (!stored.ok()) return stored.status().ToString();
  if (stored->model != model || stored->number != Version(version)) {
    return absl::StrCat("model ", model, " version ", version, ": the manifest is that of ", stored->model, " ",
                        stored->number.value());
  }
  for (const StoredTensor& tensor : stored->tensors) {
    std::string bytes(static_cast<size_t>(tensor.where.bytes), '\0');
    if (auto status = store.ReadTensor(tensor, bytes.data()); !status.ok()) return status.ToString();
    if (bytes != TensorBytes(model, version, tensor.name)) return absl::StrCat(model, " ", version, ": other bytes");
  }
  return stored->tensors.size() == 2 ? "" : "tensors are missing";
}

std::string StateView::ToString() const {
  std::string text;
  for (const auto& [name, versions] : models) {
    absl::StrAppend(&text, name, ":");
    for (const uint64_t version : versions) absl::StrAppend(&text, " ", version);
    absl::StrAppend(&text, "; ");
  }
  for (const auto& [id, model] : updates) absl::StrAppend(&text, "update ", id.substr(0, 8), " of ", model, "; ");
  for (const auto& [id, version, previous] : outcomes) {
    absl::StrAppend(&text, id.substr(0, 8), " was ", version, " after ", previous, "; ");
  }
  return text;
}

void ExpectedState::Revoke(uint64_t id) {
  std::erase_if(open_, [&](const auto& decision) { return decision.first == id; });
}

void ExpectedState::Confirm(uint64_t id) {
  for (const auto& [open, parts] : open_) {
    if (open != id) continue;
    for (const Part& part : parts) {
      auto& versions = models_[part.model];
      if (!part.update.empty()) {
        updates_.erase(part.update);
        outcomes_.emplace_back(part.update, part.version, versions.empty() ? 0 : versions[0]);
      }
      versions.insert(versions.begin(), part.version);
      if (versions.size() > 2) versions.resize(2);
    }
  }
  Revoke(id);
}

void ExpectedState::FallBack(const std::string& model, uint64_t version) {
  auto& versions = models_[model];
  while (!versions.empty() && versions[0] != version) versions.erase(versions.begin());
}

void ExpectedState::Delete(const std::string& model) {
  models_.erase(model);
  std::erase_if(updates_, [&](const auto& update) { return update.second == model; });
}

StateView ExpectedState::View() const {
  ExpectedState settled = *this;
  while (!settled.open_.empty()) settled.Confirm(settled.open_.front().first);
  return {settled.models_, settled.updates_, settled.outcomes_};
}

void StateScript::Prepare(const std::string& update, const std::string& model, uint64_t version) {
  steps_.push_back({absl::StrCat("prepare ", update.substr(0, 8)),
                    [=](StateStore& store) { return PrepareVersion(store, update, model, version); },
                    [=](ExpectedState& state) { state.Prepare(update, model); }});
}

void StateScript::Drop(const std::string& update) {
  steps_.push_back({absl::StrCat("drop ", update.substr(0, 8)), [=](StateStore& store) { return store.Drop(update); },
                    [=](ExpectedState& state) { state.Drop(update); }});
}

void StateScript::Decide(uint64_t id, std::vector<ExpectedState::Part> parts) {
  steps_.push_back({absl::StrCat("decide ", id),
                    [=](StateStore& store) {
                      const auto hold = store.HoldCollection();
                      absl::Status status;
                      const SwapDecision decision = ToDecision(store, id, parts, &status);
                      return status.ok() ? store.Decide(decision) : status;
                    },
                    [=](ExpectedState& state) { state.Decide(id, parts); }});
}

void StateScript::Revoke(uint64_t id) {
  steps_.push_back({absl::StrCat("revoke ", id),
                    [=](StateStore& store) {
                      return store.Revoke({id, {}});
                    },
                    [=](ExpectedState& state) { state.Revoke(id); }});
}

void StateScript::Confirm(uint64_t id) {
  steps_.push_back({absl::StrCat("confirm ", id),
                    [=](StateStore& store) {
                      store.Confirm({id, {}});
                      return absl::OkStatus();
                    },
                    [=](ExpectedState& state) { state.Confirm(id); }});
}

void StateScript::Collect() {
  steps_.push_back({"collect",
                    [](StateStore& store) {
                      store.Collect();
                      return absl::OkStatus();
                    },
                    [](ExpectedState&) {}});
}

StateScript StateScript::Whole() {
  StateScript s;
  s.Prepare("u1", "a", 1);
  s.Decide(1, {{"a", 1, "u1"}});
  s.Confirm(1);
  s.Prepare("u2", "b", 1);
  s.Decide(2, {{"b", 1, "u2"}});
  s.Revoke(2);
  s.Collect();
  s.Decide(3, {{"b", 1, "u2"}});
  s.Confirm(3);
  s.Prepare("u3", "a", 2);
  s.Prepare("u4", "b", 2);
  s.Decide(4, {{"a", 2, "u3"}, {"b", 2, "u4"}});
  s.Confirm(4);
  s.Collect();
  s.Prepare("u5", "a", 3);
  s.Drop("u5");
  s.Collect();
  s.Decide(5, {{"a", 4, ""}});
  s.Confirm(5);
  s.Collect();
  // One that has been removed from the line is revoked after the next was decided.
  s.Prepare("u6", "b", 3);
  s.Decide(6, {{"b", 3, "u6"}});
  s.Decide(7, {{"b", 4, ""}, {"a", 5, ""}});
  s.Revoke(6);
  s.Confirm(7);
  s.Collect();
  s.steps_.push_back({"fall back", [](StateStore& store) { return store.FallBack("a", Version(4)); },
                      [](ExpectedState& state) { state.FallBack("a", 4); }});
  s.Collect();
  s.steps_.push_back({"delete", [](StateStore& store) { return store.DeleteModel("b"); },
                      [](ExpectedState& state) { state.Delete("b"); }});
  s.Collect();
  return s;
}

StateScript StateScript::Rotating() {
  StateScript s;
  const std::string long_id(static_cast<size_t>(Journal::kRotateBytes), 'u');
  s.Prepare("u1", "a", 1);
  s.Decide(1, {{"a", 1, "u1"}});
  s.Prepare(long_id, "a", 2);
  s.Decide(2, {{"b", 1, ""}});
  s.Confirm(1);
  s.Drop(long_id);
  s.Revoke(2);
  s.Collect();
  return s;
}

std::string CheckReopened(Files* files, const std::vector<StateView>& allowed) {
  const auto store = StateStore::Open({}, files);
  if (!store.ok()) return absl::StrCat("it can't be opened: ", store.status().ToString());
  const RecoveredState state = (*store)->TakeRecovered();
  StateView view;
  for (const StoredUpdate& update : state.updates) {
    view.updates[update.id] = update.model;
    const std::string wrong = CheckVersion(**store, update.manifest, update.model, update.base.value() + 1);
    if (!wrong.empty()) return absl::StrCat("update ", update.id.substr(0, 8), ": ", wrong);
  }
  for (const StoredModel& model : state.models) {
    for (const StoredModel::Kept& kept : model.versions) {
      view.models[model.name].push_back(kept.number.value());
      std::string wrong = CheckVersion(**store, kept.manifest, model.name, kept.number.value());
      if (!wrong.empty()) return wrong;
      if (kept.number > model.last) return absl::StrCat(model.name, ": the last number is below a version's");
    }
  }
  for (const StoredOutcome& outcome : state.outcomes) {
    view.outcomes.emplace_back(outcome.update_id, outcome.version.value(), outcome.previous.value());
  }
  // Nothing was damaged, so no more than a torn record may be found.
  for (const std::string& note : state.notes) {
    if (!absl::StrContains(note, "cut off")) return absl::StrCat("note: ", note.substr(0, 200));
  }
  if (std::find(allowed.begin(), allowed.end(), view) != allowed.end()) return "";
  std::string text = absl::StrCat("found ", view.ToString(), "; allowed");
  for (const StateView& other : allowed) absl::StrAppend(&text, " [", other.ToString(), "]");
  for (const std::string& note : state.notes) absl::StrAppend(&text, "; note: ", note.substr(0, 200));
  return text;
}

}  // namespace bwrt::runtime
