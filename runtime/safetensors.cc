#include "runtime/safetensors.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/json_events.h"
#include "runtime/tensor_name.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

struct NamedType {
  absl::string_view name;
  ElementType::Code code;
};
constexpr std::array<NamedType, 15> kTypes = {{{"F64", ElementType::kF64},
                                               {"F32", ElementType::kF32},
                                               {"F16", ElementType::kF16},
                                               {"BF16", ElementType::kBF16},
                                               {"I64", ElementType::kI64},
                                               {"I32", ElementType::kI32},
                                               {"I16", ElementType::kI16},
                                               {"I8", ElementType::kI8},
                                               {"U64", ElementType::kU64},
                                               {"U32", ElementType::kU32},
                                               {"U16", ElementType::kU16},
                                               {"U8", ElementType::kU8},
                                               {"BOOL", ElementType::kBool},
                                               {"F8_E4M3", ElementType::kF8E4M3},
                                               {"F8_E5M2", ElementType::kF8E5M2}}};

std::optional<ElementType> TypeNamed(absl::string_view name) {
  for (const NamedType& type : kTypes) {
    if (type.name == name) return ElementType::FromWire(type.code);
  }
  return std::nullopt;
}

template <typename... Parts>
absl::Status Bad(const Parts&... parts) {
  return MakeError(absl::StatusCode::kInvalidArgument, "SAFETENSORS_HEADER",
                   absl::StrCat("safetensors header: ", parts...));
}

// Builds the entries from the header's JSON:
//   {"__metadata__": {...}, NAME: {"dtype": "F32", "shape": [2, 3], "data_offsets": [BEGIN, END]}, ...}
class HeaderEvents final : public JsonEvents {
 public:
  explicit HeaderEvents(const Limits& limits) : limits_(limits) {}

  std::vector<SafetensorsEntry> Take() { return std::move(entries_); }

  absl::Status Key(int depth, std::string name) override {
    if (depth == 1) return Member(name);
    if (in_metadata_) return absl::OkStatus();
    for (size_t i = 0; i < kFields.size(); ++i) {
      if (name != kFields[i]) continue;
      if (given_[i]) return Bad(Tensor(), ": ", name, " is given twice; write it once");
      given_[i] = true;
      field_ = static_cast<Field>(i);
      return absl::OkStatus();
    }
    return Bad(Tensor(), ": unknown key ", Quoted(name), "; use dtype, shape and data_offsets");
  }

  absl::Status Scalar(int depth, JsonScalar value) override {
    if (in_metadata_ && depth > 1) return absl::OkStatus();
    if (depth == 2 && field_ == kDtype && value.kind == JsonScalar::Kind::kString) {
      const auto type = TypeNamed(value.text);
      if (!type) {
        return Bad(Tensor(), ": dtype ", Quoted(value.text),
                   " is not known; use F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL, F8_E4M3 or "
                   "F8_E5M2");
      }
      entry_.type.dtype = *type;
      return absl::OkStatus();
    }
    if (depth != 3) return WrongKind(depth, Quoted(value.text));
    if (value.kind != JsonScalar::Kind::kInteger) {
      return Bad(Tensor(), ": ", kFields[field_], " holds ", Quoted(value.text), "; use integers below 2^63");
    }
    return field_ == kShape ? Dimension(value.integer) : Offset(value.integer);
  }

  absl::Status Open(int depth, Container container) override {
    const bool object = container == Container::kObject;
    if (in_metadata_ && depth > 1) return absl::OkStatus();
    if (depth <= 1 ? object : depth == 2 && !object && field_ != kDtype) return absl::OkStatus();
    return WrongKind(depth, object ? "an object" : "a list");
  }

  absl::Status Close(int depth) override { return depth == 1 && !in_metadata_ ? Finish() : absl::OkStatus(); }

