// DrainSignal: SIGTERM and SIGINT as a call that returns, instead of a handler that interrupts.
//
//   BlockDrainSignals();            // First thing in main: threads inherit the mask.
//   ... start everything ...
//   const int signal = WaitForDrainSignal();
//   ... drain; another signal now ends the process with status 1 ...
#ifndef BWRT_SERVER_DRAIN_SIGNAL_H_
#define BWRT_SERVER_DRAIN_SIGNAL_H_

namespace bwrt::server {

// Blocks both signals in this thread and those it starts. Also ignores SIGPIPE: a peer that closes its end is
// an error of that write, not the end of the daemon.
void BlockDrainSignals();

// Whether one of the signals has come and waits for WaitForDrainSignal: for a start that takes long.
bool DrainSignalPending();

// Returns the first of the signals that comes. From then on the next one ends the process at once, for an
// operator who does not want to wait. Once only.
int WaitForDrainSignal();

}  // namespace bwrt::server

#endif  // BWRT_SERVER_DRAIN_SIGNAL_H_
