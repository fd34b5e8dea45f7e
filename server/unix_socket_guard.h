// UnixSocketGuard: what must hold while the server binds its Unix sockets.
//
//   absl::StatusOr<std::unique_ptr<UnixSocketGuard>> guard = UnixSocketGuard::Create(addresses);
//   ... BuildAndStart ...
//   guard->reset();
//
// gRPC deletes whatever socket it finds at its path, even that of a running daemon. So before binding this
// class checks that nobody answers there, and keeps a lock on the directory until the server is bound, for a
// second daemon may be starting at the same moment. A socket that nobody answers is what a killed daemon left,
// and may be replaced; any other kind of file is not touched.
//
// While it lives the umask is 0117, so that sockets come out with mode 0660. The umask belongs to the whole
// process: use this before threads that create files exist. Not thread-safe.
#ifndef BWRT_SERVER_UNIX_SOCKET_GUARD_H_
#define BWRT_SERVER_UNIX_SOCKET_GUARD_H_

#include <sys/types.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/listen_address.h"

namespace bwrt::server {

class UnixSocketGuard {
 public:
  // Addresses of other kinds are ignored.
  static absl::StatusOr<std::unique_ptr<UnixSocketGuard>> Create(const std::vector<ListenAddress>& addresses);

  // Gives the locks and the umask back.
  ~UnixSocketGuard();
  UnixSocketGuard(const UnixSocketGuard&) = delete;
  UnixSocketGuard& operator=(const UnixSocketGuard&) = delete;

 private:
  UnixSocketGuard();
  absl::Status Lock(const std::string& directory);

  const mode_t old_umask_;
  std::vector<int> locks_;  // Descriptors of directories.
  std::set<std::pair<dev_t, ino_t>> locked_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_UNIX_SOCKET_GUARD_H_
