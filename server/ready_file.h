// ReadyFile: tells whoever started the daemon that it serves, and where.
//
// One JSON line: {"pid":12,"listen":["unix:/run/bwrt/bwrt.sock","127.0.0.1:4711"],"metrics":"127.0.0.1:9464"};
// "metrics" is missing when none are served. The file appears at once and whole, and is removed when this
// object is destroyed. Not thread-safe.
#ifndef BWRT_SERVER_READY_FILE_H_
#define BWRT_SERVER_READY_FILE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bwrt::server {

class ReadyFile {
 public:
  // Removes what a killed daemon may have left, so that nobody takes it for this one's. For the very start.
  static absl::Status RemoveStale(const std::string& path);

  // `metrics` is empty when none are served.
  static absl::StatusOr<std::unique_ptr<ReadyFile>> Create(const std::string& path,
                                                           const std::vector<std::string>& listen,
                                                           const std::string& metrics);
  ~ReadyFile();
  ReadyFile(const ReadyFile&) = delete;
  ReadyFile& operator=(const ReadyFile&) = delete;

 private:
  explicit ReadyFile(std::string path);

  const std::string path_;
};

}  // namespace bwrt::server

#endif  // BWRT_SERVER_READY_FILE_H_
