// bwrtctl watch and sample: what happens in the daemon, as it happens.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/flags.h"
#include "client/commands/output.h"

namespace bwrt::client {
namespace {

struct SampleFlags {
  std::string device = {};
  bool watch = false;
  absl::Duration interval = absl::Seconds(1);
  uint64_t count = 0;
};

// Shows up to `count` events (0: all), each as it comes.
template <class Event, class Show>
int Follow(const Context& context, Watch<Event>& watch, uint64_t count, Show show) {
  for (uint64_t seen = 0; count == 0 || seen < count; ++seen) {
    const auto event = watch.Next();
    if (!event.ok()) return context.Fail(event.status());
    if (!event->has_value()) break;
    if (context.json) {
      PrintJson(ToJson(**event), context.out);
    } else {
      show(**event);
    }
    // A reader that has gone away needs no more.
    if (!context.out.good()) return kExitFailed;
  }
  return kExitDone;
}

int RunWatch(const Context& context, const std::string& model, uint64_t count) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  const auto watch = (*client)->WatchModel(model);
  return Follow(context, *watch, count, [&context](const v1::ModelEvent& event) {
    context.out << absl::FormatTime("%H:%M:%E3S", absl::Now(), absl::LocalTimeZone()) << "  "
                << absl::CHexEscape(event.model()) << "  " << v1::ModelEvent::Kind_Name(event.kind()) << "  version "
                << event.version();
    if (!event.label().empty()) context.out << " '" << absl::CHexEscape(event.label()) << "'";
    context.out << "  window " << (event.window_open() ? "open" : "closed");
    if (event.dropped() > 0) context.out << "  (" << event.dropped() << " events lost before)";
    context.out << std::endl;
  });
}

int RunSample(const Context& context, const SampleFlags& flags) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  if (flags.watch) {
    v1::WatchSamplesRequest request;
    request.set_device(flags.device);
    *request.mutable_interval() = ToProto(flags.interval);
    const auto watch = (*client)->WatchSamples(request);
    return Follow(context, *watch, flags.count, [&context](const v1::SampleResponse& sample) {
      PrintSample(sample, context.out);
      context.out << std::endl;
    });
  }
  v1::SampleRequest request;
  request.set_device(flags.device);
  const auto sample = (*client)->Sample(request);
  if (!sample.ok()) return context.Fail(sample.status());
  if (context.json) {
    PrintJson(ToJson(*sample), context.out);
  } else {
    PrintSample(*sample, context.out);
  }
  return kExitDone;
}

}  // namespace

void AddWatchCommands(CLI::App& app, Context& context) {
  struct WatchFlags {
    std::string model = {};
    uint64_t count = 0;
  };
  auto watch_flags = std::make_shared<WatchFlags>();
  CLI::App* watch = app.add_subcommand("watch", "Version and window events of a model");
  watch->add_option("MODEL", watch_flags->model, "The model; default: default");
  watch->add_option("--count", watch_flags->count, "End after so many events; default: never");
  watch->callback([&context, watch_flags] {
    context.command = [&context, watch_flags] { return RunWatch(context, watch_flags->model, watch_flags->count); };
  });

  auto sample_flags = std::make_shared<SampleFlags>();
  CLI::App* sample = app.add_subcommand("sample", "How busy the device was, and what to change");
  sample->add_option("--device", sample_flags->device, "Default: the first");
  CLI::Option* watch_flag = sample->add_flag("--watch", sample_flags->watch, "Go on sampling");
  AddDuration(*sample, "--interval", &sample_flags->interval, "With --watch; default 1s")->needs(watch_flag);
  sample->add_option("--count", sample_flags->count, "With --watch: end after so many samples")
      ->check(CheckUnsigned)
      ->needs(watch_flag);
  sample->callback([&context, sample_flags] {
    context.command = [&context, sample_flags] { return RunSample(context, *sample_flags); };
  });
}

}  // namespace bwrt::client
