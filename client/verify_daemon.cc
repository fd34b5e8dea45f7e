#include "client/verify_daemon.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/patient_submit.h"

namespace bwrt::client {

absl::Status CheckDeviceName(absl::string_view name) {
  if (name == kReferenceDevice || name == "auto" || name == "cpu" || name == "cuda") return absl::OkStatus();
  uint32_t index = 0;
  absl::string_view digits = name;
  if (absl::ConsumePrefix(&digits, "cuda:") && absl::SimpleAtoi(digits, &index) && absl::StrCat(index) == digits) {
    return absl::OkStatus();
  }
  constexpr size_t kMaxShown = 60;
  return absl::InvalidArgumentError(
      absl::StrCat(name.substr(0, kMaxShown), ": must be reference, auto, cpu, cuda or cuda:N"));
}

bool IsDevice(absl::string_view asked, absl::string_view actual) {
  return asked == "auto" || asked == actual || (asked == "cuda" && absl::StartsWith(actual, "cuda:"));
}

absl::StatusOr<std::unique_ptr<VerifyDaemon>> VerifyDaemon::Open(const Options& options) {
  std::unique_ptr<VerifyDaemon> daemon(new VerifyDaemon);
  std::string address = options.server;
  if (address.empty()) {
    // Operands travel inline, and may be large.
    std::vector<std::string> flags = {absl::StrCat("--device=", options.device), "--log-level=warning",
                                      "--max-message-bytes=1G"};
    if (options.lenient) flags.emplace_back("--shape-check=lenient");
    auto started = PrivateDaemon::Start({.flags = std::move(flags)});
    if (!started.ok()) return started.status();
    daemon->process_ = *std::move(started);
    address = daemon->process_->address();
  }
  auto client = Client::Connect(std::move(address));
  if (!client.ok()) return client.status();
  daemon->client_ = *std::move(client);
  if (absl::Status status = daemon->Inspect(options); !status.ok()) return status;
  return daemon;
}

absl::Status VerifyDaemon::Inspect(const Options& options) {
  auto capabilities = client_->GetCapabilities();
  if (!capabilities.ok()) return capabilities.status();
  capabilities_ = *std::move(capabilities);
  const auto& devices = capabilities_.devices();
  if (std::none_of(devices.begin(), devices.end(),
                   [&](const v1::Device& device) { return IsDevice(options.device, device.name()); })) {
    const auto name = [](std::string* out, const v1::Device& device) { absl::StrAppend(out, device.name()); };
    return absl::NotFoundError(absl::StrCat("the daemon at ", client_->address(), " has no device ", options.device,
                                            "; it has ", absl::StrJoin(devices, ", ", name)));
  }
  const auto pages = client_->ListPages();
  if (!pages.ok() && !absl::IsFailedPrecondition(pages.status())) return pages.status();
  reads_pages_ = pages.ok();
  return absl::OkStatus();
}

VerifyDaemon::~VerifyDaemon() {
  // Our own goes with all it holds.
  if (is_private() || client_ == nullptr) return;
  for (const auto& [model, version] : versions_) {
    v1::DeleteModelRequest request;
    request.set_model(model);
    // Should it fail, the model stays: there is nobody left to tell.
    client_->DeleteModel(request, {.timeout = absl::Seconds(5)}).IgnoreError();
  }
}

absl::Status VerifyDaemon::Publish(const PublishedModel& model) {
  v1::SetWeightsRequest request = Publication(model);
  request.set_label("bwrtctl verify");
  request.set_policy(v1::WHEN_IDLE);
  auto published = client_->SetWeights(request);
  if (absl::IsFailedPrecondition(published.status())) {
    // Forbidden; but the window may be open, as it is before the first wave.
    request.set_policy(v1::IN_WINDOW);
    published = client_->SetWeights(request);
  }
  if (!published.ok()) return published.status();
  versions_[model.name] = published->version();
  return absl::OkStatus();
}

uint64_t VerifyDaemon::VersionOf(const std::string& model) const {
  const auto found = versions_.find(model);
  return found == versions_.end() ? 0 : found->second;
}

void VerifyDaemon::Address(v1::SubmitWaveRequest* wave) const {
  if (!wave->client_id().empty()) wave->set_client_id(client_->client_id());
  if (!wave->whitelist_digest().empty()) wave->set_whitelist_digest(capabilities_.whitelist_digest());
  if (wave->required_version() != 0) wave->set_required_version(VersionOf(wave->model()));
}

absl::StatusOr<v1::WaveResult> VerifyDaemon::Run(const v1::SubmitWaveRequest& wave, absl::Duration timeout) {
  return SubmitPatiently(*client_, wave, timeout);
}

absl::Status VerifyDaemon::Validate(const v1::SubmitWaveRequest& wave) { return client_->ValidateWave(wave).status(); }

}  // namespace bwrt::client
