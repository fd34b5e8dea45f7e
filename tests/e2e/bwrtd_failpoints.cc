// A bwrtd that can be made to die at a step: see KillingFailpoints.

#include "server/run_daemon.h"
#include "tests/support/killing_failpoints.h"

int main(int argc, char** argv) {
  bwrt::runtime::KillingFailpoints failpoints;
  return bwrt::server::RunDaemon(argc, argv, &failpoints);
}
