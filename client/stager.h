// Brings the bytes of an open update to the daemon, and finishes what a broken connection interrupted.
//
// Used once, by one thread. The client must outlive it.
//
//   Stager stager(*client, update_id);
//   stager.Add("w", 0, *FromFile("w.bin"));
//   const auto result = stager.Run();
//
// 1. Declarations go first, over a stream of their own: once it has been answered, a shard that GetUpdate does not
//    list as missing is complete. All chunks go over one stream after it.
// 2. When that breaks with UNAVAILABLE, or the daemon has ended it because nothing came for long (a source that is
//    slow), the daemon is asked what it lacks, and only this is sent over the next one. Any other error ends the run at
//    once.
// 3. After an error the update is as the daemon has it: a later run can bring the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bwrt/v1/weights.pb.h"
#include "client/byte_source.h"
#include "client/client.h"

namespace bwrt::client {

struct StagerOptions {
  // Bytes of one chunk, > 0.
  uint64_t chunk_bytes = uint64_t{1} << 20;
  // Failed attempts in a row that brought the daemon no new byte, after which the error is returned.
  int max_retries = 6;
  // Before the first retry. Doubles with each up to 5 s.
  absl::Duration retry_delay = absl::Milliseconds(250);
  // Asks what the update lacks before anything is sent, instead of sending all.
  bool only_missing = false;
  // Told after each chunk and before a retry: the bytes the daemon has or was sent, of those of all shards added. A
  // broken stream takes back what it lost.
  std::function<void(uint64_t done, uint64_t total)> on_progress = {};
  // Cancels the run. Optional; not owned.
  CallHandle* handle = nullptr;
};

struct StageResult {
  uint64_t bytes = 0;   // Sent, those that a broken stream lost included.
  uint64_t chunks = 0;  // As bytes.
  int retries = 0;      // Streams that broke.
  double seconds = 0;
  v1::UpdateInfo info = {};
};

// What a manifest says of a shard; reads all of it for the digest.
absl::StatusOr<v1::Shard> DescribeShard(const ByteSource& source, uint32_t rank, DigestKind digest,
                                        v1::Encoding encoding = v1::RAW);

class Stager {
 public:
  Stager(Client& client, std::string update_id, StagerOptions options = {});

  // Announces a tensor, or says more of one. Not needed for what BeginUpdate has listed.
  void Declare(v1::TensorManifest tensor) { declared_.push_back(std::move(tensor)); }
  // A shard to bring.
  void Add(std::string tensor, uint32_t rank, std::shared_ptr<const ByteSource> source);

  // Brings everything added. The errors of StageWeights and GetUpdate, and those of the sources.
  absl::StatusOr<StageResult> Run();

 private:
  struct Shard {
    std::string tensor;
    uint32_t rank;
    std::shared_ptr<const ByteSource> source;
  };
  // A range of a shard to send.
  struct Piece {
    const Shard* shard;
    uint64_t begin;
    uint64_t end;
  };
  struct Missing {
    std::vector<Piece> pieces = {};
    bool all = true;  // Nothing more is missing than these.
  };

  template <class Attempt>
  absl::Status Retry(Attempt attempt);
  absl::Status SendDeclarations();
  absl::Status SendShards();
  absl::Status SendPieces(const std::vector<Piece>& pieces);
  absl::StatusOr<Missing> FindMissing();
  void ReportProgress(uint64_t unsent) const;

  Client& client_;
  const std::string update_id_;
  const StagerOptions options_;
  std::vector<v1::TensorManifest> declared_;
  std::vector<Shard> shards_;
  uint64_t total_ = 0;
  bool ask_ = false;       // What the daemon has is not known.
  uint64_t received_ = 0;  // The most that the daemon said it has.
  int failures_ = 0;       // In a row.
  StageResult result_;
};

}  // namespace bwrt::client
