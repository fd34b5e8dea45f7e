// The failpoints of the state directory: one before or after each step that a crash can separate from the next.
#ifndef BWRT_RUNTIME_STATE_STEPS_H_
#define BWRT_RUNTIME_STATE_STEPS_H_

#include <array>

namespace bwrt::runtime {

inline constexpr std::array kStateSteps = {
    "blob.begin",         "blob.written",       "blob.synced",       "blob.renamed",       "blob.durable",
    "manifest.begin",     "manifest.written",   "manifest.synced",   "manifest.renamed",   "manifest.durable",
    "journal.begin",      "journal.appended",   "journal.synced",    "checkpoint.begin",   "checkpoint.written",
    "checkpoint.renamed", "checkpoint.durable", "checkpoint.copied", "checkpoint.cleaned", "collect.begin",
    "collect.unlinked",
};

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STATE_STEPS_H_
