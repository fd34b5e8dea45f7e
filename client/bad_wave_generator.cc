#include "client/bad_wave_generator.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "client/draws.h"
#include "client/dtype.h"
#include "client/wave_flaw.h"

namespace bwrt::client {
namespace {

std::vector<Flaw> AllFlaws() {
  std::vector<Flaw> all;
  for (const auto& flaws : {ScalarFlaws(), TraversalFlaws(), ListFlaws(), ShapeFlaws(), OperandFlaws(), StateFlaws()}) {
    all.insert(all.end(), flaws.begin(), flaws.end());
  }
  return all;
}

// Apart from the streams of valid waves, which are their indices.
constexpr uint64_t kStream = uint64_t{1} << 40;

}  // namespace

BadWave BadWaveGenerator::Generate(uint64_t index) const {
  static const std::vector<Flaw>* const flaws = new std::vector<Flaw>(AllFlaws());
  Draws draws(waves_->seed(), kStream + index);
  const uint64_t wanted = draws.Percent(20) ? draws.Between(2, 4) : 1;
  BadWave wave;
  std::set<WavePart> broken;
  // Each flaw in turn, tried on a few waves; the index of one that fits none of them falls to the next.
  constexpr uint64_t kTries = 4;
  for (uint64_t i = 0; broken.size() < wanted && i < kTries * flaws->size(); ++i) {
    const bool first = broken.empty();
    const Flaw& flaw = (*flaws)[first ? (index + i / kTries) % flaws->size() : draws.Below(flaws->size())];
    if (!first && (flaw.part == WavePart::kAlone || broken.count(flaw.part) != 0)) continue;
    if (first) wave.request = waves_->Generate(draws.Below(uint64_t{1} << 20)).request;
    Breaking breaking{.draws = draws, .space = waves_->space(), .wave = wave};
    if (!flaw.apply(&breaking)) continue;
    absl::StrAppend(&wave.flaw, first ? "" : " and ", flaw.name);
    broken.insert(flaw.part);
    if (flaw.part == WavePart::kAlone) break;
  }
  return wave;
}

std::string BadWaveGenerator::Reproduce(uint64_t index) const {
  return absl::StrCat("BWRT_SEED=", waves_->seed(), ", ", waves_->space().lenient ? "lenient" : "strict", " bad wave ",
                      index);
}

std::vector<std::string> BadWaveGenerator::Flaws() {
  std::vector<std::string> names;
  for (const Flaw& flaw : AllFlaws()) names.emplace_back(flaw.name);
  return names;
}

DType InputDType(const Breaking& breaking) {
  const v1::SubmitWaveRequest& request = breaking.wave.request;
  if (request.spec().dtype() != DTYPE_UNSPECIFIED) return request.spec().dtype();
  for (const PublishedModel& model : breaking.space.models) {
    if (model.name != (request.model().empty() ? "default" : request.model())) continue;
    for (const v1::Tensor& tensor : model.tensors) {
      if (tensor.name() == request.w().tensor()) return tensor.dtype();
    }
  }
  return F32;
}

void Simplify(Breaking* breaking, DType dtype, int64_t m, int64_t n, int64_t k) {
  v1::SubmitWaveRequest& request = breaking->request();
  WaveSpec* spec = breaking->spec();
  spec->clear_tile_order();
  spec->clear_tile_order_flat();
  spec->clear_pack_order();
  spec->set_dtype(dtype);
  request.clear_rows();
  request.clear_c();
  request.clear_beta();
  request.clear_bias();
  request.clear_c_dtype();
  request.clear_a_scale();
  request.clear_w_scale();
  request.set_m(m);
  request.set_n(n);
  request.set_k(k);
  const auto zeros = [&](int64_t elements) {
    return std::string(static_cast<size_t>(elements * DTypeBytes(dtype)), '\0');
  };
  request.mutable_a()->set_row_stride(0);
  request.mutable_a()->set_inline_(zeros(m * k));
  request.mutable_w()->set_row_stride(0);
  request.mutable_w()->set_inline_(zeros(k * n));
}

}  // namespace bwrt::client
