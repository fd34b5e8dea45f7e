// ListenAddress: where the daemon listens, and which places are allowed.
//
// A value type; the functions are thread-safe.
#ifndef BWRT_SERVER_LISTEN_ADDRESS_H_
#define BWRT_SERVER_LISTEN_ADDRESS_H_

#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bwrt::server {

struct ListenAddress {
  enum class Kind { kUnix, kTcp };

  Kind kind = Kind::kTcp;
  std::string path;  // kUnix.
  std::string host;  // kTcp: a name or literal address, without brackets.
  int port = 0;      // kTcp: 0 picks a free one.

  // Takes "unix:PATH" (also "unix:///PATH"), "HOST:PORT" and "[V6]:PORT". The error says what is wrong and how
  // to write it.
  static absl::StatusOr<ListenAddress> Parse(std::string_view text);

  // As gRPC and people write it: "unix:/run/x.sock", "127.0.0.1:80", "[::1]:80".
  std::string ToString() const;

  // Of a Unix socket: where its path is.
  std::string Directory() const;

  // Reachable from this machine only. Of names only "localhost" counts: what another resolves to can change.
  bool IsLoopback() const;
};

// Refuses an address that other machines can reach, as connections are not encrypted or authenticated, unless
// the operator allows it.
absl::Status CheckExposure(const ListenAddress& address, bool allow_insecure);

// The address for when none is given: /run/bwrt/bwrt.sock for root, else bwrt.sock in `runtime_dir`, which is
// $XDG_RUNTIME_DIR (nullptr or empty: not set, an error).
absl::StatusOr<ListenAddress> DefaultListenAddress(uid_t uid, const char* runtime_dir);

// Makes the directory of the default address. For it only: elsewhere a missing directory is the operator's
// mistake.
absl::Status CreateRuntimeDirectory(const ListenAddress& address);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_LISTEN_ADDRESS_H_
