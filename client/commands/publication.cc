#include "client/commands/publication.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/commands/output.h"
#include "client/commands/updates.h"

namespace bwrt::client {
namespace {

double SecondsSince(absl::Time begin) { return absl::ToDoubleSeconds(absl::Now() - begin); }

// The same error with more to say.
absl::Status Noted(const absl::Status& status, absl::string_view note) {
  absl::Status noted(status.code(), absl::StrCat(status.message(), "; ", note));
  status.ForEachPayload([&noted](absl::string_view url, const absl::Cord& payload) { noted.SetPayload(url, payload); });
  return noted;
}

absl::Status PrecommitAndCommit(Client& client, const PublicationPlan& plan, Publication* publication) {
  absl::Time begin = absl::Now();
  const auto prepared = client.Precommit(publication->update_id);
  if (!prepared.ok()) return prepared.status();
  publication->precommit_seconds = SecondsSince(begin);
  publication->tensors = prepared->info().tensors();
  if (!plan.commit) return absl::OkStatus();
  v1::CommitRequest request = plan.policy;
  request.add_update_ids(publication->update_id);
  begin = absl::Now();
  const auto committed = client.Commit(request);
  if (!committed.ok()) return committed.status();
  if (committed->updates().empty()) return absl::InternalError("the daemon does not say what it has committed");
  publication->commit_seconds = SecondsSince(begin);
  publication->version = committed->updates(0).version();
  publication->previous_version = committed->updates(0).previous_version();
  return absl::OkStatus();
}

template <class Value>
Json OrNull(const std::optional<Value>& value) {
  return value.has_value() ? Json(*value) : Json();
}

}  // namespace

absl::StatusOr<Publication> Publish(Client& client, const PublicationPlan& plan) {
  const auto info = client.BeginUpdate(plan.begin);
  if (!info.ok()) return info.status();
  Publication publication;
  publication.update_id = info->update_id();
  publication.model = info->model();
  absl::Status status = plan.stage(&publication);
  if (status.ok()) status = PrecommitAndCommit(client, plan, &publication);
  if (status.ok()) return publication;
  const std::string update = absl::StrCat("update ", publication.update_id);
  if (plan.keep) return Noted(status, absl::StrCat(update, " is kept"));
  const auto aborted = client.Abort(publication.update_id);
  if (aborted.ok()) return Noted(status, absl::StrCat(update, " has been aborted"));
  return Noted(status, absl::StrCat(update, " could not be aborted: ", aborted.status().message()));
}

void PrintPublication(const Context& context, const Publication& publication) {
  const bool committed = publication.commit_seconds.has_value();
  if (context.json) {
    Json json;
    json["update_id"] = publication.update_id;
    json["model"] = publication.model;
    json["version"] = committed ? Json(publication.version) : Json();
    json["previous_version"] = committed ? Json(publication.previous_version) : Json();
    json["bytes"] = publication.bytes;
    json["tensors"] = publication.tensors;
    json["stage_seconds"] = publication.stage_seconds;
    json["stage_bytes_per_second"] = BytesPerSecond(publication.bytes, publication.stage_seconds);
    json["precommit_seconds"] = OrNull(publication.precommit_seconds);
    json["commit_seconds"] = OrNull(publication.commit_seconds);
    PrintJson(json, context.out);
    return;
  }
  if (committed) {
    PrintSwap(publication.model, publication.previous_version, publication.version, context.out);
    context.out << ": ";
  } else {
    context.out << Printable(publication.update_id)
                << (publication.precommit_seconds.has_value() ? ": prepared: " : ": staged: ");
  }
  context.out << publication.tensors << " tensors, " << FormatTransfer(publication.bytes, publication.stage_seconds);
  if (publication.precommit_seconds.has_value()) {
    context.out << ", prepared in " << FormatSeconds(*publication.precommit_seconds);
  }
  if (committed) context.out << ", committed in " << FormatSeconds(*publication.commit_seconds);
  context.out << std::endl;
}

}  // namespace bwrt::client
