#include "client/commands/wave_file.h"

#include <google/protobuf/util/json_util.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/file.h"
#include "client/json_value.h"

namespace bwrt::client {

absl::StatusOr<WaveFile> ReadWaveFile(const std::string& path) {
  const auto text = ReadFile(path);
  if (!text.ok()) return text.status();
  const auto json = ParseJson(*text);
  if (!json.ok()) return absl::Status(json.status().code(), absl::StrCat(path, ": ", json.status().message()));
  WaveFile file;
  if (LooksLikePlan(*json)) {
    auto plan = ParsePlan(*json);
    if (!plan.ok()) return plan.status();
    file.plan = *std::move(plan);
    return file;
  }
  file.request.emplace();
  const auto status = google::protobuf::util::JsonStringToMessage(*text, &*file.request);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": neither a planner's waves nor a bwrt.v1.SubmitWaveRequest: ",
                     absl::string_view(status.message().data(), status.message().size())));
  }
  return file;
}

}  // namespace bwrt::client
