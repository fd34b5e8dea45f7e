// One update of FakeDaemon: what was declared, and which of its bytes have been staged.
//
// A value; not thread-safe.
#pragma once

#include <grpcpp/support/status.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bwrt/v1/weights.pb.h"

namespace bwrt::client {

struct FakeUpdate {
  struct Piece {
    v1::Shard shard;
    std::string bytes = {};
    std::vector<bool> received = {};
    bool complete() const;
  };
  struct Tensor {
    v1::TensorManifest manifest;
    std::map<uint32_t, Piece> pieces = {};
    bool complete() const;
    // The elements of all shards.
    std::string Joined() const;
  };

  v1::UpdateInfo info = {};
  bool open_manifest = false;
  std::vector<std::string> removed = {};
  std::map<std::string, Tensor> tensors = {};

  grpc::Status Declare(const v1::TensorManifest& manifest);
  grpc::Status Take(const v1::Chunk& chunk);
  void ListMissing(uint32_t limit, v1::GetUpdateResponse* response) const;
  // The shards that are incomplete or have a wrong digest; drops the bytes of the latter.
  std::vector<std::string> Verify();
  // Counts `info` anew.
  void Count();
};

}  // namespace bwrt::client
