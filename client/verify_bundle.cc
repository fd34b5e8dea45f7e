#include "client/verify_bundle.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <tuple>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/dtype.h"
#include "client/file.h"
#include "client/json_value.h"
#include "client/verify_daemon.h"

namespace bwrt::client {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr absl::string_view kFile = "bundle.json";
// A wave that lists 65,536 tiles in two ways has some 8 MiB.
constexpr size_t kMaxFileBytes = size_t{16} << 20;
constexpr absl::string_view kRandomModelName = "random-model";
constexpr absl::string_view kWaveTensorName = "wave-tensor";

absl::string_view KindName(WeightsRecipe::Kind kind) {
  return kind == WeightsRecipe::Kind::kRandomModel ? kRandomModelName : kWaveTensorName;
}

Json ProtoJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return Json();
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// JSON has no infinity and no NaN.
Json Number(double value) {
  if (std::isfinite(value)) return value;
  return absl::StrCat(value);
}

Json CaseJson(const VerifyCase& of) {
  Json json;
  json["seed"] = of.seed;
  json["wave_index"] = of.wave;
  json["device"] = of.device;
  json["ref_device"] = of.ref_device;
  json["lenient"] = of.lenient;
  if (of.region) json["region"] = FormatMatrixRect(*of.region);
  json["weights"] = {{"kind", std::string(KindName(of.weights.kind))}, {"seed", of.weights.seed}};
  json["bias"] = of.draft.bias;
  json["operand_digests"] = of.operand_digests;
  json["wave"] = ProtoJson(of.draft.request);
  return json;
}

Json FindingJson(const VerifyCase& of, const VerifyFinding& finding) {
  Json json;
  json["mismatch"] = finding.mismatch;
  json["worst_rel_error"] = Number(finding.rel_error);
  json["tolerance"] = finding.tolerance;
  json["digests"] = {{"reference", finding.reference_digest}, {"device", finding.device_digest}};
  if (finding.first) json["first_difference"] = {{"row", finding.first->row}, {"column", finding.first->column}};
  if (finding.around && finding.first) {
    const DType dtype = OutputDTypeOf(of.draft.request);
    const ElementPair values = ValuesAt(*finding.around, dtype, *finding.first);
    json["first_difference"]["reference"] = Number(values.reference);
    json["first_difference"]["device"] = Number(values.device);
    json["around"] = {{"elements", FormatMatrixRect(finding.around->elements)},
                      {"dtype", std::string(DTypeName(dtype))},
                      {"reference_base64", absl::Base64Escape(finding.around->reference)},
                      {"device_base64", absl::Base64Escape(finding.around->device)}};
  }
  json["result"] = ProtoJson(finding.result);
  const auto capabilities = [&json](const char* name, const std::optional<v1::GetCapabilitiesResponse>& of_daemon) {
    if (of_daemon) json[name] = ProtoJson(*of_daemon);
  };
  capabilities("device_capabilities", finding.device_capabilities);
  capabilities("ref_device_capabilities", finding.ref_capabilities);
  json["flags"] = Json::object();
  for (const auto& [flag, value] : finding.flags) json["flags"][flag] = value;
  return json;
}

// One object of a file that somebody may have edited: takes known fields out, keeps the first error, and objects to
// what is left over.
class Fields {
 public:
  Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object.is_object()) Refuse("", "must be an object");
  }

  // Null where it is missing.
  const Json* Find(const char* name) {
    taken_.insert(name);
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  const Json* Need(const char* name) {
    const Json* value = Find(name);
    if (value == nullptr) Refuse(name, "is missing");
    return value;
  }
  void Take(const char* name, uint64_t* value) {
    const Json* json = Need(name);
    if (json == nullptr) return;
    const std::string* text = json->get_ptr<const Json::string_t*>();
    if (json->is_number_unsigned()) {
      *value = json->get<uint64_t>();
    } else if (text == nullptr || !absl::SimpleAtoi(*text, value)) {
      Refuse(name, "must be an integer from 0 to 2^64 - 1");
    }
  }
  void Take(const char* name, bool* value) {
    const Json* json = Need(name);
    if (json == nullptr) return;
    if (!json->is_boolean()) return Refuse(name, "must be true or false");
    *value = json->get<bool>();
  }
  void Take(const char* name, std::string* value) {
    constexpr size_t kMaxText = 200;
    const Json* json = Need(name);
    if (json == nullptr) return;
    const std::string* text = json->get_ptr<const Json::string_t*>();
    if (text == nullptr || text->size() > kMaxText) return Refuse(name, "must be a string of at most 200 bytes");
    *value = *text;
  }

  void Refuse(absl::string_view name, absl::string_view why) {
    if (!status_.ok()) return;
    const absl::string_view dot = path_.empty() || name.empty() ? "" : ".";
    const std::string field = absl::StrCat(path_, dot, name);
    status_ = absl::InvalidArgumentError(absl::StrCat(field.empty() ? "the file" : field, ": ", why));
  }
  void Refuse(absl::string_view name, const absl::Status& status) {
    if (!status.ok()) Refuse(name, status.message());
  }
  absl::Status Done() {
    if (!status_.ok()) return status_;
    for (const auto& [name, value] : object_.items()) {
      if (taken_.count(name) != 0) continue;
      constexpr size_t kMaxShown = 60;
      Refuse(absl::CHexEscape(name.substr(0, kMaxShown)), "no such field in a bundle of format 1");
    }
    return status_;
  }

 private:
  const Json& object_;
  const std::string path_;
  std::set<std::string> taken_;
  absl::Status status_;
};

