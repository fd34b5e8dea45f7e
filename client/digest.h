// Digests of weight bytes, in the form that a shard's manifest carries: "sha256:<64 hex digits>" or
// "xxh3:<32 hex digits>" (XXH3, 128 bits, seed 0, big-endian).
//
// xxh3 finds damage at memory speed; only sha256 also withstands somebody who wants a collision.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace bwrt::client {

enum class DigestKind { kNone, kSha256, kXxh3 };

// Computes one digest over bytes that come in pieces. Used by one thread at a time.
class Hasher {
 public:
  explicit Hasher(DigestKind kind);
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void Update(absl::string_view bytes);
  // Of everything so far; empty for kNone. Nothing may follow.
  std::string Finish();

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

// Of one piece of memory.
std::string DigestOf(DigestKind kind, absl::string_view bytes);

}  // namespace bwrt::client
