#include "client/address.h"

#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace bwrt::client {

AddressSources AddressSources::Process() {
  return {.environment = [](const char* name) -> std::optional<std::string> {
            const char* value = std::getenv(name);
            if (value == nullptr) return std::nullopt;
            return value;
          },
          .is_root = geteuid() == 0};
}

std::string DefaultAddress(const AddressSources& sources) {
  const std::optional<std::string> server = sources.environment("BWRT_SERVER");
  if (server.has_value() && !server->empty()) return *server;
  if (sources.is_root) return "unix:/run/bwrt/bwrt.sock";
  const std::optional<std::string> runtime = sources.environment("XDG_RUNTIME_DIR");
  if (runtime.has_value() && !runtime->empty()) return absl::StrCat("unix:", *runtime, "/bwrt.sock");
  return absl::StrCat("unix:/run/user/", geteuid(), "/bwrt.sock");
}

bool IsServerNamed(const AddressSources& sources) {
  const std::optional<std::string> server = sources.environment("BWRT_SERVER");
  return server.has_value() && !server->empty();
}

absl::Status CheckAddress(absl::string_view address) {
  absl::string_view rest = address;
  if (absl::ConsumePrefix(&rest, "unix:")) {
    constexpr size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
    absl::string_view path = rest;
    absl::ConsumePrefix(&path, "//");
    if (path.empty()) return absl::InvalidArgumentError("address \"unix:\": the path is missing");
    if (path.size() > kMaxPath) {
      return absl::InvalidArgumentError(
          absl::StrCat("address \"", rest, "\": a socket's path has at most ", kMaxPath, " bytes"));
    }
    return absl::OkStatus();
  }
  const size_t colon = rest.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos || colon == 0 || !absl::SimpleAtoi(rest.substr(colon + 1), &port) || port == 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("address \"", rest, "\": must be unix:PATH or HOST:PORT"));
  }
  return absl::OkStatus();
}

}  // namespace bwrt::client