absl::Status DecodeWeights(const Json& json, WeightsRecipe* weights) {
  Fields fields(json, "case.weights");
  std::string kind;
  fields.Take("kind", &kind);
  fields.Take("seed", &weights->seed);
  weights->kind = kind == kRandomModelName ? WeightsRecipe::Kind::kRandomModel : WeightsRecipe::Kind::kWaveTensor;
  if (kind != KindName(weights->kind)) fields.Refuse("kind", "must be random-model or wave-tensor");
  return fields.Done();
}

absl::Status DecodeDigests(const Json& json, std::map<std::string, std::string>* digests) {
  Fields fields(json, "case.operand_digests");
  for (const char* name : {"a", "w", "c", "bias"}) {
    if (fields.Find(name) != nullptr) fields.Take(name, &(*digests)[name]);
  }
  return fields.Done();
}

absl::Status DecodeWave(const Json& json, WaveDraft* draft) {
  v1::SubmitWaveRequest request;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(json.dump(-1, ' ', false, Json::error_handler_t::replace), &request);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("case.wave: no bwrt.v1.SubmitWaveRequest: ",
                     absl::string_view(parsed.message().data(), parsed.message().size())));
  }
  const bool bias = draft->bias;
  *draft = DraftOf(std::move(request));
  draft->bias = bias;
  return absl::OkStatus();
}

absl::Status DecodeCase(const Json& json, VerifyCase* to) {
  Fields fields(json, "case");
  fields.Take("seed", &to->seed);
  fields.Take("wave_index", &to->wave);
  fields.Take("device", &to->device);
  fields.Refuse("device", CheckDeviceName(to->device));
  fields.Take("ref_device", &to->ref_device);
  fields.Refuse("ref_device", CheckDeviceName(to->ref_device));
  fields.Take("lenient", &to->lenient);
  if (fields.Find("region") != nullptr) {
    std::string text;
    fields.Take("region", &text);
    auto region = ParseMatrixRect(text);
    if (region.ok()) to->region = *region;
    fields.Refuse("region", region.status());
  }
  fields.Take("bias", &to->draft.bias);
  const Json* weights = fields.Need("weights");
  const Json* digests = fields.Need("operand_digests");
  const Json* wave = fields.Need("wave");
  if (absl::Status status = fields.Done(); !status.ok()) return status;
  if (absl::Status status = DecodeWeights(*weights, &to->weights); !status.ok()) return status;
  if (absl::Status status = DecodeDigests(*digests, &to->operand_digests); !status.ok()) return status;
  return DecodeWave(*wave, &to->draft);
}

}  // namespace

