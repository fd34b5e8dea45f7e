#include "runtime/version_builder.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/mutex.h"
#include "runtime/violations.h"

namespace bwrt::runtime {
namespace {

// A tensor from here on is a blob of its own; smaller ones of one call share one, so that a hundred thousand biases
// are not a hundred thousand files.
constexpr size_t kOwnBlobFrom = size_t{1} << 20;

// At a restart.
constexpr size_t kLoadThreads = 8;

const DeviceTensor* DeviceTensorOf(const NamedTensor* tensor) {
  return tensor == nullptr || !tensor->tensor->resident() ? nullptr : tensor->tensor.get();
}

StoredTensor Stored(const NamedTensor& tensor) {
  const int64_t bytes = tensor.tensor->type().bytes().value();
  return {tensor.name,
          tensor.tensor->type(),
          tensor.version,
          {tensor.stored->blob, tensor.stored->offset, bytes},
          tensor.stored->digest};
}

}  // namespace

absl::StatusOr<WeightBuffer> VersionBuilder::AllocateStage(size_t bytes, bool on_disk) const {
  return on_disk ? WeightMemory::MapFile(context_.state_directory, bytes) : context_.memory->Allocate(bytes);
}

absl::StatusOr<WeightBuffer> VersionBuilder::Join(const std::vector<WeightBuffer>& shards, bool on_disk,
                                                  WeightBudget::Reservation& room) const {
  size_t bytes = 0;
  for (const WeightBuffer& shard : shards) bytes += shard.size();
  WeightBudget::Reservation reserved;
  if (!on_disk) {
    auto taken = context_.budget->Reserve(Bytes(static_cast<int64_t>(bytes)), WeightBudget::Kind::kContent, room);
    if (!taken.ok()) return taken.status();
    reserved = *std::move(taken);
  }
  auto joined = AllocateStage(bytes, on_disk);
  if (!joined.ok()) return joined.status();
  joined->Charge(std::move(reserved));
  char* to = joined->data();
  for (const WeightBuffer& shard : shards) to = std::copy_n(shard.data(), shard.size(), to);
  return joined;
}

StateStore::Hold VersionBuilder::HoldCollection() const {
  return context_.state == nullptr ? nullptr : context_.state->HoldCollection();
}

absl::StatusOr<std::vector<std::optional<StoredBytes>>> VersionBuilder::Store(
    const std::vector<HostTensor>& tensors) const {
  std::vector<std::optional<StoredBytes>> stored(tensors.size());
  if (context_.state == nullptr) return stored;
  std::vector<absl::string_view> small;
  std::vector<size_t> small_at;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const absl::string_view bytes = tensors[i].data.view();
    if (bytes.size() < kOwnBlobFrom) {
      small.push_back(bytes);
      small_at.push_back(i);
      continue;
    }
    auto blob = context_.state->WriteBlob({bytes});
    if (!blob.ok()) return blob.status();
    stored[i] = StoredBytes{*blob, 0, *blob};
  }
  if (small.empty()) return stored;
  auto blob = context_.state->WriteBlob(small);
  if (!blob.ok()) return blob.status();
  int64_t offset = 0;
  for (size_t j = 0; j < small.size(); ++j) {
    stored[small_at[j]] = StoredBytes{*blob, offset, Digest::Of(Digest::Kind::kXxh3, small[j])};
    offset += static_cast<int64_t>(small[j].size());
  }
  return stored;
}

absl::Status VersionBuilder::Charge(std::vector<HostTensor>& tensors) const {
  for (HostTensor& tensor : tensors) {
    auto reserved = context_.budget->Reserve(tensor.type.bytes(), WeightBudget::Kind::kContent);
    if (!reserved.ok()) return reserved.status();
    tensor.data.Charge(*std::move(reserved));
  }
  return absl::OkStatus();
}

