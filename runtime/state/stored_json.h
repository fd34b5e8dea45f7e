// Prepared updates and decisions as JSON: what the journal and the checkpoint both write. Pure functions.
#ifndef BWRT_RUNTIME_STATE_STORED_JSON_H_
#define BWRT_RUNTIME_STATE_STORED_JSON_H_

#include "runtime/state/json_text.h"
#include "runtime/state/stored.h"
#include "runtime/swap_decision.h"

namespace bwrt::runtime {

Json ToJson(const StoredUpdate& update);
Json ToJson(const SwapDecision& decision);
// False for what is none.
bool FromJson(const Json& json, StoredUpdate* update);
bool FromJson(const Json& json, SwapDecision* decision);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_STORED_JSON_H_
