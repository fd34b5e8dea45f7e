// UpdateTable: every update by its id: those under way, and those that ended lately.
//
// Thread-safe. Owned by Weights. Frees what ended updates held on the executor, never on a caller's thread but
// Abort's.
#ifndef BWRT_RUNTIME_UPDATE_TABLE_H_
#define BWRT_RUNTIME_UPDATE_TABLE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/clock.h"
#include "runtime/executor.h"
#include "runtime/mutex.h"
#include "runtime/update.h"

namespace bwrt::runtime {

class UpdateTable {
 public:
  // Ended updates stay until this many later ones have ended.
  static constexpr size_t kEndedKept = 1024;

  // `on_end` is told the model of an update that ended without having been committed. `executor` outlives the table.
  UpdateTable(Update::Context context, Executor* executor, std::function<void(const std::string& model)> on_end)
      : context_(context), executor_(executor), on_end_(std::move(on_end)) {}
  ~UpdateTable();
  UpdateTable(const UpdateTable&) = delete;
  UpdateTable& operator=(const UpdateTable&) = delete;

  // ALREADY_EXISTS UPDATE_EXISTS; RESOURCE_EXHAUSTED TOO_MANY_UPDATES and those of Update::Create.
  absl::StatusOr<std::shared_ptr<Update>> Begin(UpdatePlan plan, Version base, const WeightVersion::Ptr& near);
  // One that a state directory brought back. Before the table is used by others.
  void Adopt(std::shared_ptr<Update> update);

  const Update::Context& context() const { return context_; }

  // Counts as naming it. NOT_FOUND UPDATE_NOT_FOUND.
  absl::StatusOr<std::shared_ptr<Update>> Find(const std::string& id) const;
  // Newest first.
  std::vector<std::shared_ptr<Update>> All() const;

  // FAILED_PRECONDITION UPDATE_STATE for one that has been or is being committed; UNAVAILABLE when a prepared one could
  // not be struck from the state directory.
  absl::Status Abort(Update& update);
  // `model` is at `version` now: the updates made for another base can't be committed any more.
  void BaseMoved(const std::string& model, Version version);
  // Its model is gone.
  void AbortAllOf(const std::string& model);

 private:
  void Add(std::shared_ptr<Update> update) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends it, and strikes it from the state directory if it is there.
  absl::Status End(Update& update, UpdateState state);
  void EndLater(std::shared_ptr<Update> update, UpdateState state);
  void Watch(const std::shared_ptr<Update>& update);
  void OnAlarm(const std::weak_ptr<Update>& update);
  void TrimLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Update::Context context_;
  Executor* const executor_;
  const std::function<void(const std::string&)> on_end_;
  mutable Mutex mu_;
  std::map<std::string, std::shared_ptr<Update>> updates_ ABSL_GUARDED_BY(mu_);
  std::deque<std::shared_ptr<Update>> order_ ABSL_GUARDED_BY(mu_);  // Oldest first.
  std::map<const Update*, Clock::AlarmId> alarms_ ABSL_GUARDED_BY(mu_);
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_UPDATE_TABLE_H_
