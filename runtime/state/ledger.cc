#include "runtime/state/ledger.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/state/stored_json.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

Json ToJson(const StoredModel::Kept& kept) {
  return {{"version", kept.number.value()}, {"manifest", kept.manifest.ToString()}};
}

Json ToJson(const StoredOutcome& outcome) {
  return {{"update", outcome.update_id},
          {"decision", outcome.decision},
          {"model", outcome.model},
          {"version", outcome.version.value()},
          {"previous", outcome.previous.value()}};
}

bool FromJson(const Json& json, StoredModel::Kept* kept) {
  return Get(json, "version", &kept->number) && Get(json, "manifest", &kept->manifest);
}

bool FromJson(const Json& json, StoredOutcome* outcome) {
  return Get(json, "update", &outcome->update_id) && Get(json, "decision", &outcome->decision) &&
         Get(json, "model", &outcome->model) && Get(json, "version", &outcome->version) &&
         Get(json, "previous", &outcome->previous);
}

template <typename T, typename Container>
bool ListFromJson(const Json& json, const char* key, Container* to) {
  const Json* array = GetArray(json, key);
  if (array == nullptr) return false;
  for (const Json& element : *array) {
    T value;
    // Found by argument: the functions of stored_json.h, and those above.
    if (!FromJson(element, &value)) return false;
    to->push_back(std::move(value));
  }
  return true;
}

// Leaves `keep` versions beyond the first.
void Trim(int64_t keep, std::vector<StoredModel::Kept>* versions) {
  if (static_cast<int64_t>(versions->size()) - 1 > keep) versions->erase(versions->begin() + keep + 1, versions->end());
}

absl::Status NotOpen(uint64_t decision) {
  return absl::NotFoundError(absl::StrCat("decision ", decision, " is not open"));
}

}  // namespace

absl::Status Ledger::Apply(const Record& record) {
  return std::visit([this](const auto& r) { return Do(r); }, record);
}

absl::Status Ledger::Do(const PrepareRecord& record) {
  updates_[record.update.id] = record.update;
  return absl::OkStatus();
}

absl::Status Ledger::Do(const DropRecord& record) {
  updates_.erase(record.update_id);
  return absl::OkStatus();
}

absl::Status Ledger::Do(const DeleteRecord& record) {
  const auto it = models_.find(record.model);
  if (it != models_.end()) it->second.versions.clear();
  if (!Named(record.model)) models_.erase(record.model);
  std::erase_if(updates_, [&](const auto& entry) { return entry.second.model == record.model; });
  return absl::OkStatus();
}

absl::Status Ledger::Do(const FallBackRecord& record) {
  const auto model = models_.find(record.model);
  if (model != models_.end()) {
    auto& versions = model->second.versions;
    const auto it =
        std::find_if(versions.begin(), versions.end(), [&](const auto& kept) { return kept.number == record.number; });
    if (it != versions.end()) {
      versions.erase(versions.begin(), it);
      return absl::OkStatus();
    }
  }
  return absl::NotFoundError(
      absl::StrCat("model ", Quoted(record.model), " keeps no version ", record.number.value(), " to fall back to"));
}

absl::Status Ledger::Do(const DecideRecord& record) {
  const SwapDecision& decision = record.decision;
  if (FindOpen(decision.id) != open_.end()) {
    return absl::AlreadyExistsError(absl::StrCat("decision ", decision.id, " is open already"));
  }
  // So that the next one, too, is a number that can be read back.
  if (decision.id >= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError(absl::StrCat("decision ", decision.id, ": ids end below 2^63 - 1"));
  }
  next_decision_ = std::max(next_decision_, decision.id + 1);
  for (const SwapDecision::Part& part : decision.parts) {
    Model& model = models_[part.model];
    model.last = std::max(model.last, part.version);
  }
  open_.push_back(decision);
  return absl::OkStatus();
}

absl::Status Ledger::Do(const RevokeRecord& record) {
  const auto it = FindOpen(record.decision);
  if (it == open_.end()) return NotOpen(record.decision);
  const SwapDecision decision = *it;
  open_.erase(it);
  for (const SwapDecision::Part& part : decision.parts) EraseIfUnused(part.model, part.version);
  return absl::OkStatus();
}

absl::Status Ledger::Do(const ConfirmRecord& record) {
  const auto it = FindOpen(record.decision);
  if (it == open_.end()) return NotOpen(record.decision);
  const SwapDecision decision = *it;
  open_.erase(it);
  for (const SwapDecision::Part& part : decision.parts) {
    auto& versions = models_[part.model].versions;
    const Version previous = versions.empty() ? Version() : versions.front().number;
    versions.insert(versions.begin(), StoredModel::Kept{part.version, part.manifest});
    Trim(record.keep_versions, &versions);
    if (part.update_id.empty()) continue;
    updates_.erase(part.update_id);
    outcomes_.push_back({part.update_id, decision.id, part.model, part.version, previous});
    if (outcomes_.size() > kOutcomesKept) outcomes_.pop_front();
  }
  return absl::OkStatus();
}

