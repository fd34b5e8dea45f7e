// StateScript: a fixed sequence of calls on a store, what must be in the store after each, and a check that it is.
// What is expected is computed here anew, by other code than the store's. Used by one thread.
#ifndef BWRT_TESTS_RUNTIME_STATE_STATE_SCRIPT_H_
#define BWRT_TESTS_RUNTIME_STATE_STATE_SCRIPT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/state/state_store.h"

namespace bwrt::runtime {

// The bytes of a tensor. One that is shared is the same in every version of its model.
std::string TensorBytes(const std::string& model, uint64_t version, const std::string& tensor);

// Writes blobs and manifest of a version with a tensor "own" and one "shared".
absl::StatusOr<Digest> WriteVersion(StateStore& store, const std::string& model, uint64_t version);
// The same, and prepares it.
absl::Status PrepareVersion(StateStore& store, const std::string& update, const std::string& model, uint64_t version);
// Writes, decides and confirms it. The decision's id is the store's next.
absl::Status CommitVersion(StateStore& store, const std::string& model, uint64_t version);
// Reads a version's tensors; what is wrong with them, or an empty string.
std::string CheckVersion(const StateStore& store, const Digest& manifest, const std::string& model, uint64_t version);

// What somebody who opens the store sees.
struct StateView {
  std::map<std::string, std::vector<uint64_t>> models;
  std::map<std::string, std::string> updates;                         // Model by id.
  std::vector<std::tuple<std::string, uint64_t, uint64_t>> outcomes;  // Update, version, previous.
  friend bool operator==(const StateView&, const StateView&) = default;
  std::string ToString() const;
};

// The mirror of a store with keep_versions = 1.
class ExpectedState {
 public:
  struct Part {
    std::string model;
    uint64_t version;
    std::string update;
  };
  void Prepare(const std::string& update, const std::string& model) { updates_[update] = model; }
  void Drop(const std::string& update) { updates_.erase(update); }
  void Decide(uint64_t id, std::vector<Part> parts) { open_.emplace_back(id, std::move(parts)); }
  void Revoke(uint64_t id);
  void Confirm(uint64_t id);
  void FallBack(const std::string& model, uint64_t version);
  void Delete(const std::string& model);
  // As after a restart: open decisions count.
  StateView View() const;

 private:
  std::map<std::string, std::vector<uint64_t>> models_;
  std::map<std::string, std::string> updates_;
  std::vector<std::pair<uint64_t, std::vector<Part>>> open_;
  std::vector<std::tuple<std::string, uint64_t, uint64_t>> outcomes_;
};

class StateScript {
 public:
  struct Step {
    std::string name;
    std::function<absl::Status(StateStore&)> run;
    std::function<void(ExpectedState&)> expect;
  };

  // Two models through every kind of record.
  static StateScript Whole();
  // Few steps, some of which make the journal so long that it is replaced.
  static StateScript Rotating();

  const std::vector<Step>& steps() const { return steps_; }

 private:
  void Prepare(const std::string& update, const std::string& model, uint64_t version);
  void Drop(const std::string& update);
  void Decide(uint64_t id, std::vector<ExpectedState::Part> parts);
  void Revoke(uint64_t id);
  void Confirm(uint64_t id);
  void Collect();

  std::vector<Step> steps_;
};

// Opens the store, compares what it offers with each of `allowed` and reads all of it. What is wrong, a note of
// damage among it, or an empty string.
std::string CheckReopened(Files* files, const std::vector<StateView>& allowed);

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_STATE_STATE_SCRIPT_H_
