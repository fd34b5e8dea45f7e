#include "server/status.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "google/rpc/error_details.pb.h"
#include "runtime/error.h"

namespace bwrt::server {
namespace {

using google::rpc::BadRequest;
using google::rpc::ErrorInfo;
using google::rpc::PreconditionFailure;
using google::rpc::RetryInfo;

constexpr char kTypePrefix[] = "type.googleapis.com/";
constexpr char kDomain[] = "bwrt";
constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxStringBytes = 512;
// Of a repeated field's element, and of an Any with its type URL, beside the bytes of the message itself.
constexpr size_t kElementOverhead = 6;
constexpr size_t kAnyOverhead = 80;
// Kept free for the violation that counts those left out.
constexpr size_t kMoreBytes = 64;

// Debian's abseil is built with a string_view of its own.
std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

// All details of one status, in the order in which they matter to a client.
struct Details {
  std::optional<ErrorInfo> info;
  std::optional<RetryInfo> retry;
  std::optional<PreconditionFailure> preconditions;
  std::optional<BadRequest> fields;
  std::map<std::string, std::string> others;  // Type URL -> bytes.
};

void AddRuntimeDetails(const runtime::ErrorDetails& from, Details* to) {
  if (!from.reason.empty()) {
    ErrorInfo& info = to->info.emplace();
    info.set_domain(kDomain);
    info.set_reason(from.reason);
    for (const auto& [key, value] : from.metadata) (*info.mutable_metadata())[key] = value;
  }
  if (from.retry_after) {
    const int64_t ns = std::chrono::nanoseconds(*from.retry_after).count();
    auto* delay = to->retry.emplace().mutable_retry_delay();
    delay->set_seconds(ns / 1'000'000'000);
    delay->set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
  }
  for (const runtime::PreconditionViolation& v : from.preconditions) {
    if (!to->preconditions) to->preconditions.emplace();
    auto* violation = to->preconditions->add_violations();
    violation->set_type(v.type);
    violation->set_subject(v.subject);
    violation->set_description(v.description);
  }
  for (const runtime::FieldViolation& v : from.fields) {
    if (!to->fields) to->fields.emplace();
    auto* violation = to->fields->add_field_violations();
    violation->set_field(v.field);
    violation->set_reason(v.reason);
    violation->set_description(v.description);
  }
}

// True when `url` names a T; then its bytes are in `to`.
template <typename T>
bool Take(absl::string_view url, const std::string& bytes, std::optional<T>* to) {
  if (url != absl::StrCat(kTypePrefix, T::descriptor()->full_name())) return false;
  if (!to->emplace().ParseFromString(bytes)) to->reset();
  return true;
}

Details CollectDetails(const absl::Status& status) {
  Details details;
  if (const auto from = runtime::GetDetails(status)) AddRuntimeDetails(*from, &details);
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    if (!absl::StartsWith(url, kTypePrefix)) return;
    const std::string bytes(payload);
    if (Take(url, bytes, &details.info) || Take(url, bytes, &details.retry) ||
        Take(url, bytes, &details.preconditions) || Take(url, bytes, &details.fields)) {
      return;
    }
    details.others.emplace(std::string(url), bytes);
  });
  return details;
}

void Clean(std::string* text) { *text = CleanUtf8(*text, kMaxStringBytes); }

// Builds a google.rpc.Status of a bounded size by adding what fits, the most important first.
class Packer {
 public:
  Packer(const absl::Status& status, std::string message, size_t budget) : left_(budget) {
    rpc_.set_code(static_cast<int>(status.code()));
    rpc_.set_message(std::move(message));
    Spend(rpc_.ByteSizeLong() + kElementOverhead);
  }

  void Add(const ErrorInfo& from) {
    ErrorInfo info;
    info.set_reason(CleanUtf8(from.reason(), kMaxStringBytes));
    info.set_domain(CleanUtf8(from.domain(), kMaxStringBytes));
    if (!Spend(info.ByteSizeLong() + kAnyOverhead)) return;
    // Sorted, so that the same error always keeps the same entries.
    const std::map<std::string, std::string> metadata(from.metadata().begin(), from.metadata().end());
    for (const auto& [key, value] : metadata) {
      std::string k = CleanUtf8(key, kMaxStringBytes);
      std::string v = CleanUtf8(value, kMaxStringBytes);
      if (!Spend(k.size() + v.size() + 2 * kElementOverhead)) break;
      (*info.mutable_metadata())[std::move(k)] = std::move(v);
    }
    rpc_.add_details()->PackFrom(info);
  }

