#include "runtime/safetensors_index.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/json_events.h"
#include "runtime/plain_name.h"
#include "runtime/tensor_name.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

template <typename... Parts>
absl::Status Bad(const Parts&... parts) {
  return MakeError(absl::StatusCode::kInvalidArgument, "SAFETENSORS_INDEX",
                   absl::StrCat("safetensors index: ", parts...));
}

class IndexEvents final : public JsonEvents {
 public:
  explicit IndexEvents(const Limits& limits) : limits_(limits) {}

  bool map_given() const { return map_given_; }
  SafetensorsIndex Take() { return std::move(index_); }

  absl::Status Key(int depth, std::string name) override {
    if (depth == 1) return Member(name);
    if (!in_map_) return absl::OkStatus();
    if (static_cast<int64_t>(tensors_.size()) >= limits_.max_tensors) {
      return Bad("more than ", limits_.max_tensors, " tensors; split the model or raise the daemon's limit");
    }
    if (!IsTensorName(name)) return Bad("tensor name ", Quoted(name), ": ", TensorNameRule());
    if (!tensors_.insert(name).second) return Bad("tensor ", Quoted(name), " is given twice; each name once");
    tensor_ = std::move(name);
    return absl::OkStatus();
  }

  absl::Status Scalar(int depth, JsonScalar value) override {
    if (depth <= 1) return NoObject(depth);
    if (!in_map_) return absl::OkStatus();
    if (value.kind != JsonScalar::Kind::kString) return NoFile(Quoted(value.text));
    if (!IsPlainName(value.text)) {
      return Bad("tensor ", Quoted(tensor_), ": file ", Quoted(value.text),
                 ": use the name of a file beside the index: 1 to 255 bytes without '/' or control characters");
    }
    if (static_cast<int64_t>(index_.size()) == kMaxSafetensorsFiles && index_.count(value.text) == 0) {
      return Bad("tensor ", Quoted(tensor_), ": more than ", kMaxSafetensorsFiles, " files; use larger ones");
    }
    index_[value.text].insert(std::move(tensor_));
    return absl::OkStatus();
  }

  absl::Status Open(int depth, Container container) override {
    const bool object = container == Container::kObject;
    if (depth <= 1) return object ? absl::OkStatus() : NoObject(depth);
    return in_map_ ? NoFile(object ? "an object" : "a list") : absl::OkStatus();
  }

  absl::Status Close(int) override { return absl::OkStatus(); }

 private:
  absl::Status Member(absl::string_view name) {
    in_map_ = name == "weight_map";
    if (!in_map_ && name != "metadata") {
      return Bad("unknown key ", Quoted(name), "; use metadata and weight_map");
    }
    bool& given = in_map_ ? map_given_ : metadata_given_;
    if (given) return Bad(name, " is given twice; write it once");
    given = true;
    return absl::OkStatus();
  }

  absl::Status NoObject(int depth) const {
    if (depth == 0) return Bad("it is no object; write {\"metadata\": {...}, \"weight_map\": {TENSOR: FILE}}");
    return Bad(in_map_ ? "weight_map" : "metadata", " is no object; it must be one");
  }

  absl::Status NoFile(absl::string_view value) const {
    return Bad("tensor ", Quoted(tensor_), " is ", value, "; it must be the name of a file, a string");
  }

  const Limits& limits_;
  SafetensorsIndex index_;
  std::set<std::string> tensors_;
  std::string tensor_;  // Whose file comes next.
  bool in_map_ = false;
  bool map_given_ = false;
  bool metadata_given_ = false;
};

}  // namespace

absl::StatusOr<SafetensorsIndex> ParseSafetensorsIndex(absl::string_view text, const Limits& limits) {
  if (text.size() > static_cast<size_t>(kMaxSafetensorsIndexBytes)) {
    return Bad(text.size(), " bytes: at most ", kMaxSafetensorsIndexBytes);
  }
  IndexEvents events(limits);
  if (absl::Status status = ParseJson(text, events); !status.ok()) {
    return GetReason(status).empty() ? Bad(status.message()) : status;
  }
  if (!events.map_given()) return Bad("weight_map is missing; give {TENSOR: FILE, ...}");
  return events.Take();
}

}  // namespace bwrt::runtime
