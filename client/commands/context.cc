#include "client/commands/context.h"

#include <nlohmann/json.hpp>

#include "client/commands/output.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

void Report(const Context& context, const absl::Status& status) {
  context.err << "bwrtctl: " << FormatError(status) << std::endl;
  if (context.json) PrintJson(ErrorJson(status), context.out);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Context::Connect() const { return Client::Connect(server); }

int Context::Fail(const absl::Status& status) const {
  Report(*this, status);
  return IsUnreachable(status) ? kExitUnreachable : kExitFailed;
}

int Context::Usage(const absl::Status& status) const {
  Report(*this, status);
  return kExitUsage;
}

}  // namespace bwrt::client
