#include "runtime/state/record.h"

#include <utility>

#include "runtime/state/stored_json.h"

namespace bwrt::runtime {
namespace {

Json Encode(const PrepareRecord& r) { return {{"op", "prepare"}, {"update", ToJson(r.update)}}; }
Json Encode(const DropRecord& r) { return {{"op", "drop"}, {"update", r.update_id}}; }
Json Encode(const DeleteRecord& r) { return {{"op", "delete"}, {"model", r.model}}; }
Json Encode(const FallBackRecord& r) {
  return {{"op", "fall_back"}, {"model", r.model}, {"version", r.number.value()}};
}
Json Encode(const DecideRecord& r) { return {{"op", "decide"}, {"decision", ToJson(r.decision)}}; }
Json Encode(const RevokeRecord& r) { return {{"op", "revoke"}, {"decision", r.decision}}; }
Json Encode(const ConfirmRecord& r) {
  return {{"op", "confirm"}, {"decision", r.decision}, {"keep_versions", r.keep_versions}};
}

bool Decode(const Json& json, PrepareRecord* r) {
  return json.contains("update") && FromJson(json.at("update"), &r->update);
}
bool Decode(const Json& json, DropRecord* r) { return Get(json, "update", &r->update_id); }
bool Decode(const Json& json, DeleteRecord* r) { return Get(json, "model", &r->model); }
bool Decode(const Json& json, FallBackRecord* r) {
  return Get(json, "model", &r->model) && Get(json, "version", &r->number);
}
bool Decode(const Json& json, DecideRecord* r) {
  return json.contains("decision") && FromJson(json.at("decision"), &r->decision);
}
bool Decode(const Json& json, RevokeRecord* r) { return Get(json, "decision", &r->decision); }
bool Decode(const Json& json, ConfirmRecord* r) {
  return Get(json, "decision", &r->decision) && Get(json, "keep_versions", &r->keep_versions);
}

template <typename T>
std::optional<Record> As(const Json& json) {
  T record;
  if (!Decode(json, &record)) return std::nullopt;
  return Record(std::move(record));
}

std::optional<Record> Decode(const Json& json) {
  std::string op;
  if (!Get(json, "op", &op)) return std::nullopt;
  if (op == "prepare") return As<PrepareRecord>(json);
  if (op == "drop") return As<DropRecord>(json);
  if (op == "delete") return As<DeleteRecord>(json);
  if (op == "fall_back") return As<FallBackRecord>(json);
  if (op == "decide") return As<DecideRecord>(json);
  if (op == "revoke") return As<RevokeRecord>(json);
  if (op == "confirm") return As<ConfirmRecord>(json);
  return std::nullopt;
}

}  // namespace

std::string EncodeRecord(const Record& record) {
  return Dump(std::visit([](const auto& r) { return Encode(r); }, record));
}

std::optional<Record> ParseRecord(absl::string_view text) {
  const auto json = ParseJson(text);
  if (!json) return std::nullopt;
  auto record = Decode(*json);
  if (!record || EncodeRecord(*record) != text) return std::nullopt;
  return record;
}

}  // namespace bwrt::runtime
