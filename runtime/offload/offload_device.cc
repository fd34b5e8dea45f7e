#include "runtime/offload/offload_device.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

// Whether a wave can multiply with it.
bool IsMatrix(const TensorType& type) { return type.shape.size() == 2 && type.dtype.computed().has_value(); }

// Passes on, and knows whether anything has begun.
class WatchedProgress final : public WaveProgress {
 public:
  explicit WatchedProgress(WaveProgress& progress) : progress_(progress) {}
  absl::Status Step(std::optional<int64_t> finished, std::optional<int64_t> started) override {
    begun_ = begun_ || finished || started;
    return progress_.Step(finished, started);
  }
  bool begun() const { return begun_; }

 private:
  WaveProgress& progress_;
  bool begun_ = false;
};

// The wave with its stored W as one that comes along.
Wave WithBytes(const Wave& wave, const OffloadTensor& w) {
  Wave along = wave;
  kernels::ConstMatrix matrix;
  matrix.data = reinterpret_cast<const std::byte*>(w.bytes());
  matrix.rows = w.type().shape[0];
  matrix.cols = matrix.row_stride = w.type().shape[1];
  matrix.dtype = wave.dtype;
  along.w = matrix;
  return along;
}

}  // namespace

OffloadDevice::OffloadDevice(std::vector<Member> members, const OffloadOptions& options) : options_(options) {
  info_.name = "auto";
  std::vector<std::string> names;
  for (Member& member : members) {
    const DeviceInfo& info = member.device->info();
    absl::StrAppend(&info_.description, info_.description.empty() ? "" : " or ", info.name);
    members_.push_back({std::move(member.device), member.costs, std::make_shared<CopyMemory>(member.memory)});
  }
  info_.dtypes = members_[0].device->info().dtypes;
  info_.kernels = members_[0].device->info().kernels;
}

std::vector<const DeviceInfo*> OffloadDevice::members() const {
  std::vector<const DeviceInfo*> infos;
  infos.reserve(members_.size());
  for (const Served& member : members_) infos.push_back(&member.device->info());
  return infos;
}

absl::StatusOr<std::shared_ptr<const DeviceTensor>> OffloadDevice::Upload(HostTensor tensor, WeightBudget& budget) {
  // Handles to the same bytes: nothing is copied on the host.
  const HostTensor host = tensor;
  auto first = members_[0].device->Upload(std::move(tensor), budget);
  if (!first.ok()) return first.status();
  std::vector<OffloadTensor::Copy> copies(members_.size() - 1);
  if (IsMatrix(host.type)) {
    for (size_t i = 1; i < members_.size(); ++i) copies[i - 1] = CopyTo(members_[i], host);
  }
  return std::make_shared<OffloadTensor>(*std::move(first), host.data, std::move(copies));
}

OffloadTensor::Copy OffloadDevice::CopyTo(Served& member, const HostTensor& tensor) {
  auto reserved = member.memory->copies.Reserve(tensor.type.bytes(), WeightBudget::Kind::kContent);
  if (!reserved.ok()) return {};
  OffloadTensor::Copy copy;
  copy.memory = member.memory;
  copy.reservation = *std::move(reserved);
  auto there = member.device->Upload(tensor, member.memory->uncounted);
  if (!there.ok()) return {};
  copy.tensor = *std::move(there);
  return copy;
}

// Every tensor this device is handed was uploaded by it.

Bytes OffloadDevice::LayoutBytes(const TensorType& type, const DeviceTensor* predecessor) const {
  const auto* const before = static_cast<const OffloadTensor*>(predecessor);
  return members_[0].device->LayoutBytes(type, before == nullptr ? nullptr : before->On(0));
}

absl::Status OffloadDevice::Prepare(const DeviceTensor& tensor, const DeviceTensor* predecessor,
                                    WeightBudget::Reservation room) {
  const auto* const before = static_cast<const OffloadTensor*>(predecessor);
  return members_[0].device->Prepare(*static_cast<const OffloadTensor&>(tensor).On(0),
                                     before == nullptr ? nullptr : before->On(0), std::move(room));
}

Choice OffloadDevice::Place(const Wave& wave, const OffloadTensor* w) const {
  std::vector<Placement::Prediction> predictions;
  predictions.reserve(members_.size());
  for (size_t i = 0; i < members_.size(); ++i) {
    const Served& member = members_[i];
    const DeviceInfo& info = member.device->info();
    Placement::Prediction prediction;
    prediction.device = info.name;
    prediction.resident = wave.w.has_value() || w == nullptr || w->On(i) != nullptr;
    const bool computes = std::find(info.dtypes.begin(), info.dtypes.end(), wave.dtype) != info.dtypes.end();
    if (i == 0 || (computes && member.device->CheckServing().ok())) {
      prediction.time = Predict(member.costs, WaveWork::Of(wave, prediction.resident));
    }
    predictions.push_back(std::move(prediction));
  }
  return Choose(std::move(predictions), options_);
}

EffectiveSpec OffloadDevice::Plan(const Wave& wave) const {
  return members_[Place(wave, nullptr).device].device->Plan(wave);
}

Duration OffloadDevice::RoughTime(const Wave& wave) const {
  return members_[Place(wave, nullptr).device].device->RoughTime(wave);
}

Bytes OffloadDevice::WorkingBytes(const Wave& wave) const {
  Bytes most{0};
  for (const Served& member : members_) most = std::max(most, member.device->WorkingBytes(wave));
  return most;
}

absl::StatusOr<WaveReport> OffloadDevice::RunOn(size_t device, const Wave& wave, const OffloadTensor* w,
                                                WaveProgress& progress, std::string& c) {
  Device& chosen = *members_[device].device;
  if (w == nullptr) return chosen.Run(wave, nullptr, progress, c);
  if (const DeviceTensor* const there = w->On(device); there != nullptr) return chosen.Run(wave, there, progress, c);
  return chosen.Run(WithBytes(wave, *w), nullptr, progress, c);
}

absl::StatusOr<WaveReport> OffloadDevice::Run(const Wave& wave, const DeviceTensor* w, WaveProgress& progress,
                                              std::string& c) {
  const auto* const tensor = static_cast<const OffloadTensor*>(w);
  Choice choice = Place(wave, tensor);
  progress.Placed(choice.placement);
  WatchedProgress watched(progress);
  auto report = RunOn(choice.device, wave, tensor, watched, c);
  if (choice.device == 0 || !absl::IsResourceExhausted(report.status()) || watched.begun()) return report;
  Placement& placement = choice.placement;
  placement.text = absl::StrCat(placement.device, " had no memory for it: ", report.status().message());
  placement.device = members_[0].device->info().name;
  placement.reason = Placement::Reason::kNoMemory;
  progress.Placed(placement);
  return RunOn(0, wave, tensor, progress, c);
}

}  // namespace bwrt::runtime
