// SafetensorsSource: the tensors of a model that lies in safetensors files beneath a root.
//
// Holds the files open and remembers their headers, no data. Thread-safe. Files that are replaced by a rename stay as
// they were opened; whoever writes into one changes what is read, which only digests detect.
#ifndef BWRT_RUNTIME_SAFETENSORS_FILE_H_
#define BWRT_RUNTIME_SAFETENSORS_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/limits.h"
#include "runtime/root_directory.h"
#include "runtime/tensor.h"

namespace bwrt::runtime {

class SafetensorsSource {
 public:
  struct Tensor {
    std::string name;
    TensorType type;
    int64_t bytes = 0;   // type.bytes().
    size_t file = 0;     // Which of files().
    int64_t offset = 0;  // In that file.
  };

  // `path`, relative to the root ("." is the root itself), is a file *.safetensors, an index *.json whose files lie
  // beside it, or a directory in which there is either model.safetensors or model.safetensors.index.json. An index and
  // its files must name the same tensors.
  //
  // Errors begin with the file's path within the root: those of RootDirectory::OpenFile; INVALID_ARGUMENT
  // SAFETENSORS_HEADER, SAFETENSORS_INDEX (also where a file disagrees with it), SAFETENSORS_PATH (a directory with
  // both files); NOT_FOUND SAFETENSORS_PATH (with neither); FAILED_PRECONDITION FILE_CHANGED and FILE_UNREADABLE.
  static absl::StatusOr<std::unique_ptr<SafetensorsSource>> Open(const RootDirectory& root, absl::string_view path,
                                                                 const Limits& limits);

  // Sorted by name; each name once.
  const std::vector<Tensor>& tensors() const { return tensors_; }
  // Paths within the root.
  const std::vector<std::string>& files() const { return names_; }

  // Fills `out` with the bytes of a tensor of this source from `offset` on. OUT_OF_RANGE beyond the tensor's end;
  // FAILED_PRECONDITION FILE_CHANGED when the file has become shorter, FILE_UNREADABLE when the disk fails.
  absl::Status Read(const Tensor& tensor, int64_t offset, absl::Span<char> out) const;

 private:
  SafetensorsSource() = default;

  // Adds the tensors of one file.
  absl::Status Add(const RootDirectory& root, std::string path, const Limits& limits);
  absl::Status AddIndexed(const RootDirectory& root, absl::string_view path, const RootDirectory::File& index,
                          const Limits& limits);

  std::vector<Tensor> tensors_;
  std::vector<std::string> names_;
  std::vector<RootDirectory::File> files_;
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_SAFETENSORS_FILE_H_
