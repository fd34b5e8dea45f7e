// Ledger: what the journal says so far, as a value: models, prepared updates, open decisions and outcomes. Knows no
// files. Used by one thread at a time.
//
// 1. A decision is open from its DecideRecord until a RevokeRecord or ConfirmRecord names it. Until then the models
//    are as before; a confirmed decision's versions come first in their models' lists.
// 2. Updates that an open decision names are still here, so that revoking brings them back; confirming removes them.
// 3. A model is here while it has a version or an open decision names it; and once it has had one until it is deleted,
//    so that its numbers are not given again when all its versions are damaged.
#ifndef BWRT_RUNTIME_STATE_LEDGER_H_
#define BWRT_RUNTIME_STATE_LEDGER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/state/record.h"
#include "runtime/state/stored.h"
#include "runtime/swap_decision.h"

namespace bwrt::runtime {

class Ledger {
 public:
  // NOT_FOUND for a decision that is not open, or a version or model that is not here. Nothing has changed then.
  absl::Status Apply(const Record& record);

  // The end of a recovery. Confirms every open decision, removes versions and updates whose manifest is not `usable`,
  // then keeps `keep_versions` versions beyond each model's current one. Tells what it removed for its manifest.
  struct LeftOut {
    std::string what;  // Such as: model "m" version 3.
    Digest manifest;
  };
  std::vector<LeftOut> Settle(const std::function<bool(const Digest& manifest)>& usable, int64_t keep_versions);

  std::vector<StoredModel> Models() const;
  // Without those that an open decision names.
  std::vector<StoredUpdate> Updates() const;
  const std::deque<StoredOutcome>& outcomes() const { return outcomes_; }
  uint64_t next_decision() const { return next_decision_; }
  bool HasModel(const std::string& model) const { return models_.contains(model); }
  bool HasUpdate(const std::string& id) const { return updates_.contains(id); }
  std::vector<StoredModel::Kept> Versions(const std::string& model) const;
  // Of every version, update and open decision; with repetitions.
  std::vector<Digest> Manifests() const;

  // All of it as JSON text, and back; nullopt for anything but what ToText makes.
  std::string ToText(uint64_t generation) const;
  static std::optional<Ledger> Parse(absl::string_view text, uint64_t* generation);
  friend bool operator==(const Ledger&, const Ledger&) = default;

 private:
  struct Model {
    std::vector<StoredModel::Kept> versions;
    Version last;
    friend bool operator==(const Model&, const Model&) = default;
  };

  absl::Status Do(const PrepareRecord& record);
  absl::Status Do(const DropRecord& record);
  absl::Status Do(const DeleteRecord& record);
  absl::Status Do(const FallBackRecord& record);
  absl::Status Do(const DecideRecord& record);
  absl::Status Do(const RevokeRecord& record);
  absl::Status Do(const ConfirmRecord& record);
  std::vector<SwapDecision>::iterator FindOpen(uint64_t decision);
  bool Named(const std::string& model) const;
  // Keeps rule 3 for a model of which `revoked` was decided in vain. The first version of a model is number 1.
  void EraseIfUnused(const std::string& model, Version revoked);

  std::map<std::string, Model> models_;
  std::map<std::string, StoredUpdate> updates_;
  std::vector<SwapDecision> open_;      // In the order decided.
  std::deque<StoredOutcome> outcomes_;  // Oldest first.
  uint64_t next_decision_ = 1;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_LEDGER_H_
