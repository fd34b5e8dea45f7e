// Flaws of single values: names, scales, enumerations, hints, windows.
#include <limits>

#include "absl/strings/str_cat.h"
#include "client/wave_flaw.h"

namespace bwrt::client {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int32_t kMin = std::numeric_limits<int32_t>::min();
constexpr int32_t kMax = std::numeric_limits<int32_t>::max();

// Values no enumeration of ours has, one beyond the last included.
template <class Enum>
Enum Unknown(Draws* draws, int last) {
  return static_cast<Enum>(draws->Pick<int>({last + 1, 99, -1, kMax, kMin}));
}

bool Model(Breaking* b) {
  b->spec()->set_dtype(InputDType(*b));  // It may have been that of the model's tensor.
  b->request().set_model(b->draws.Pick<std::string>(
      {"/absolute", "../up", ".hidden", "two words", "line\nbreak", "caf\xc3\xa9", std::string(129, 'm')}));
  b->Expect("model", "MODEL_NAME");
  return true;
}

bool ClientIdLength(Breaking* b) {
  b->request().set_client_id(std::string(static_cast<size_t>(b->draws.Pick({65, 1000})), 'c'));
  b->Expect("client_id", "TOO_LONG");
  return true;
}

bool WaveIdLength(Breaking* b) {
  b->request().set_client_id("c");
  b->request().set_wave_id(std::string(static_cast<size_t>(b->draws.Pick({129, 1000})), 'w'));
  b->Expect("wave_id", "TOO_LONG");
  return true;
}

bool WaveIdAlone(Breaking* b) {
  b->request().clear_client_id();
  b->request().set_wave_id("w");
  b->Expect("client_id", "MISSING");
  return true;
}

bool Alpha(Breaking* b) {
  b->request().set_alpha(b->draws.Pick({kNaN, kInf, -kInf}));
  b->Expect("alpha", "NOT_FINITE");
  return true;
}

bool Beta(Breaking* b) {
  b->request().set_beta(b->draws.Pick({kNaN, kInf, -kInf}));
  b->Expect("beta", "NOT_FINITE");
  return true;
}

bool Priority(Breaking* b) {
  b->request().set_priority(b->draws.Pick({101, -101, kMax, kMin}));
  b->Expect("priority", "OUT_OF_RANGE");
  return true;
}

bool Timeout(Breaking* b) {
  b->request().mutable_timeout()->set_seconds(b->draws.Pick<int64_t>({0, -1, std::numeric_limits<int64_t>::min()}));
  b->request().mutable_timeout()->set_nanos(0);
  b->Expect("timeout", "OUT_OF_RANGE");
  return true;
}

bool ActivationValue(Breaking* b) {
  b->request().set_activation(Unknown<v1::Activation>(&b->draws, v1::SILU));
  b->Expect("activation", "UNKNOWN_VALUE");
  return true;
}

bool Tails(Breaking* b) {
  b->spec()->set_tail_policy(Unknown<TailPolicy>(&b->draws, PEEL));
  b->Expect("spec.tail_policy", "UNKNOWN_VALUE");
  return true;
}

bool CoverageValue(Breaking* b) {
  b->request().set_coverage(Unknown<v1::Coverage>(&b->draws, v1::PARTIAL));
  b->Expect("coverage", "UNKNOWN_VALUE");
  return true;
}

bool StageHint(Breaking* b) {
  b->spec()->set_stage_hint(b->draws.Pick({9, -1, kMax, kMin}));
  b->Expect("spec.stage_hint", "STAGES");
  return true;
}

bool TMemHint(Breaking* b) {
  const bool columns = b->draws.Percent(50);
  const int32_t value = b->draws.Pick({-1, kMin});
  columns ? b->spec()->mutable_tmem_layout()->set_columns(value) : b->spec()->mutable_tmem_layout()->set_phases(value);
  b->Expect(columns ? "spec.tmem_layout.columns" : "spec.tmem_layout.phases", "NEGATIVE");
  return true;
}

bool WindowBegin(Breaking* b) {
  b->spec()->set_swap_begin(b->draws.Pick({-1, kMin}));
  b->Expect("spec.swap_begin", "SWAP_WINDOW");
  return true;
}

bool WindowEmpty(Breaking* b) {
  const int32_t begin = b->draws.Pick({0, 1, kMax, static_cast<int32_t>(b->draws.Below(100))});
  b->spec()->set_swap_begin(begin);
  b->spec()->set_swap_end(b->draws.Pick({begin, begin - 1, 0, -1, kMin}));
  if (b->spec()->swap_end() > begin) b->spec()->set_swap_end(begin);
  b->Expect("spec.swap_end", "SWAP_WINDOW");
  return true;
}

bool WindowNegative(Breaking* b) {
  b->spec()->set_swap_begin(-5);
  b->spec()->set_swap_end(b->draws.Pick({-5, -7, kMin}));
  b->Expect("spec.swap_begin", "SWAP_WINDOW");
  b->Expect("spec.swap_end", "SWAP_WINDOW");
  return true;
}

}  // namespace

std::vector<Flaw> ScalarFlaws() {
  return {
      {"model name", WavePart::kPlan, Model},
      {"client_id too long", WavePart::kIds, ClientIdLength},
      {"wave_id too long", WavePart::kIds, WaveIdLength},
      {"wave_id without client_id", WavePart::kIds, WaveIdAlone},
      {"alpha not finite", WavePart::kScale, Alpha},
      {"beta not finite", WavePart::kC, Beta},
      {"priority out of range", WavePart::kPriority, Priority},
      {"timeout not positive", WavePart::kTimeout, Timeout},
      {"unknown activation", WavePart::kActivation, ActivationValue},
      {"unknown tail policy", WavePart::kTails, Tails},
      {"unknown coverage", WavePart::kOrder, CoverageValue},
      {"stage_hint out of range", WavePart::kHints, StageHint},
      {"negative tmem hint", WavePart::kHints, TMemHint},
      {"window begins below 0", WavePart::kWindow, WindowBegin},
      {"window empty", WavePart::kWindow, WindowEmpty},
      {"window below 0", WavePart::kWindow, WindowNegative},
  };
}

}  // namespace bwrt::client
