#include "client/verifier.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/digest.h"
#include "client/draws.h"
#include "client/dtype.h"
#include "client/status.h"
#include "client/verify_models.h"
#include "client/verify_weights.h"
#include "client/wave_generator.h"
#include "client/wave_oracle.h"
#include "client/wave_space.h"

namespace bwrt::client {
namespace {

// Of random waves. Each wave belongs to one of them, and a swap of one leaves the other's version where it is.
constexpr size_t kModels = 2;

WeightsRecipe RecipeOf(WeightsRecipe::Kind kind, uint64_t seed, uint64_t publication) {
  constexpr uint64_t kStreams = 0x77656967687473;  // "weights": not the streams of waves.
  return {.kind = kind, .seed = Draws(seed ^ kStreams, publication).Bits()};
}

std::vector<VerifyDaemon*> DaemonsOf(const VerifySides& sides) {
  std::vector<VerifyDaemon*> daemons = {sides.judge};
  for (VerifyDaemon* daemon : {sides.device, sides.reference}) {
    if (daemon == nullptr || std::find(daemons.begin(), daemons.end(), daemon) != daemons.end()) continue;
    daemons.push_back(daemon);
  }
  return daemons;
}

// What operands may have in a message of every daemon.
uint64_t MaxBytes(const std::vector<VerifyDaemon*>& daemons) {
  uint64_t limit = std::numeric_limits<int32_t>::max();
  for (const VerifyDaemon* daemon : daemons) {
    limit = std::min<uint64_t>(limit, daemon->capabilities().limits().max_message_bytes());
  }
  // The rest of the request: lists of tiles above all.
  return limit - std::min(limit / 2, uint64_t{1} << 20);
}

absl::Status Annotate(const absl::Status& status, absl::string_view what) {
  absl::Status annotated(status.code(), absl::StrCat(what, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { annotated.SetPayload(url, payload); });
  return annotated;
}

class Run {
 public:
  Run(const VerifySides& sides, const VerifyOptions& options)
      : sides_(sides),
        options_(options),
        daemons_(DaemonsOf(sides)),
        max_bytes_(MaxBytes(daemons_)),
        // Nobody else's: client ids are random.
        prefix_(absl::StrCat("verify/", sides.judge->client().client_id().substr(0, 16))) {}

  absl::StatusOr<VerifyReport> All() {
    const absl::Time start = absl::Now();
    const v1::SubmitWaveRequest wave = options_.wave ? options_.wave->request : v1::SubmitWaveRequest();
    VerifyModels models(daemons_, prefix_, wave, max_bytes_);
    const auto kind = options_.wave ? WeightsRecipe::Kind::kWaveTensor : WeightsRecipe::Kind::kRandomModel;
    const size_t count = options_.wave ? 1 : kModels;
    for (size_t model = 0; model < count; ++model) {
      if (absl::Status status = models.Add(RecipeOf(kind, options_.seed, model)); !status.ok()) return status;
    }
    if (options_.wave) {
      const VerifyCase first = CaseOf(models, *options_.wave, 0);
      if (absl::Status status = Validate(models, first); !status.ok()) return status;
    }
    std::unique_ptr<WaveGenerator> generator = GeneratorOf(models);
    for (uint64_t index = 0; index < options_.waves; ++index) {
      if (options_.swap_every != 0 && index != 0 && index % options_.swap_every == 0) {
        const uint64_t number = index / options_.swap_every;
        const absl::Status status = models.Swap(number % count, RecipeOf(kind, options_.seed, count + number));
        if (!status.ok() && !absl::IsFailedPrecondition(status)) return status;
        ++(status.ok() ? report_.swaps : report_.swaps_refused);
        generator = GeneratorOf(models);
      }
      const WaveDraft draft = options_.wave ? *options_.wave : DraftOf(generator->Generate(index).request);
      const bool compare = (index + 1) % options_.compare_every == 0;
      if (absl::Status status = One(models, CaseOf(models, draft, index), compare); !status.ok()) return status;
      if (options_.on_progress) options_.on_progress(index + 1);
      if (!report_.lost.ok() || (report_.mismatches != 0 && !options_.keep_going)) break;
    }
    report_.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    return std::move(report_);
  }

  absl::StatusOr<VerifyReport> Again(VerifyCase of) {
    const absl::Time start = absl::Now();
    VerifyModels models(daemons_, prefix_, of.draft.request, max_bytes_);
    if (absl::Status status = models.Add(of.weights); !status.ok()) return status;
    of.device = options_.device;
    of.ref_device = options_.ref_device;
    of.region = options_.region;
    of.draft.request.set_model(models.NameOf(0));
    if (absl::Status status = Validate(models, of); !status.ok()) return status;
    if (absl::Status status = One(models, std::move(of), /*compare=*/true); !status.ok()) return status;
    report_.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    return std::move(report_);
  }

 private:
  // A wave with its operands.
  struct Filled {
    v1::SubmitWaveRequest wave;
    const v1::Tensor* stored_w = nullptr;
  };

  std::unique_ptr<WaveGenerator> GeneratorOf(const VerifyModels& models) const {
    WaveSpace space = SpaceOf(sides_.judge->capabilities());
    space.models = models.models();
    space.client_id = "any";  // VerifyDaemon::Address puts in the right one.
    space.io_extents = std::none_of(daemons_.begin(), daemons_.end(),
                                    [](const VerifyDaemon* daemon) { return daemon->reads_pages(); });
    return std::make_unique<WaveGenerator>(options_.seed, std::move(space));
  }

  VerifyCase CaseOf(const VerifyModels& models, WaveDraft draft, uint64_t index) const {
    if (options_.wave) draft.request.set_model(models.NameOf(0));
    VerifyCase of = {.seed = options_.seed,
                     .wave = index,
                     .device = options_.device,
                     .ref_device = options_.ref_device,
                     .lenient = sides_.judge->capabilities().lenient_shapes(),
                     .region = options_.region,
                     .weights = models.recipes()[models.NumberOf(draft.request)]};
    of.draft = std::move(draft);
    return of;
  }

  absl::StatusOr<Filled> Fill(const VerifyModels& models, const VerifyCase& of) const {
    const v1::Tensor* stored_w = StoredW(models.models()[models.NumberOf(of.draft.request)], of.draft.request);
    const DType dtype = InputDTypeOf(of.draft.request, stored_w);
    auto wave = FillOperands(of.draft, dtype, {of.seed, of.wave}, max_bytes_);
    if (!wave.ok()) return wave.status();
    return Filled{*std::move(wave), stored_w};
  }

  // A wave out of a file may be anything, and both the drawing of operands and the oracle rely on a valid one.
  absl::Status Validate(const VerifyModels& models, const VerifyCase& of) {
    v1::SubmitWaveRequest question = WithoutOperands(of.draft);
    sides_.judge->Address(&question);
    if (absl::Status status = sides_.judge->Validate(question); !status.ok()) return status;
    auto filled = Fill(models, of);
    if (!filled.ok()) return filled.status();
    sides_.judge->Address(&filled->wave);
    return sides_.judge->Validate(filled->wave);
  }

  // Runs one wave everywhere.
  absl::Status One(const VerifyModels& models, VerifyCase of, bool compare) {
    auto filled = Fill(models, of);
    if (!filled.ok()) return filled.status();
    if (!of.operand_digests.empty() && of.operand_digests != OperandDigests(filled->wave, filled->stored_w)) {
      return absl::FailedPreconditionError(
          "the operands that the seeds give are not those the bundle tells of: its wave or its seeds were edited, or "
          "another version of bwrtctl wrote it");
    }
    std::optional<std::string> peer_c;
    if (sides_.reference != nullptr) {
      sides_.reference->Address(&filled->wave);
      auto result = sides_.reference->Run(filled->wave, options_.timeout);
      if (!result.ok()) {
        return Annotate(result.status(), absl::StrCat("wave ", of.wave, " on the reference, ", options_.ref_device));
      }
      peer_c = std::move(*result->mutable_c());
    }
    ++report_.waves;
    VerifyFinding finding;
    std::optional<std::string> device_c;
    if (sides_.device != nullptr) {
      sides_.device->Address(&filled->wave);
      auto result = sides_.device->Run(filled->wave, options_.timeout);
      if (!result.ok()) {
        if (IsUnreachable(result.status())) report_.lost = result.status();
        finding.mismatch = absl::StrCat(options_.device, " failed: ", FormatError(result.status()));
        return Found(std::move(of), *filled, std::move(finding));
      }
      device_c = std::move(*result->mutable_c());
      result->clear_c();
      finding.result = *std::move(result);
      finding.mismatch = Misplaced(filled->wave, finding.result);
      if (!finding.mismatch.empty()) return Found(std::move(of), *filled, std::move(finding));
    }
    if (!compare) return absl::OkStatus();

    OracleOptions oracle_options;
    if (options_.region) {
      oracle_options.part =
          Intersect(*options_.region,
                    {.row_begin = 0, .row_end = filled->wave.m(), .column_begin = 0, .column_end = filled->wave.n()});
      if (oracle_options.part->empty()) {
        ++report_.not_compared;
        return absl::OkStatus();
      }
    }
    if (!device_c) {
      const auto own = WaveOracle::Create(filled->wave, filled->stored_w, oracle_options);
      if (!own.ok()) return own.status();
      device_c = own->WantedC();
    }
    if (peer_c) oracle_options.peer_c = *peer_c;
    const auto oracle = WaveOracle::Create(filled->wave, filled->stored_w, oracle_options);
    if (!oracle.ok()) return oracle.status();
    Compare(filled->wave, *oracle, *device_c, &finding);
    return finding.mismatch.empty() ? absl::OkStatus() : Found(std::move(of), *filled, std::move(finding));
  }

  // What is wrong with where a result comes from; empty if nothing is.
  std::string Misplaced(const v1::SubmitWaveRequest& wave, const v1::WaveResult& result) const {
    if (!IsDevice(options_.device, result.effective().device())) {
      return absl::StrCat("ran on ", result.effective().device(), ", not on ", options_.device);
    }
    const uint64_t want = sides_.device->VersionOf(wave.model());
    if (result.version() == want) return "";
    return absl::StrCat("ran with version ", result.version(), " of its model, not with ", want,
                        ", which was published last");
  }

  void Compare(const v1::SubmitWaveRequest& wave, const WaveOracle& oracle, const std::string& device_c,
               VerifyFinding* finding) {
    ++report_.compared;
    TypeError& error = report_.errors[std::string(DTypeName(oracle.dtype()))];
    error.tolerance = std::max(error.tolerance, oracle.tolerance());
    finding->tolerance = oracle.tolerance();
    const std::string reference_c = oracle.WantedC();
    if (device_c.size() == reference_c.size()) {
      finding->reference_digest = DigestOf(DigestKind::kXxh3, oracle.JudgedBytes(reference_c));
      finding->device_digest = DigestOf(DigestKind::kXxh3, oracle.JudgedBytes(device_c));
      if (finding->reference_digest == finding->device_digest) {
        ++report_.exact;
        return;
      }
    }
    const Verdict verdict = oracle.JudgeC(device_c);
    // A number that JSON can carry.
    error.worst = std::max(error.worst, std::min(verdict.worst_rel_error, std::numeric_limits<double>::max()));
    finding->rel_error = verdict.worst_rel_error;
    finding->mismatch = verdict.mismatch;
    finding->first = verdict.first_difference;
    if (verdict.first_difference) {
      finding->around = SurroundingsOf(wave, *verdict.first_difference, oracle.part(), reference_c, device_c);
    }
  }

  absl::Status Found(VerifyCase of, const Filled& filled, VerifyFinding finding) {
    if (report_.mismatches++ != 0) return absl::OkStatus();
    of.operand_digests = OperandDigests(filled.wave, filled.stored_w);
    if (sides_.device != nullptr) finding.device_capabilities = sides_.device->capabilities();
    if (sides_.reference != nullptr) finding.ref_capabilities = sides_.reference->capabilities();
    report_.first_mismatch = {.of = std::move(of), .finding = std::move(finding)};
    return absl::OkStatus();
  }

  const VerifySides& sides_;
  const VerifyOptions& options_;
  const std::vector<VerifyDaemon*> daemons_;
  const uint64_t max_bytes_;
  const std::string prefix_;
  VerifyReport report_;
};

}  // namespace

absl::StatusOr<VerifyReport> Verify(const VerifySides& sides, const VerifyOptions& options) {
  return Run(sides, options).All();
}

absl::StatusOr<VerifyReport> VerifyAgain(const VerifySides& sides, const VerifyCase& of, const VerifyOptions& options) {
  return Run(sides, options).Again(of);
}

}  // namespace bwrt::client