Surroundings SurroundingsOf(const v1::SubmitWaveRequest& wave, const ElementIndex& at, const MatrixRect& within,
                            absl::string_view reference, absl::string_view device) {
  const int64_t size = DTypeBytes(OutputDTypeOf(wave));
  const int64_t stride = wave.c().row_stride() == 0 ? wave.n() : wave.c().row_stride();
  MatrixRect limits = within;
  int64_t rows = 8;
  if (at.column >= wave.n()) {
    rows = 1;
    limits = {.row_begin = at.row, .row_end = at.row + 1, .column_begin = 0, .column_end = stride};
  }
  // `count` indices around `at`, moved to where they lie within [begin, end).
  const auto around = [](int64_t at, int64_t count, int64_t begin, int64_t end) {
    const int64_t first = std::max(begin, std::min(at - count / 2, end - count));
    return std::pair<int64_t, int64_t>(first, std::min(end, first + count));
  };
  Surroundings found;
  MatrixRect& part = found.elements;
  std::tie(part.row_begin, part.row_end) = around(at.row, rows, limits.row_begin, limits.row_end);
  std::tie(part.column_begin, part.column_end) =
      around(at.column, Surroundings::kMaxBytes / size / rows, limits.column_begin, limits.column_end);
  for (int64_t row = part.row_begin; row < part.row_end; ++row) {
    const auto begin = static_cast<size_t>((row * stride + part.column_begin) * size);
    const auto count = static_cast<size_t>(part.columns() * size);
    absl::StrAppend(&found.reference, reference.substr(begin, count));
    absl::StrAppend(&found.device, device.substr(begin, count));
  }
  return found;
}

ElementPair ValuesAt(const Surroundings& around, DType c_dtype, const ElementIndex& at) {
  const int64_t index =
      (at.row - around.elements.row_begin) * around.elements.columns() + at.column - around.elements.column_begin;
  const auto size = static_cast<size_t>(DTypeBytes(c_dtype));
  const auto value = [&](absl::string_view bytes) {
    const auto values = DecodeElements(c_dtype, bytes.substr(static_cast<size_t>(index) * size, size));
    return values.ok() ? values->front() : std::numeric_limits<double>::quiet_NaN();
  };
  return {.reference = value(around.reference), .device = value(around.device)};
}

std::string EncodeBundle(const VerifyCase& of, const VerifyFinding& finding) {
  Json json;
  json["format"] = kFormat;
  json["case"] = CaseJson(of);
  json["finding"] = FindingJson(of, finding);
  return absl::StrCat(json.dump(2, ' ', false, Json::error_handler_t::replace), "\n");
}

absl::StatusOr<VerifyCase> DecodeBundle(absl::string_view text) {
  // First of all bounds the depth, which everything below recurses over.
  if (const auto checked = ParseJson(text); !checked.ok()) return checked.status();
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  Fields fields(json, "");
  uint64_t format = 0;
  fields.Take("format", &format);
  if (format != kFormat) fields.Refuse("format", "must be 1: this is no bundle that this bwrtctl knows");
  const Json* of = fields.Need("case");
  fields.Find("finding");
  if (absl::Status status = fields.Done(); !status.ok()) return status;
  VerifyCase decoded;
  if (absl::Status status = DecodeCase(*of, &decoded); !status.ok()) return status;
  return decoded;
}

absl::Status WriteBundle(const std::string& directory, const VerifyCase& of, const VerifyFinding& finding) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot make the directory ", directory));
  }
  return WriteFile(absl::StrCat(directory, "/", kFile), EncodeBundle(of, finding));
}

absl::StatusOr<VerifyCase> ReadBundle(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/", kFile);
  const auto text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status();
  auto decoded = DecodeBundle(*text);
  if (decoded.ok()) return decoded;
  return absl::Status(decoded.status().code(), absl::StrCat(path, ": ", decoded.status().message()));
}

}  // namespace bwrt::client
