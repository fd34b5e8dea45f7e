#include "runtime/digest.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

constexpr absl::string_view kSha256Prefix = "sha256:";
constexpr absl::string_view kXxh3Prefix = "xxh3:";

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

absl::StatusOr<Digest> Digest::Parse(absl::string_view text) {
  Digest digest;
  absl::string_view hex = text;
  if (absl::ConsumePrefix(&hex, kSha256Prefix)) {
    digest.kind_ = Kind::kSha256;
  } else if (absl::ConsumePrefix(&hex, kXxh3Prefix)) {
    digest.kind_ = Kind::kXxh3;
  } else {
    hex = "";
  }
  bool good = hex.size() == 2 * Size(digest.kind_);
  for (size_t i = 0; good && i < hex.size(); ++i) {
    const int value = HexValue(hex[i]);
    good = value >= 0;
    digest.bytes_[i / 2] = static_cast<uint8_t>(digest.bytes_[i / 2] << 4 | (value & 15));
  }
  if (good) return digest;
  return absl::InvalidArgumentError(
      absl::StrCat(Quoted(text), " is no digest; use sha256: and 64 lower-case hex digits, or xxh3: and 32"));
}

Digest Digest::Of(Kind kind, absl::string_view bytes) {
  Hasher hasher(kind);
  hasher.Update(bytes);
  return hasher.Finish();
}

std::string Digest::Hex() const {
  constexpr absl::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (size_t i = 0; i < Size(kind_); ++i) {
    hex += kDigits[bytes_[i] >> 4];
    hex += kDigits[bytes_[i] & 15];
  }
  return hex;
}

std::string Digest::ToString() const {
  return absl::StrCat(kind_ == Kind::kSha256 ? kSha256Prefix : kXxh3Prefix, Hex());
}

struct Hasher::State {
  explicit State(Digest::Kind k) : kind(k) {
    if (kind == Digest::Kind::kSha256) {
      evp = EVP_MD_CTX_new();
      if (evp == nullptr || EVP_DigestInit_ex(evp, EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
    } else {
      xxh = XXH3_createState();
      if (xxh == nullptr) throw std::bad_alloc();
      XXH3_128bits_reset(xxh);
    }
  }
  ~State() {
    EVP_MD_CTX_free(evp);
    XXH3_freeState(xxh);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const Digest::Kind kind;
  EVP_MD_CTX* evp = nullptr;
  XXH3_state_t* xxh = nullptr;
};

Hasher::Hasher(Digest::Kind kind) : state_(std::make_unique<State>(kind)) {}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::Update(absl::string_view bytes) {
  if (state_->evp != nullptr) {
    EVP_DigestUpdate(state_->evp, bytes.data(), bytes.size());
  } else {
    XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
  }
}

Digest Hasher::Finish() {
  Digest digest;
  digest.kind_ = state_->kind;
  if (state_->evp != nullptr) {
    EVP_DigestFinal_ex(state_->evp, digest.bytes_.data(), nullptr);
  } else {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_->xxh));
    std::copy(std::begin(canonical.digest), std::end(canonical.digest), digest.bytes_.begin());
  }
  return digest;
}

}  // namespace bwrt::runtime
