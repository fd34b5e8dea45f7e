#include "server/drain_signal.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "server/log.h"

namespace bwrt::server {
namespace {

sigset_t DrainSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

int WaitForOne() {
  const sigset_t signals = DrainSignals();
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  return signal;
}

}  // namespace

void BlockDrainSignals() {
  const sigset_t signals = DrainSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool DrainSignalPending() {
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

int WaitForDrainSignal() {
  const int first = WaitForOne();
  std::thread([] {
    WaitForOne();
    Log(LogLevel::kWarning, "second signal: ending at once");
    _exit(1);  // Not exit: destructors would wait for what the operator does not want to wait for.
  }).detach();
  return first;
}

}  // namespace bwrt::server
