// A whole update in one go, as push and load make it: begin, bring the bytes, precommit, commit.
//
// Used once, by one thread. The client and what `stage` holds must outlive the call.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bwrt/v1/weights.pb.h"
#include "client/client.h"
#include "client/commands/context.h"

namespace bwrt::client {

// What was done. What was left out is unset, or 0.
struct Publication {
  std::string update_id = {};
  std::string model = {};
  uint64_t version = 0;
  uint64_t previous_version = 0;
  uint64_t bytes = 0;  // Brought.
  uint64_t tensors = 0;
  double stage_seconds = 0;
  std::optional<double> precommit_seconds = {};
  std::optional<double> commit_seconds = {};
};

struct PublicationPlan {
  v1::BeginUpdateRequest begin = {};
  // Brings the bytes to the update that the publication names, and says in it how many and how long that took.
  std::function<absl::Status(Publication* publication)> stage = {};
  bool commit = true;             // Else it is left prepared.
  v1::CommitRequest policy = {};  // Without ids.
  bool keep = false;              // A failed update stays as it is, for another try.
};

// An error says what became of the update.
absl::StatusOr<Publication> Publish(Client& client, const PublicationPlan& plan);

// One line or one JSON object.
void PrintPublication(const Context& context, const Publication& publication);

}  // namespace bwrt::client