  void Add(const RetryInfo& retry) {
    if (Spend(retry.ByteSizeLong() + kAnyOverhead)) rpc_.add_details()->PackFrom(retry);
  }

  void Add(const PreconditionFailure& from) {
    PreconditionFailure kept;
    AddWhileTheyFit(from.violations(), kept.mutable_violations(), [](PreconditionFailure::Violation* v) {
      Clean(v->mutable_type());
      Clean(v->mutable_subject());
      Clean(v->mutable_description());
    });
    if (kept.violations_size() > 0) rpc_.add_details()->PackFrom(kept);
  }

  void Add(const BadRequest& from) {
    BadRequest kept;
    AddWhileTheyFit(from.field_violations(), kept.mutable_field_violations(), [](BadRequest::FieldViolation* v) {
      Clean(v->mutable_field());
      Clean(v->mutable_reason());
      Clean(v->mutable_description());
    });
    if (kept.field_violations_size() > 0) rpc_.add_details()->PackFrom(kept);
  }

  void AddOther(const std::string& url, const std::string& bytes) {
    if (!Spend(url.size() + bytes.size() + 3 * kElementOverhead)) return;
    auto* any = rpc_.add_details();
    any->set_type_url(url);
    any->set_value(bytes);
  }

  google::rpc::Status Take() { return std::move(rpc_); }

 private:
  bool Spend(size_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }

  template <typename Repeated, typename CleanElement>
  void AddWhileTheyFit(const Repeated& from, Repeated* to, CleanElement clean) {
    if (from.empty() || !Spend(kAnyOverhead + kMoreBytes)) return;
    for (const auto& violation : from) {
      auto cleaned = violation;
      clean(&cleaned);
      if (!Spend(cleaned.ByteSizeLong() + kElementOverhead)) break;
      *to->Add() = std::move(cleaned);
    }
    if (const int more = from.size() - to->size(); more > 0) {
      to->Add()->set_description(absl::StrCat("and ", more, " more, left out to fit the size limit"));
    }
  }

  google::rpc::Status rpc_;
  size_t left_;
};

google::rpc::Status Pack(const absl::Status& status, std::string message, size_t budget) {
  const Details details = CollectDetails(status);
  Packer packer(status, std::move(message), budget);
  if (details.info) packer.Add(*details.info);
  if (details.retry) packer.Add(*details.retry);
  if (details.preconditions) packer.Add(*details.preconditions);
  if (details.fields) packer.Add(*details.fields);
  for (const auto& [url, bytes] : details.others) packer.AddOther(url, bytes);
  return packer.Take();
}

// Bytes of grpc-message: everything but printable ASCII is sent as %XX.
size_t PercentEncodedSize(std::string_view text) {
  size_t size = 0;
  for (const char c : text) size += (c >= ' ' && c <= '~' && c != '%') ? 1 : 3;
  return size;
}

// Length of the well-formed UTF-8 sequence at the front of `text`; 0 when there is none.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and beyond U+10FFFF.
  const unsigned char second = byte(1);
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
      (lead == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return length;
}

}  // namespace

std::string CleanUtf8(std::string_view text, size_t max_bytes) {
  constexpr std::string_view kCut = "...";
  std::string clean;
  clean.reserve(std::min(text.size(), max_bytes));
  size_t fits_with_cut = 0;  // Prefix of `clean` that leaves room for the mark.
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    const std::string_view piece = length == 0 ? "?" : text.substr(0, length);
    if (clean.size() + piece.size() > max_bytes) {
      clean.resize(fits_with_cut);
      if (max_bytes >= kCut.size()) clean += kCut;
      return clean;
    }
    clean += piece;
    if (clean.size() + kCut.size() <= max_bytes) fits_with_cut = clean.size();
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return clean;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message = CleanUtf8(ToStd(status.message()), kMaxMessageBytes);
  // base64 makes four bytes of three.
  const size_t budget = (kMaxTrailerBytes - PercentEncodedSize(message)) / 4 * 3;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      Pack(status, message, budget).SerializeAsString());
}

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  if (status.ok()) return {};
  return Pack(status, CleanUtf8(ToStd(status.message()), kMaxMessageBytes), kMaxEmbeddedErrorBytes);
}

void AddDetail(absl::Status* status, const google::protobuf::Message& detail) {
  status->SetPayload(absl::StrCat(kTypePrefix, detail.GetDescriptor()->full_name()),
                     absl::Cord(detail.SerializeAsString()));
}

}  // namespace bwrt::server