absl::Status VersionBuilder::ReserveRoom(const std::string& name, const TensorType& type, const WeightVersion* base,
                                         bool joins, WeightBudget::Reservation& room) const {
  const DeviceTensor* predecessor = base == nullptr ? nullptr : DeviceTensorOf(base->Find(name));
  const int64_t layouts = context_.device->LayoutBytes(type, predecessor).value();
  const int64_t joined = joins ? type.bytes().value() : 0;
  int64_t bytes = 0;
  if (__builtin_add_overflow(layouts, joined, &bytes)) bytes = std::numeric_limits<int64_t>::max();
  if (bytes <= room.bytes().value()) return absl::OkStatus();
  auto more = context_.budget->Reserve(Bytes(bytes - room.bytes().value()), WeightBudget::Kind::kLayout);
  if (!more.ok()) {
    return MakeError(
        absl::StatusCode::kResourceExhausted, "WEIGHT_MEMORY",
        absl::StrCat("tensor=", Quoted(name), ": beside its own ", type.bytes().value(), " bytes it needs ", layouts,
                     " in the layout that device ", context_.device->info().name, " computes with",
                     joins ? absl::StrCat(" and ", joined, " to join its shards") : std::string(), ": ",
                     more.status().message()));
  }
  room.Add(*std::move(more));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<NamedTensor>> VersionBuilder::Upload(std::vector<HostTensor> tensors,
                                                                const std::vector<std::optional<StoredBytes>>& stored,
                                                                const WeightVersion& base,
                                                                std::vector<WeightBudget::Reservation> layouts) const {
  std::vector<NamedTensor> resident;
  resident.reserve(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const NamedTensor* predecessor = base.Find(tensors[i].name);
    std::string name = tensors[i].name;
    const int64_t bytes = tensors[i].type.bytes().value();
    auto tensor = context_.device->Upload(std::move(tensors[i]), *context_.budget);
    if (!tensor.ok()) return tensor.status();
    const absl::Status prepared =
        context_.device->Prepare(**tensor, DeviceTensorOf(predecessor), std::move(layouts[i]));
    if (!prepared.ok() && GetReason(prepared) != "WEIGHT_MEMORY") return prepared;
    context_.observer->OnStaged(bytes);
    resident.push_back({std::move(name), Version(), *std::move(tensor), stored[i]});
  }
  return resident;
}

absl::StatusOr<VersionBuilder::Built> VersionBuilder::Build(const std::string& model, const WeightVersion& base,
                                                            VersionChange change) const {
  Built built;
  built.version = base.With(std::move(change));
  const size_t count = built.version->tensors().size();
  if (count > static_cast<size_t>(context_.limits->max_tensors)) {
    return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_TENSORS",
                     absl::StrCat("tensors: model \"", model, "\" would have ", count, " tensors; the limit is ",
                                  context_.limits->max_tensors));
  }
  if (context_.state == nullptr) return built;
  StoredVersion stored;
  stored.model = model;
  stored.number = built.version->number();
  stored.label = built.version->label();
  stored.restored_from = built.version->restored_from();
  stored.tensors.reserve(count);
  for (const auto& tensor : built.version->tensors()) stored.tensors.push_back(Stored(*tensor));
  auto manifest = context_.state->WriteManifest(stored);
  if (!manifest.ok()) return manifest.status();
  built.manifest = *manifest;
  return built;
}

absl::StatusOr<std::vector<NamedTensor>> VersionBuilder::Load(const std::vector<StoredTensor>& tensors,
                                                              const WeightVersion& near, bool lazily) const {
  std::vector<NamedTensor> resident(tensors.size());
  std::atomic<size_t> next{0};
  Mutex mu;
  absl::Status failed;
  const auto load = [&] {
    WeightBudget::Reservation none;
    for (size_t at = next++; at < tensors.size(); at = next++) {
      auto loaded = LoadOne(tensors[at], near, lazily, none);
      if (loaded.ok()) {
        resident[at] = *std::move(loaded);
        continue;
      }
      next = tensors.size();  // The others need not go on.
      MutexLock lock(mu);
      failed.Update(loaded.status());
    }
  };
  // Touching fresh memory keeps a core busy. At a restart there are no waves that other threads could disturb.
  const size_t threads =
      lazily ? std::min<size_t>({kLoadThreads, std::thread::hardware_concurrency(), tensors.size()}) : 1;
  std::vector<std::thread> others;
  for (size_t i = 1; i < threads; ++i) others.emplace_back(load);
  load();
  for (std::thread& other : others) other.join();
  if (!failed.ok()) return failed;
  return resident;
}