std::vector<Ledger::LeftOut> Ledger::Settle(const std::function<bool(const Digest& manifest)>& usable,
                                            int64_t keep_versions) {
  // Every version is in a list before any list is cut: what is kept for Rollback must be usable.
  while (!open_.empty()) {
    // It is open, so this cannot fail.
    Do(ConfirmRecord{open_.front().id, std::numeric_limits<int64_t>::max()}).IgnoreError();
  }
  std::vector<LeftOut> left_out;
  std::erase_if(updates_, [&](const auto& entry) {
    if (usable(entry.second.manifest)) return false;
    left_out.push_back({absl::StrCat("prepared update ", Quoted(entry.first)), entry.second.manifest});
    return true;
  });
  for (auto& [name, model] : models_) {
    const std::string quoted = Quoted(name);
    std::erase_if(model.versions, [&](const StoredModel::Kept& kept) {
      if (usable(kept.manifest)) return false;
      left_out.push_back({absl::StrCat("model ", quoted, " version ", kept.number.value()), kept.manifest});
      return true;
    });
    Trim(keep_versions, &model.versions);
  }
  return left_out;
}

std::vector<StoredModel> Ledger::Models() const {
  std::vector<StoredModel> models;
  for (const auto& [name, model] : models_) {
    models.push_back({name, model.versions, model.last});
  }
  return models;
}

std::vector<StoredUpdate> Ledger::Updates() const {
  std::vector<StoredUpdate> updates;
  for (const auto& [id, update] : updates_) {
    const bool decided = std::any_of(open_.begin(), open_.end(), [&](const SwapDecision& decision) {
      return std::any_of(decision.parts.begin(), decision.parts.end(),
                         [&](const SwapDecision::Part& part) { return part.update_id == update.id; });
    });
    if (!decided) updates.push_back(update);
  }
  return updates;
}

std::vector<StoredModel::Kept> Ledger::Versions(const std::string& model) const {
  const auto it = models_.find(model);
  return it == models_.end() ? std::vector<StoredModel::Kept>() : it->second.versions;
}

std::vector<Digest> Ledger::Manifests() const {
  std::vector<Digest> manifests;
  for (const auto& [name, model] : models_) {
    for (const StoredModel::Kept& kept : model.versions) manifests.push_back(kept.manifest);
  }
  for (const auto& [id, update] : updates_) manifests.push_back(update.manifest);
  for (const SwapDecision& decision : open_) {
    for (const SwapDecision::Part& part : decision.parts) manifests.push_back(part.manifest);
  }
  return manifests;
}

std::string Ledger::ToText(uint64_t generation) const {
  Json models = Json::array();
  for (const auto& [name, model] : models_) {
    Json versions = Json::array();
    for (const StoredModel::Kept& kept : model.versions) versions.push_back(ToJson(kept));
    models.push_back({{"name", name}, {"last", model.last.value()}, {"versions", std::move(versions)}});
  }
  Json updates = Json::array();
  for (const auto& [id, update] : updates_) updates.push_back(runtime::ToJson(update));
  Json open = Json::array();
  for (const SwapDecision& decision : open_) open.push_back(runtime::ToJson(decision));
  Json outcomes = Json::array();
  for (const StoredOutcome& outcome : outcomes_) outcomes.push_back(ToJson(outcome));
  return Dump({{"generation", generation},
               {"next_decision", next_decision_},
               {"models", std::move(models)},
               {"updates", std::move(updates)},
               {"open", std::move(open)},
               {"outcomes", std::move(outcomes)}});
}

std::optional<Ledger> Ledger::Parse(absl::string_view text, uint64_t* generation) {
  const auto json = ParseJson(text);
  if (!json) return std::nullopt;
  Ledger ledger;
  std::vector<StoredUpdate> updates;
  const Json* models = GetArray(*json, "models");
  if (!Get(*json, "generation", generation) || !Get(*json, "next_decision", &ledger.next_decision_) ||
      models == nullptr || !ListFromJson<StoredUpdate>(*json, "updates", &updates) ||
      !ListFromJson<SwapDecision>(*json, "open", &ledger.open_) ||
      !ListFromJson<StoredOutcome>(*json, "outcomes", &ledger.outcomes_)) {
    return std::nullopt;
  }
  for (const Json& element : *models) {
    std::string name;
    Model model;
    if (!Get(element, "name", &name) || !Get(element, "last", &model.last) ||
        !ListFromJson<StoredModel::Kept>(element, "versions", &model.versions)) {
      return std::nullopt;
    }
    ledger.models_[name] = std::move(model);
  }
  for (StoredUpdate& update : updates) ledger.updates_[update.id] = std::move(update);
  if (ledger.ToText(*generation) != text) return std::nullopt;
  return ledger;
}

std::vector<SwapDecision>::iterator Ledger::FindOpen(uint64_t decision) {
  return std::find_if(open_.begin(), open_.end(), [&](const SwapDecision& open) { return open.id == decision; });
}

bool Ledger::Named(const std::string& model) const {
  return std::any_of(open_.begin(), open_.end(), [&](const SwapDecision& decision) {
    return std::any_of(decision.parts.begin(), decision.parts.end(),
                       [&](const SwapDecision::Part& part) { return part.model == model; });
  });
}

void Ledger::EraseIfUnused(const std::string& model, Version revoked) {
  const auto it = models_.find(model);
  const bool never_had_one = revoked == Version().next();
  if (it != models_.end() && it->second.versions.empty() && !Named(model) && never_had_one) models_.erase(it);
}

}  // namespace bwrt::runtime
