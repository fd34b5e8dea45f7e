// What a state directory keeps, as values: versions, prepared updates, outcomes.
#ifndef BWRT_RUNTIME_STATE_STORED_H_
#define BWRT_RUNTIME_STATE_STORED_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/clock.h"
#include "runtime/digest.h"
#include "runtime/ids.h"
#include "runtime/tensor.h"

namespace bwrt::runtime {

// Where some bytes lie: part of a blob.
struct BlobSlice {
  Digest blob;
  int64_t offset = 0;
  int64_t bytes = 0;
  friend bool operator==(const BlobSlice&, const BlobSlice&) = default;
};

struct StoredTensor {
  std::string name;
  TensorType type;
  Version version;  // That brought it in.
  BlobSlice where;
  Digest digest;  // xxh3, of these bytes alone.
  friend bool operator==(const StoredTensor&, const StoredTensor&) = default;
};

struct StoredVersion {
  std::string model;
  Version number;
  std::string label;
  Version restored_from;              // 0: it is no rollback.
  std::vector<StoredTensor> tensors;  // Sorted by name.
  friend bool operator==(const StoredVersion&, const StoredVersion&) = default;
};

// An update that has been prepared and not yet committed or aborted.
struct StoredUpdate {
  std::string id;
  std::string model;
  Version base;
  Digest manifest;
  bool in_place = false;
  std::optional<Duration> prepared_ttl;  // Starts anew at a restart.
  friend bool operator==(const StoredUpdate&, const StoredUpdate&) = default;
};

// What an update's commit came to, for a commit that is repeated.
struct StoredOutcome {
  std::string update_id;
  uint64_t decision = 0;  // Updates of one decision were committed together.
  std::string model;
  Version version;
  Version previous;
  friend bool operator==(const StoredOutcome&, const StoredOutcome&) = default;
};

// So many outcomes are kept; the oldest go first.
inline constexpr size_t kOutcomesKept = 1024;

struct StoredModel {
  std::string name;
  // Current first, then what is kept for Rollback, newest first. A version whose manifest was missing or damaged, or
  // one of whose blobs is missing or too short, is left out, and a note says so; empty when that is true of all.
  struct Kept {
    Version number;
    Digest manifest;
    friend bool operator==(const Kept&, const Kept&) = default;
  };
  std::vector<Kept> versions;
  Version last;  // The highest number ever decided: the next one is higher.
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_STORED_H_