void VersionBuilder::Prepare(const WeightVersion& version) const {
  for (const auto& tensor : version.tensors()) {
    // Without room for it the first wave tries again.
    context_.device->Prepare(*tensor->tensor, nullptr, {}).IgnoreError();
  }
}

Bytes VersionBuilder::Growth(const std::vector<StoredTensor>& absent, const WeightVersion& next) {
  int64_t added = 0;
  for (const StoredTensor& tensor : absent) added += tensor.type.bytes().value();
  return Bytes(std::max<int64_t>(added - next.replaced().value(), 0));
}

absl::StatusOr<WeightBudget::Reservation> VersionBuilder::ReserveGrowth(const std::string& model, Bytes growth) const {
  auto room = context_.budget->Reserve(growth, WeightBudget::Kind::kContent);
  if (room.ok()) return room;
  return MakeError(absl::StatusCode::kResourceExhausted, "WEIGHT_MEMORY",
                   absl::StrCat("model=", Quoted(model), ": in place it would grow by ", growth.value(),
                                " bytes, which do not fit beside the other models: ", room.status().message()));
}

void VersionBuilder::ReserveAhead(const std::vector<StoredTensor>& absent, WeightBudget::Reservation& room) const {
  int64_t bytes = -room.bytes().value();
  for (const StoredTensor& tensor : absent) bytes += tensor.type.bytes().value();
  if (bytes > 0) room.Add(context_.budget->ReserveAhead(Bytes(bytes), WeightBudget::Kind::kContent));
}

absl::StatusOr<std::vector<NamedTensor>> VersionBuilder::LoadInto(const std::vector<StoredTensor>& tensors,
                                                                  const WeightVersion& near,
                                                                  WeightBudget::Reservation& room) const {
  std::vector<NamedTensor> resident;
  resident.reserve(tensors.size());
  for (const StoredTensor& tensor : tensors) {
    auto loaded = LoadOne(tensor, near, /*lazily=*/false, room);
    if (!loaded.ok()) return loaded.status();
    resident.push_back(*std::move(loaded));
  }
  return resident;
}

absl::StatusOr<NamedTensor> VersionBuilder::LoadOne(const StoredTensor& tensor, const WeightVersion& near, bool lazily,
                                                    WeightBudget::Reservation& room) const {
  const NamedTensor* there = near.Find(tensor.name);
  if (there != nullptr && there->tensor->resident() && there->stored && there->stored->digest == tensor.digest &&
      there->tensor->type() == tensor.type) {
    return NamedTensor{tensor.name, tensor.version, there->tensor, there->stored};
  }
  auto reserved = context_.budget->Reserve(tensor.type.bytes(), WeightBudget::Kind::kContent, room);
  if (!reserved.ok()) return reserved.status();
  auto memory = context_.memory->Allocate(static_cast<size_t>(tensor.type.bytes().value()));
  if (!memory.ok()) return memory.status();
  if (absl::Status status = context_.state->ReadTensor(tensor, memory->data()); !status.ok()) return status;
  memory->Charge(*std::move(reserved));
  HostTensor host{tensor.name, tensor.type, *std::move(memory)};
  auto resident = context_.device->Upload(std::move(host), *context_.budget);
  if (!resident.ok()) return resident.status();
  // Without room for its layouts the first wave makes them; a version that was promised must not fail for that.
  if (!lazily) context_.device->Prepare(**resident, DeviceTensorOf(there), {}).IgnoreError();
  return NamedTensor{tensor.name, tensor.version, *std::move(resident),
                     StoredBytes{tensor.where.blob, tensor.where.offset, tensor.digest}};
}

}  // namespace bwrt::runtime