 private:
  enum Field : uint8_t { kDtype, kShape, kOffsets };
  static constexpr std::array<absl::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};

  std::string Tensor() const { return absl::StrCat("tensor ", Quoted(entry_.name)); }

  absl::Status WrongKind(int depth, absl::string_view value) const {
    if (depth == 0) return Bad("it is ", value, "; it must be an object of tensors");
    if (in_metadata_) return Bad("__metadata__ is ", value, "; it must be an object");
    if (depth == 1) return Bad(Tensor(), " is ", value, "; it must be an object with dtype, shape and data_offsets");
    if (depth == 2) {
      return Bad(Tensor(), ": ", kFields[field_], " is ", value, "; it must be ",
                 field_ == kDtype ? "a string" : "a list of integers");
    }
    return Bad(Tensor(), ": ", kFields[field_], " holds ", value, "; use integers");
  }

  absl::Status Member(absl::string_view name) {
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) {
      if (metadata_given_) return Bad("__metadata__ is given twice; write it once");
      metadata_given_ = true;
      return absl::OkStatus();
    }
    if (static_cast<int64_t>(entries_.size()) >= limits_.max_tensors) {
      return Bad("more than ", limits_.max_tensors, " tensors; split the model or raise the daemon's limit");
    }
    if (!IsTensorName(name)) return Bad("tensor name ", Quoted(name), ": ", TensorNameRule());
    entry_ = {};
    entry_.name = std::string(name);
    given_ = {};
    offsets_ = {};
    offsets_given_ = 0;
    return absl::OkStatus();
  }

  absl::Status Dimension(int64_t value) {
    std::vector<int64_t>& shape = entry_.type.shape;
    if (static_cast<int64_t>(shape.size()) == limits_.max_tensor_dims) {
      return Bad(Tensor(), ": shape has more than ", limits_.max_tensor_dims, " dimensions; use at most that many");
    }
    if (value < 1 || value > limits_.max_dim) {
      return Bad(Tensor(), ": shape[", shape.size(), "]=", value, ": must lie in [1, ", limits_.max_dim, "]");
    }
    shape.push_back(value);
    return absl::OkStatus();
  }

  absl::Status Offset(int64_t value) {
    if (offsets_given_ == offsets_.size()) {
      return Bad(Tensor(), ": data_offsets has more than 2 numbers; use [begin, end]");
    }
    if (value < 0) return Bad(Tensor(), ": data_offsets[", offsets_given_, "]=", value, ": must not be negative");
    offsets_[offsets_given_++] = value;
    return absl::OkStatus();
  }

  absl::Status Finish() {
    for (size_t i = 0; i < kFields.size(); ++i) {
      if (!given_[i]) return Bad(Tensor(), ": ", kFields[i], " is missing; give dtype, shape and data_offsets");
    }
    if (offsets_given_ != offsets_.size()) {
      return Bad(Tensor(), ": data_offsets has ", offsets_given_, " numbers; use [begin, end]");
    }
    std::vector<int64_t>& shape = entry_.type.shape;
    if (shape.empty()) shape = {1};
    int64_t bytes = entry_.type.dtype.size();
    for (const int64_t dim : shape) {
      if (__builtin_mul_overflow(bytes, dim, &bytes)) {
        return Bad(Tensor(), ": the product of its ", shape.size(), " dimensions is larger than any memory");
      }
    }
    const auto [begin, end] = offsets_;
    if (end < begin || end - begin != bytes) {
      return Bad(Tensor(), ": data_offsets [", begin, ", ", end, "]: shape and dtype ", entry_.type.dtype.name(),
                 " need exactly ", bytes, " bytes");
    }
    entry_.offset = begin;
    entry_.bytes = bytes;
    entries_.push_back(std::move(entry_));
    return absl::OkStatus();
  }

  const Limits& limits_;
  std::vector<SafetensorsEntry> entries_;
  bool metadata_given_ = false;
  bool in_metadata_ = false;
  // The tensor at hand.
  SafetensorsEntry entry_;
  std::array<bool, 3> given_ = {};
  Field field_ = kDtype;
  std::array<int64_t, 2> offsets_ = {};
  size_t offsets_given_ = 0;
};

