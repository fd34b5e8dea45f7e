// bwrtctl status and caps: what the daemon is and what it can run.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/models.h"
#include "client/commands/output.h"
#include "client/dtype.h"

namespace bwrt::client {
namespace {

using HealthResponse = grpc::health::v1::HealthCheckResponse;

void PrintDevices(const v1::GetCapabilitiesResponse& caps, std::ostream& out) {
  Table table({"DEVICE", "DTYPES", "LANES", "KERNELS", "DESCRIPTION"});
  for (const v1::Device& device : caps.devices()) {
    std::vector<absl::string_view> dtypes;
    for (const int dtype : device.dtypes()) dtypes.push_back(DTypeName(static_cast<DType>(dtype)));
    table.Add({device.name(), absl::StrJoin(dtypes, ","), absl::StrCat(device.lanes()),
               absl::StrJoin(device.kernels(), ","), device.description()});
  }
  table.Print(out);
  for (const v1::Device& device : caps.devices()) {
    if (!device.components().empty()) {
      std::vector<std::string> versions;
      for (const v1::ComponentVersion& component : device.components()) {
        versions.push_back(absl::StrCat(component.component(), " ", component.version()));
      }
      out << device.name() << ": " << absl::StrJoin(versions, ", ") << '\n';
    }
    if (!device.cache().empty()) {
      out << Printable(device.name()) << ": traversals are modelled in its " << Printable(device.cache())
          << ", shared by as many tiles as run at once: " << device.cache_tiles() << '\n';
    }
    if (!device.hardware_counters().empty()) {
      out << Printable(device.name()) << ": hardware counters: " << Printable(device.hardware_counters()) << '\n';
    }
  }
  if (!caps.device_choice().empty()) out << caps.device_choice() << '\n';
}

std::string BuildText(const v1::Build& build) {
  return absl::StrCat("bwrtd ", build.version(), " (", build.mode(), ", ", build.compiler(), ")");
}

int RunStatus(const Context& context) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  const auto health = (*client)->CheckHealth();
  if (!health.ok()) return context.Fail(health.status());
  const auto caps = (*client)->GetCapabilities();
  if (!caps.ok()) return context.Fail(caps.status());
  const auto models = (*client)->ListModels();
  if (!models.ok()) return context.Fail(models.status());
  const auto sample = (*client)->Sample();
  if (!sample.ok()) return context.Fail(sample.status());
  const std::string health_name = HealthResponse::ServingStatus_Name(health->status());

  if (context.json) {
    Json json;
    json["address"] = (*client)->address();
    json["health"] = health_name;
    const Json caps_json = ToJson(*caps);
    json["build"] = caps_json.value("build", Json());
    json["devices"] = caps_json.value("devices", Json());
    json["device_choice"] = caps->device_choice();
    json["models"] = ToJson(*models).value("models", Json());
    json["sample"] = ToJson(*sample);
    PrintJson(json, context.out);
  } else {
    context.out << BuildText(caps->build()) << " at " << (*client)->address() << ": " << health_name << "\n\n";
    PrintDevices(*caps, context.out);
    context.out << '\n';
    PrintModels(*models, context.out);
    context.out << '\n';
    PrintSample(*sample, context.out);
  }
  return health->status() == HealthResponse::SERVING ? kExitDone : kExitFailed;
}

int RunCaps(const Context& context) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  const auto caps = (*client)->GetCapabilities();
  if (!caps.ok()) return context.Fail(caps.status());
  if (context.json) {
    PrintJson(ToJson(*caps), context.out);
    return kExitDone;
  }
  context.out << BuildText(caps->build()) << "\n\n";
  PrintDevices(*caps, context.out);
  context.out << "\ntile shapes" << (caps->lenient_shapes() ? ", and others too (lenient)" : "") << ", whitelist "
              << caps->whitelist_digest() << '\n';
  Table shapes({"BM", "BN", "BK", "STAGE_N", "CLUSTER"});
  for (const v1::TileShape& shape : caps->tile_whitelist()) {
    shapes.Add({absl::StrCat(shape.bm()), absl::StrCat(shape.bn()), absl::StrCat(shape.bk()),
                absl::StrCat(shape.stage_n()),
                absl::StrCat(shape.cluster_shape().x(), ",", shape.cluster_shape().y())});
  }
  shapes.Print(context.out);
  context.out << '\n';
  Table limits({"LIMIT", "VALUE"});
  const Json limits_json = ToJson(caps->limits());
  for (const auto& [name, value] : limits_json.items()) {
    limits.Add({name, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  limits.Print(context.out);
  return kExitDone;
}

}  // namespace

void AddInspectCommands(CLI::App& app, Context& context) {
  app.add_subcommand("status", "Health, build, models and the latest sample")
      ->callback([&context] { context.command = [&context] { return RunStatus(context); }; })
      ->footer("Exit status 1 when the daemon answers but is not serving.");
  app.add_subcommand("caps", "Devices, tile shapes and limits")->callback([&context] {
    context.command = [&context] { return RunCaps(context); };
  });
}

}  // namespace bwrt::client
