// bwrtd: see README.md for what it does and --help for its flags.

#include "server/run_daemon.h"

int main(int argc, char** argv) { return bwrt::server::RunDaemon(argc, argv); }
