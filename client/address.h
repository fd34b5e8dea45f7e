// Where the daemon is when nobody says.
//
// Thread-safe as long as nobody changes the environment meanwhile.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bwrt::client {

// What the address is derived from.
struct AddressSources {
  // Looks a variable up; nothing where it is unset.
  std::function<std::optional<std::string>(const char* name)> environment = {};
  bool is_root = false;

  // Those of this process.
  static AddressSources Process();
};

// BWRT_SERVER; else bwrt.sock in the runtime directory: /run/bwrt for root, $XDG_RUNTIME_DIR for
// others, and /run/user/UID where that is unset.
std::string DefaultAddress(const AddressSources& sources = AddressSources::Process());

// Whether BWRT_SERVER is set, and so decides what DefaultAddress returns.
bool IsServerNamed(const AddressSources& sources = AddressSources::Process());

// INVALID_ARGUMENT unless `address` is "unix:PATH" or "HOST:PORT".
absl::Status CheckAddress(absl::string_view address);

}  // namespace bwrt::client
