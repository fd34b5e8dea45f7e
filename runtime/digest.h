// Digests of weight bytes: computed while they arrive, written as publishers write them.
//
// "sha256:<64 hex digits>" (OpenSSL) or "xxh3:<32 hex digits>" (XXH3, 128 bits, seed 0, canonical big-endian
// form). xxh3 detects damage at memory speed; only sha256 also withstands somebody who wants a collision.
#ifndef BWRT_RUNTIME_DIGEST_H_
#define BWRT_RUNTIME_DIGEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bwrt::runtime {

class Digest {
 public:
  enum class Kind : uint8_t { kSha256, kXxh3 };

  // INVALID_ARGUMENT for anything but the two forms above, in lower case.
  static absl::StatusOr<Digest> Parse(absl::string_view text);
  // Of one piece of memory.
  static Digest Of(Kind kind, absl::string_view bytes);

  Kind kind() const { return kind_; }
  std::string ToString() const;
  // The hex digits alone: fit for a file's name.
  std::string Hex() const;
  friend bool operator==(const Digest&, const Digest&) = default;

 private:
  friend class Hasher;
  static constexpr size_t Size(Kind kind) { return kind == Kind::kSha256 ? 32 : 16; }

  Kind kind_ = Kind::kXxh3;
  std::array<uint8_t, 32> bytes_{};  // The first Size(kind_) count; the others stay 0.
};

// Computes one digest over bytes that come in pieces. Used by one thread at a time.
class Hasher {
 public:
  explicit Hasher(Digest::Kind kind);
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void Update(absl::string_view bytes);
  // Of everything so far. Nothing may follow.
  Digest Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_DIGEST_H_
