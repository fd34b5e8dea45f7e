// Record: one line of the journal, as a value and as JSON text.
#ifndef BWRT_RUNTIME_STATE_RECORD_H_
#define BWRT_RUNTIME_STATE_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "runtime/state/stored.h"
#include "runtime/swap_decision.h"

namespace bwrt::runtime {

struct PrepareRecord {
  StoredUpdate update;
  friend bool operator==(const PrepareRecord&, const PrepareRecord&) = default;
};
struct DropRecord {
  std::string update_id;
  friend bool operator==(const DropRecord&, const DropRecord&) = default;
};
struct DeleteRecord {
  std::string model;
  friend bool operator==(const DeleteRecord&, const DeleteRecord&) = default;
};
struct FallBackRecord {
  std::string model;
  Version number;
  friend bool operator==(const FallBackRecord&, const FallBackRecord&) = default;
};
struct DecideRecord {
  SwapDecision decision;
  friend bool operator==(const DecideRecord&, const DecideRecord&) = default;
};
struct RevokeRecord {
  uint64_t decision = 0;
  friend bool operator==(const RevokeRecord&, const RevokeRecord&) = default;
};
struct ConfirmRecord {
  uint64_t decision = 0;
  int64_t keep_versions = 0;  // As it was then: what had to go went then.
  friend bool operator==(const ConfirmRecord&, const ConfirmRecord&) = default;
};

using Record =
    std::variant<PrepareRecord, DropRecord, DeleteRecord, FallBackRecord, DecideRecord, RevokeRecord, ConfirmRecord>;

std::string EncodeRecord(const Record& record);
// Nullopt for anything but what EncodeRecord makes.
std::optional<Record> ParseRecord(absl::string_view text);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_RECORD_H_
