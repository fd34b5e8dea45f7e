// The command-line tool.
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "client/cli.h"

int main(int argc, char** argv) {
  // gRPC's own log lines would mix with ours; its errors reach us as statuses.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  std::ios::sync_with_stdio(false);
  return bwrt::client::RunCli(argc, argv, std::cout, std::cerr, isatty(STDERR_FILENO) == 1);
}
