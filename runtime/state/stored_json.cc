#include "runtime/state/stored_json.h"

#include <utility>

namespace bwrt::runtime {

Json ToJson(const StoredUpdate& update) {
  Json json = {{"id", update.id},
               {"model", update.model},
               {"base", update.base.value()},
               {"manifest", update.manifest.ToString()},
               {"in_place", update.in_place}};
  if (update.prepared_ttl) json["prepared_ttl_ns"] = update.prepared_ttl->count();
  return json;
}

Json ToJson(const SwapDecision& decision) {
  Json parts = Json::array();
  for (const SwapDecision::Part& part : decision.parts) {
    parts.push_back({{"model", part.model},
                     {"version", part.version.value()},
                     {"manifest", part.manifest.ToString()},
                     {"update", part.update_id}});
  }
  return {{"id", decision.id}, {"parts", std::move(parts)}};
}

bool FromJson(const Json& json, StoredUpdate* update) {
  if (!Get(json, "id", &update->id) || !Get(json, "model", &update->model) || !Get(json, "base", &update->base) ||
      !Get(json, "manifest", &update->manifest) || !Get(json, "in_place", &update->in_place)) {
    return false;
  }
  if (json.contains("prepared_ttl_ns")) {
    int64_t ns = 0;
    if (!Get(json, "prepared_ttl_ns", &ns)) return false;
    update->prepared_ttl = Duration(ns);
  }
  return true;
}

bool FromJson(const Json& json, SwapDecision* decision) {
  const Json* parts = GetArray(json, "parts");
  if (!Get(json, "id", &decision->id) || parts == nullptr) return false;
  for (const Json& element : *parts) {
    SwapDecision::Part& part = decision->parts.emplace_back();
    if (!Get(element, "model", &part.model) || !Get(element, "version", &part.version) ||
        !Get(element, "manifest", &part.manifest) || !Get(element, "update", &part.update_id)) {
      return false;
    }
  }
  return true;
}

}  // namespace bwrt::runtime
