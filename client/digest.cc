#include "client/digest.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <new>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace bwrt::client {
namespace {

std::string Hex(const unsigned char* bytes, size_t size) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(bytes), size));
}

}  // namespace

struct Hasher::State {
  explicit State(DigestKind kind) {
    if (kind == DigestKind::kSha256) {
      evp = EVP_MD_CTX_new();
      if (evp == nullptr || EVP_DigestInit_ex(evp, EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
    } else if (kind == DigestKind::kXxh3) {
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

  EVP_MD_CTX* evp = nullptr;
  XXH3_state_t* xxh = nullptr;
};

Hasher::Hasher(DigestKind kind) : state_(std::make_unique<State>(kind)) {}
Hasher::~Hasher() = default;

void Hasher::Update(absl::string_view bytes) {
  if (state_->evp != nullptr) EVP_DigestUpdate(state_->evp, bytes.data(), bytes.size());
  if (state_->xxh != nullptr) XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

std::string Hasher::Finish() {
  if (state_->evp != nullptr) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_DigestFinal_ex(state_->evp, digest, &size);
    return absl::StrCat("sha256:", Hex(digest, size));
  }
  if (state_->xxh != nullptr) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_->xxh));
    return absl::StrCat("xxh3:", Hex(canonical.digest, sizeof(canonical.digest)));
  }
  return "";
}

std::string DigestOf(DigestKind kind, absl::string_view bytes) {
  Hasher hasher(kind);
  hasher.Update(bytes);
  return hasher.Finish();
}

}  // namespace bwrt::client
