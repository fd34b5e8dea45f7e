#include "tests/client/fake_update.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/digest.h"
#include "client/dtype.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/client/fake_status.h"

namespace bwrt::client {
namespace {

using grpc::StatusCode;

uint64_t RawBytes(const v1::TensorManifest& manifest) {
  uint64_t bytes = StoredDTypeBytes(manifest.dtype());
  for (const int64_t dim : manifest.shape()) bytes *= dim;
  return bytes;
}

// The elements of a .npy file of format 1.0; its header is not read.
std::string NpyElements(const std::string& file) {
  if (!absl::StartsWith(file, "\x93NUMPY\x01") || file.size() < 10) return "";
  const size_t header = static_cast<uint8_t>(file[8]) + 256 * static_cast<uint8_t>(file[9]);
  return file.size() < 10 + header ? "" : file.substr(10 + header);
}

}  // namespace

bool FakeUpdate::Piece::complete() const {
  return std::all_of(received.begin(), received.end(), [](bool byte) { return byte; });
}

bool FakeUpdate::Tensor::complete() const {
  return std::all_of(pieces.begin(), pieces.end(), [](const auto& piece) { return piece.second.complete(); });
}

std::string FakeUpdate::Tensor::Joined() const {
  std::string joined;
  for (const auto& [rank, piece] : pieces) {
    joined += piece.shard.encoding() == v1::NPY ? NpyElements(piece.bytes) : piece.bytes;
  }
  return joined;
}

grpc::Status FakeUpdate::Declare(const v1::TensorManifest& manifest) {
  const auto old = tensors.find(manifest.name());
  if (old == tensors.end() && !open_manifest) {
    return Refuse(StatusCode::INVALID_ARGUMENT, "UNKNOWN_TENSOR");
  }
  Tensor tensor{manifest};
  if (manifest.shards().empty()) {
    tensor.pieces[0].shard.set_bytes(RawBytes(manifest));
  }
  for (const v1::Shard& shard : manifest.shards()) tensor.pieces[shard.rank()].shard = shard;
  for (auto& [rank, piece] : tensor.pieces) {
    piece.bytes.resize(piece.shard.bytes());
    piece.received.resize(piece.shard.bytes());
  }
  if (old != tensors.end()) {
    if (google::protobuf::util::MessageDifferencer::Equals(old->second.manifest, manifest)) return grpc::Status::OK;
    for (const auto& [rank, piece] : old->second.pieces) {
      if (std::count(piece.received.begin(), piece.received.end(), true) > 0) {
        return Refuse(StatusCode::INVALID_ARGUMENT, "ALREADY_STAGED");
      }
    }
  }
  tensors[manifest.name()] = std::move(tensor);
  return grpc::Status::OK;
}

grpc::Status FakeUpdate::Take(const v1::Chunk& chunk) {
  const auto tensor = tensors.find(chunk.tensor());
  if (tensor == tensors.end()) return Refuse(StatusCode::INVALID_ARGUMENT, "UNKNOWN_TENSOR");
  const auto found = tensor->second.pieces.find(chunk.rank());
  if (found == tensor->second.pieces.end() || chunk.offset() > found->second.bytes.size() ||
      chunk.data().size() > found->second.bytes.size() - chunk.offset()) {
    return Refuse(StatusCode::INVALID_ARGUMENT, "CHUNK_OUT_OF_RANGE");
  }
  Piece& piece = found->second;
  for (size_t i = 0; i < chunk.data().size(); ++i) {
    const size_t at = chunk.offset() + i;
    if (piece.received[at] && piece.bytes[at] != chunk.data()[i]) {
      return Refuse(StatusCode::INVALID_ARGUMENT, "CHUNK_CONFLICT");
    }
    piece.received[at] = true;
    piece.bytes[at] = chunk.data()[i];
  }
  return grpc::Status::OK;
}

void FakeUpdate::ListMissing(uint32_t limit, v1::GetUpdateResponse* response) const {
  for (const auto& [name, tensor] : tensors) {
    for (const auto& [rank, piece] : tensor.pieces) {
      if (piece.complete()) continue;
      response->set_missing_shards(response->missing_shards() + 1);
      if (response->missing_shards() > limit) continue;
      v1::MissingShard* shard = response->add_missing();
      shard->set_tensor(name);
      shard->set_rank(rank);
      shard->set_bytes(piece.bytes.size());
      for (size_t at = 0; at < piece.received.size() && shard->missing_size() < 64;) {
        const auto from = std::find(piece.received.begin() + at, piece.received.end(), false);
        const auto to = std::find(from, piece.received.end(), true);
        at = to - piece.received.begin();
        if (from == piece.received.end()) break;
        v1::ByteRange* range = shard->add_missing();
        range->set_begin(from - piece.received.begin());
        range->set_end(at);
      }
    }
  }
}

std::vector<std::string> FakeUpdate::Verify() {
  std::vector<std::string> wrong;
  for (auto& [name, tensor] : tensors) {
    for (auto& [rank, piece] : tensor.pieces) {
      const std::string& digest = piece.shard.digest();
      const DigestKind kind = digest.empty()                        ? DigestKind::kNone
                              : absl::StartsWith(digest, "sha256:") ? DigestKind::kSha256
                                                                    : DigestKind::kXxh3;
      if (piece.complete() && DigestOf(kind, piece.bytes) == digest) continue;
      wrong.push_back(absl::StrCat("tensors[", name, "].shards[", rank, "]"));
      if (piece.complete()) piece.received.assign(piece.received.size(), false);
    }
  }
  return wrong;
}

void FakeUpdate::Count() {
  uint64_t bytes = 0, received = 0;
  for (const auto& [name, tensor] : tensors) {
    for (const auto& [rank, piece] : tensor.pieces) {
      bytes += piece.bytes.size();
      received += std::count(piece.received.begin(), piece.received.end(), true);
    }
  }
  info.set_tensors(tensors.size());
  info.set_bytes(bytes);
  info.set_received_bytes(received);
}

}  // namespace bwrt::client
