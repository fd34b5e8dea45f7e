#include "server/ready_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bwrt::server {
namespace {

// Closes, and says whether all of `text` arrived.
bool WriteAndClose(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    done += static_cast<size_t>(n);
  }
  const int error = errno;
  const bool closed = close(fd) == 0;
  if (done < text.size()) errno = error;
  return done == text.size() && closed;
}

}  // namespace

absl::Status ReadyFile::RemoveStale(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot remove the old ready file ", path));
}

absl::StatusOr<std::unique_ptr<ReadyFile>> ReadyFile::Create(const std::string& path,
                                                             const std::vector<std::string>& listen,
                                                             const std::string& metrics) {
  nlohmann::ordered_json json;
  json["pid"] = getpid();
  json["listen"] = listen;
  if (!metrics.empty()) json["metrics"] = metrics;
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";

  // In the same directory, as a rename across file systems is none.
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write the ready file ", path));
  if (!WriteAndClose(fd, text) || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return absl::ErrnoToStatus(error, absl::StrCat("cannot write the ready file ", path));
  }
  return std::unique_ptr<ReadyFile>(new ReadyFile(path));
}

ReadyFile::ReadyFile(std::string path) : path_(std::move(path)) {}

ReadyFile::~ReadyFile() { unlink(path_.c_str()); }

}  // namespace bwrt::server