// The tensors, in any order, must cover [0, data_bytes) exactly.
absl::Status CheckCover(const std::vector<SafetensorsEntry>& entries, int64_t data_bytes) {
  std::vector<const SafetensorsEntry*> by_offset;
  by_offset.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) by_offset.push_back(&entry);
  std::sort(by_offset.begin(), by_offset.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  int64_t covered = 0;
  for (const SafetensorsEntry* entry : by_offset) {
    const auto bad = [&](const auto&... why) {
      return Bad("tensor ", Quoted(entry->name), ": its data begins at ", entry->offset, why...);
    };
    if (entry->offset < covered) {
      return bad(", inside another tensor, which ends at ", covered, "; tensors must not overlap");
    }
    if (entry->offset > covered) return bad(", but the tensor before ends at ", covered, "; leave no gaps");
    covered += entry->bytes;  // Can't overflow: it is one of the header's numbers.
    if (covered > data_bytes) {
      return bad(" and ends at ", covered, ", but the file has only ", data_bytes,
                 " bytes of data; it is cut short, or the header is wrong");
    }
  }
  if (covered == data_bytes) return absl::OkStatus();
  return Bad("the tensors end at ", covered, ", but the file has ", data_bytes,
             " bytes of data; every byte must belong to a tensor");
}

}  // namespace

absl::StatusOr<int64_t> SafetensorsHeaderLength(absl::string_view prefix, int64_t file_bytes) {
  const int64_t given = std::min(file_bytes, static_cast<int64_t>(prefix.size()));
  if (given < kSafetensorsLengthBytes) {
    return Bad("only ", given, " bytes; a safetensors file begins with ", kSafetensorsLengthBytes, " bytes of length");
  }
  uint64_t length = 0;
  for (size_t i = 0; i < static_cast<size_t>(kSafetensorsLengthBytes); ++i) {
    length |= uint64_t{static_cast<unsigned char>(prefix[i])} << (8 * i);
  }
  const int64_t limit = std::min(file_bytes - kSafetensorsLengthBytes, kMaxSafetensorsHeaderBytes);
  if (length > static_cast<uint64_t>(limit)) {
    return Bad("its length is ", length, " bytes: at most ", limit, " for this file of ", file_bytes,
               " bytes; it is cut short, or no safetensors file");
  }
  return static_cast<int64_t>(length);
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view prefix, int64_t file_bytes,
                                                         const Limits& limits) {
  const auto length = SafetensorsHeaderLength(prefix, file_bytes);
  if (!length.ok()) return length.status();
  absl::string_view text = prefix.substr(static_cast<size_t>(kSafetensorsLengthBytes));
  if (text.size() < static_cast<size_t>(*length)) {
    return Bad("only ", text.size(), " of its ", *length, " bytes are given; give all of them");
  }
  text = text.substr(0, static_cast<size_t>(*length));
  if (text.empty() || text[0] != '{') {
    return Bad("it begins with ", Quoted(text.substr(0, 1)), "; a JSON object begins with {");
  }

  HeaderEvents events(limits);
  if (absl::Status status = ParseJson(text, events); !status.ok()) {
    return GetReason(status).empty() ? Bad(status.message()) : status;
  }
  SafetensorsHeader header;
  header.tensors = events.Take();
  header.data_offset = kSafetensorsLengthBytes + *length;
  std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(header.tensors.begin(), header.tensors.end(),
                                        [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice != header.tensors.end()) {
    return Bad("tensor ", Quoted(twice->name), " is given twice; each name once");
  }
  const absl::Status cover = CheckCover(header.tensors, file_bytes - header.data_offset);
  if (!cover.ok()) return cover;
  return header;
}

}  // namespace bwrt::runtime
