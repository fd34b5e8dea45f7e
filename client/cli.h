// bwrtctl without its process: arguments in, text and an exit status out.
//
// A plain function; one call at a time. Throws nothing.
#pragma once

#include <ostream>

namespace bwrt::client {

// `argv` as main has it. Data goes to `out`, errors to `err`, and progress too when `terminal` says
// that it is one. Returns 0 done, 1 the work failed, 2 usage, 3 cannot reach the server.
int RunCli(int argc, const char* const* argv, std::ostream& out, std::ostream& err, bool terminal);

}  // namespace bwrt::client
