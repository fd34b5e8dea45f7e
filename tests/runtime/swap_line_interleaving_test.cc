// Every interleaving of the real SwapLine and Model for small bounds: two models and a group, the journal, swaps in
// place.
//
// As interleaving_test.cc, which explores one model more deeply. What is replaced is freed as soon as it can be.
// Checked at every transition:
//  - a flip happens in open windows only, and a group's models flip at one point, also for who looks in between;
//  - no version is freed under a lease; nothing runs while a model is being copied in place;
//  - each swap gets exactly one outcome; a decided one that did not flip was revoked before it, and of one model at
//  most
//    one decision is open at a time;
//  - nobody waits whose turn it is in open windows;
//  - held_back() says what Start would do, and whoever is told to wait is woken.
// And from every state: when everything is cancelled, or when time passes, everybody has an outcome and waves start.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"
#include "runtime/model.h"
#include "runtime/swap_line.h"
#include "tests/runtime/explore.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/recording_observer.h"

namespace bwrt::runtime {
namespace {

using std::chrono::seconds;

constexpr SwapPolicy kNow = SwapPolicy::kInWindow;
constexpr SwapPolicy kWait = SwapPolicy::kWaitForWindow;
constexpr SwapPolicy kIdle = SwapPolicy::kWhenIdle;

struct WaveSpec {
  size_t model = 0;
  SwapWindow window;
  int64_t tiles = 2;
};

struct SwapSpec {
  std::vector<size_t> models;
  SwapPolicy policy = kNow;
  bool durable = false;
  bool in_place = false;
  std::optional<Duration> hold_after = {};
};

struct Config {
  size_t models = 1;
  std::vector<WaveSpec> waves;
  std::vector<SwapSpec> swaps;
  std::vector<Duration> ticks;
  bool first_decision_fails = false;
};

enum class Act { kStart, kToken, kRetire, kDrop, kRequest, kCancel, kJournal, kBuild, kLoaded, kTick };
struct Action {
  Act act = Act::kTick;
  size_t who = 0;
};

std::vector<Action> AllActions(const Config& config) {
  std::vector<Action> all;
  for (size_t i = 0; i < config.waves.size(); ++i) {
    for (const Act act : {Act::kStart, Act::kToken, Act::kRetire, Act::kDrop}) all.push_back({act, i});
  }
  for (size_t i = 0; i < config.swaps.size(); ++i) {
    for (const Act act : {Act::kRequest, Act::kCancel}) all.push_back({act, i});
  }
  for (size_t i = 0; i < config.models; ++i) all.push_back({Act::kLoaded, i});
  all.push_back({Act::kJournal});
  all.push_back({Act::kBuild});
  all.push_back({Act::kTick});
  return all;
}

// Knows whether it lives, also when asked afterwards.
class LiveTensor final : public DeviceTensor {
 public:
  explicit LiveTensor(int* count) : DeviceTensor({kernels::DType::kF32, {1}}), count_(count) { ++*count_; }
  ~LiveTensor() override {
    --*count_;
    *alive_ = false;
  }
  absl::Status Read(int64_t /*offset*/, int64_t /*bytes*/, char* /*to*/) const override { return absl::OkStatus(); }
  const std::shared_ptr<bool>& alive() const { return alive_; }

 private:
  int* const count_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

WeightVersion::Ptr LiveVersion(const WeightVersion& base, Version number, const std::string& label, int* count) {
  VersionChange change;
  change.number = number;
  change.label = label;
  change.put.push_back({"w", Version(), std::make_shared<LiveTensor>(count), std::nullopt});
  return base.With(std::move(change));
}

// Holds the line to what a SwapJournal is promised.
class StrictJournal final : public SwapJournal {
 public:
  explicit StrictJournal(bool first_fails) : fail_(first_fails) {}

  absl::Status Decide(const SwapDecision& decision) override {
    for (const SwapDecision::Part& part : decision.parts) {
      EXPECT_FALSE(models_.contains(part.model)) << "a second decision of " << part.model;
    }
    if (std::exchange(fail_, false)) return absl::UnavailableError("disk");
    open_.insert(decision.id);
    for (const SwapDecision::Part& part : decision.parts) models_.insert(part.model);
    return absl::OkStatus();
  }
  absl::Status Revoke(const SwapDecision& decision) override {
    EXPECT_FALSE(flipped.contains(decision.id)) << "revoked after its flip";
    Close(decision);
    return absl::OkStatus();
  }
  void Confirm(const SwapDecision& decision) override {
    EXPECT_TRUE(flipped.contains(decision.id)) << "confirmed without a flip";
    Close(decision);
  }

  bool open(uint64_t id) const { return open_.contains(id); }
  bool will_fail() const { return fail_; }

  std::set<uint64_t> flipped;  // By the test, as soon as it hears.

 private:
  void Close(const SwapDecision& decision) {
    EXPECT_EQ(open_.erase(decision.id), 1u) << "closed without having been opened";
    for (const SwapDecision::Part& part : decision.parts) models_.erase(part.model);
  }

  bool fail_;
  std::set<uint64_t> open_;
  std::set<std::string> models_;
};

// Calls back at every event.
class Watcher final : public ModelWatcher {
 public:
  explicit Watcher(std::function<void()> look) : look_(std::move(look)) {}
  void OnEvent(const ModelEvent& /*event*/) override { look_(); }

 private:
  const std::function<void()> look_;
};

// One path through the state graph, on a fresh line.
class LineRun {
 public:
  explicit LineRun(const Config& config)
      : config_(config),
        journal_(config.first_decision_fails),
        line_({.allow_when_idle = true, .max_hold = seconds(5), .max_pause = seconds(5)},
              {.clock = &clock_,
               .executor = &executor_,
               .journal_executor = &journal_executor_,
               .journal = &journal_,
               .observer = &observer_,
               .failpoints = nullptr,
               .on_startable = [this] { ++woken_; }}),
        waves_(config.waves.size()),
        swaps_(config.swaps.size()),
        sides_(config.models) {
    for (size_t i = 0; i < config.models; ++i) {
      Side& side = sides_[i];
      side.model = std::make_shared<Model>(absl::StrCat("m", i), /*keep_versions=*/0, &line_);
      ModelRestore restore;
      restore.current = LiveVersion(*WeightVersion::Empty(), Version(1), "first", &live_);
      restore.last = Version(1);
      side.model->Restore(std::move(restore));
    }
    for (const Side& side : sides_) side.model->AddWatcher(std::make_shared<Watcher>([this] { CheckGroups(); }));
  }
  ~LineRun() { Drain(); }

  bool Enabled(Action a) const {
    switch (a.act) {
      case Act::kStart:
        return waves_[a.who].state == Wave::State::kNew;
      case Act::kToken:
        return Running(a.who) && waves_[a.who].token < config_.waves[a.who].tiles - 1;
      case Act::kRetire:
        return Running(a.who) && waves_[a.who].token == config_.waves[a.who].tiles - 1;
      case Act::kDrop:
        return Running(a.who);
      case Act::kRequest:
        return !swaps_[a.who].requested;
      case Act::kCancel:
        return Pending(a.who) && !swaps_[a.who].cancelled;
      case Act::kJournal:
        return journal_executor_.pending() > 0;
      case Act::kBuild:
        return !rebuild_.empty();
      case Act::kLoaded:
        return sides_[a.who].loading;
      case Act::kTick:
        return ticks_ < config_.ticks.size();
    }
    return false;
  }

  void Do(Action a) {
    absl::StrAppend(&path_, " ", static_cast<int>(a.act), ".", a.who);
    std::vector<bool> held;
    for (const Side& side : sides_) held.push_back(side.model->held_back());
    const int woken = woken_;
    const size_t posted = journal_executor_.pending() - (a.act == Act::kJournal ? 1 : 0);
    if (a.act == Act::kJournal) posted_.pop_front();
    Perform(a);
    executor_.RunAll();
    // Which pieces of the journal's work wait, in what order: named by who posted them.
    for (size_t i = posted; i < journal_executor_.pending(); ++i) {
      posted_.push_back(absl::StrCat(static_cast<int>(a.act), ".", a.who));
    }
    for (size_t i = 0; i < sides_.size(); ++i) {
      if (held[i] && !sides_[i].model->held_back() && a.act != Act::kStart) {
        EXPECT_GT(woken_, woken) << "waves that were held back are not woken:" << path_;
      }
    }
    Check();
  }

  std::string Key() const {
    std::string key = absl::StrCat(ticks_, "|", clock_.alarms(), "|", journal_.will_fail());
    for (const std::string& posted : posted_) absl::StrAppend(&key, ",", posted);
    for (const size_t swap : rebuild_) absl::StrAppend(&key, ";", swap);
    for (const Side& side : sides_) {
      const ModelStatus status = side.model->GetStatus();
      absl::StrAppend(&key, "|", side.flips, side.loading, side.resting, status.window.holding, side.model->held_back(),
                      status.current->label(), status.window.waiting_swaps);
    }
    for (const Wave& wave : waves_) {
      absl::StrAppend(&key, "|", static_cast<int>(wave.state), wave.token, ",",
                      wave.lease == nullptr ? 0 : wave.lease->version().number().value());
    }
    for (const Swap& swap : swaps_) {
      absl::StrAppend(&key, "|", swap.requested, swap.cancelled, swap.outcome, journal_.open(swap.decision), ",",
                      swap.ticket.number, ",", swap.ticket.held.count(), ",",
                      swap.ticket.arrival.time_since_epoch().count());
    }
    return key;
  }

  void Finish() {
    if (std::hash<std::string>()(path_) % 2 == 0) {
      // Time alone ends everything too.
      for (int i = 0; i < 2; ++i) {
        clock_.Advance(seconds(3600));
        Settle();
      }
    } else {
      for (size_t i = 0; i < swaps_.size(); ++i) {
        swaps_[i].cancelled = true;
        if (Pending(i)) line_.Cancel(swaps_[i].ticket.number, absl::CancelledError("drain"));
      }
    }
    Settle();
    for (size_t i = 0; i < swaps_.size(); ++i) {
      EXPECT_TRUE(!swaps_[i].requested || swaps_[i].outcome != 0) << "swap " << i << " was lost:" << path_;
      EXPECT_FALSE(journal_.open(swaps_[i].decision)) << path_;
    }
    for (Wave& wave : waves_) wave.lease.reset();
    for (Side& side : sides_) {
      if (side.loading) Load(side);
    }
    executor_.RunAll();
    EXPECT_EQ(live_, static_cast<int>(sides_.size())) << "a version too many or too few:" << path_;
    for (Side& side : sides_) {
      EXPECT_EQ(side.model->GetStatus().window.waiting_swaps, 0u) << path_;
      EXPECT_FALSE(side.model->held_back()) << path_;
      const auto lease = side.model->Start({WaveNumber(99), "", {0, 1}, {.prefetch = 0, .tiles = 1}, {}});
      EXPECT_TRUE(lease.ok() && *lease != nullptr) << "waves don't start:" << path_;
    }
    EXPECT_EQ(clock_.alarms(), 0u) << path_;
  }

 private:
  struct Wave {
    enum class State { kNew, kRunning, kEnded };
    State state = State::kNew;
    int64_t token = 0;
    std::unique_ptr<Lease> lease;
    std::shared_ptr<bool> alive;  // The tensor it leased.
  };
  struct Swap {
    bool requested = false;
    bool cancelled = false;
    int outcome = 0;  // 0 none, 1 flipped, 2 failed.
    SwapTicket ticket;
    uint64_t decision = 0;
  };
  struct Side {
    std::shared_ptr<Model> model;
    uint64_t flips = 0;
    int resting = -1;  // The wave that retired last, with a result.
    bool loading = false;
  };

  bool Running(size_t wave) const { return waves_[wave].state == Wave::State::kRunning; }
  bool Pending(size_t swap) const { return swaps_[swap].requested && swaps_[swap].outcome == 0; }

  void Perform(Action a) {
    switch (a.act) {
      case Act::kStart:
        return Start(a.who);
      case Act::kToken: {
        Wave& wave = waves_[a.who];
        ++wave.token;
        return wave.lease->Step(wave.token - 1, wave.token);
      }
      case Act::kRetire:
        sides_[config_.waves[a.who].model].resting = static_cast<int>(a.who);
        waves_[a.who].state = Wave::State::kEnded;
        return std::exchange(waves_[a.who].lease, nullptr)->Retire();
      case Act::kDrop:
        waves_[a.who].state = Wave::State::kEnded;
        return waves_[a.who].lease.reset();
      case Act::kRequest:
        swaps_[a.who].requested = true;
        swaps_[a.who].ticket = line_.NewTicket();
        return Offer(a.who);
      case Act::kCancel:
        swaps_[a.who].cancelled = true;
        // False while its revocation is being written.
        return static_cast<void>(line_.Cancel(swaps_[a.who].ticket.number, absl::CancelledError("cancelled")));
      case Act::kJournal:
        return static_cast<void>(journal_executor_.RunOne());
      case Act::kBuild:
        return Build();
      case Act::kLoaded:
        return Load(sides_[a.who]);
      case Act::kTick:
        return clock_.Advance(config_.ticks[ticks_++]);
    }
  }

  void Start(size_t who) {
    Wave& wave = waves_[who];
    const WaveSpec& spec = config_.waves[who];
    Side& side = sides_[spec.model];
    const bool hint = side.model->held_back();
    auto lease = side.model->Start({WaveNumber(who + 1), "", spec.window, {.prefetch = 0, .tiles = spec.tiles}, {}});
    EXPECT_EQ(hint, lease.ok() && *lease == nullptr) << "held_back() is not what Start does:" << path_;
    if (!lease.ok()) {
      EXPECT_EQ(GetReason(lease.status()), "MODEL_LOADING") << path_;
      EXPECT_TRUE(side.loading) << path_;
      return;
    }
    if (*lease == nullptr) {
      EXPECT_TRUE(side.model->GetStatus().window.holding) << path_;
      return;
    }
    EXPECT_FALSE(side.loading) << "a wave started on half a version:" << path_;
    wave.lease = *std::move(lease);
    wave.state = Wave::State::kRunning;
    wave.alive = static_cast<const LiveTensor&>(*wave.lease->version().Find("w")->tensor).alive();
  }

  // As the runtime does with a swap whose base has moved.
  void Build() {
    const size_t swap = rebuild_.front();
    rebuild_.pop_front();
    if (swaps_[swap].cancelled) {
      swaps_[swap].outcome = 2;
    } else {
      Offer(swap);
    }
  }

  void Offer(size_t index) {
    Swap& swap = swaps_[index];
    const SwapSpec& spec = config_.swaps[index];
    SwapRequest request;
    request.ticket = swap.ticket;
    request.options = {spec.policy, seconds(30), spec.hold_after};
    request.in_place = spec.in_place;
    if (spec.durable) {
      swap.decision = ++last_decision_;
      request.decision = SwapDecision();
      request.decision->id = swap.decision;
    }
    for (const size_t model : spec.models) {
      const auto base = sides_[model].model->Base();
      if (!base.ok()) {
        // As the runtime does: nothing is built on half a version.
        EXPECT_TRUE(sides_[model].loading) << path_;
        swap.outcome = 2;
        return;
      }
      request.parts.push_back({sides_[model].model,
                               LiveVersion(*base->first, base->second, absl::StrCat("swap", index), &live_),
                               std::nullopt});
      if (spec.durable) request.decision->parts.push_back({sides_[model].model->name(), base->second, Digest(), ""});
    }
    request.done = [this, index](const SwapOutcome& outcome) { OnOutcome(index, outcome); };
    line_.Swap(std::move(request));
  }

  void OnOutcome(size_t index, const SwapOutcome& outcome) {
    Swap& swap = swaps_[index];
    const SwapSpec& spec = config_.swaps[index];
    EXPECT_EQ(swap.outcome, 0) << "a second outcome:" << path_;
    swap.ticket = outcome.ticket;
    if (outcome.kind != SwapOutcome::Kind::kFlipped) {
      EXPECT_FALSE(journal_.open(swap.decision)) << "told before it was revoked:" << path_;
      if (outcome.kind == SwapOutcome::Kind::kFailed) {
        swap.outcome = 2;
      } else {
        rebuild_.push_back(index);
      }
      return;
    }
    swap.outcome = 1;
    if (spec.durable) {
      EXPECT_TRUE(journal_.open(swap.decision)) << "flipped without a decision:" << path_;
      journal_.flipped.insert(swap.decision);
    }
    EXPECT_EQ(outcome.flips.size(), spec.models.size());
    for (const size_t model : spec.models) {
      ++sides_[model].flips;
      EXPECT_FALSE(std::exchange(sides_[model].loading, spec.in_place)) << "flipped half a version:" << path_;
    }
    flipped_.push_back(index);
  }

  void Load(Side& side) {
    side.loading = false;
    const WeightVersion::Ptr rest = side.model->current();
    line_.FinishLoading(side.model, LiveVersion(*rest, rest->number(), rest->label(), &live_));
  }

  // Everything that needs no waves, no clients and no time.
  void Settle() {
    do {
      while (!rebuild_.empty()) Build();
    } while (journal_executor_.RunAll() + executor_.RunAll() > 0);
  }

  void Drain() {
    for (Wave& wave : waves_) wave.lease.reset();
    for (Swap& swap : swaps_) {
      swap.cancelled = true;
      line_.Cancel(swap.ticket.number, absl::CancelledError("end"));
    }
    Settle();
  }

  // ---- The design's sentences, as plainly as possible.

  bool Idle(size_t model) const {
    for (size_t i = 0; i < waves_.size(); ++i) {
      if (config_.waves[i].model == model && Running(i)) return false;
    }
    return true;
  }

  bool Open(size_t model) const {
    const auto allows = [](const SwapWindow& w, int64_t token) { return w.begin <= token && token < w.end; };
    bool all = true;
    for (size_t i = 0; i < waves_.size(); ++i) {
      if (config_.waves[i].model != model || !Running(i)) continue;
      all = all && allows(config_.waves[i].window, waves_[i].token);
    }
    if (!Idle(model) || sides_[model].resting < 0) return all;
    const WaveSpec& resting = config_.waves[static_cast<size_t>(sides_[model].resting)];
    return allows(resting.window, resting.tiles - 1);
  }

  bool AllOpen(const SwapSpec& spec) const {
    return std::all_of(spec.models.begin(), spec.models.end(), [this](size_t m) { return Open(m); });
  }

  // A group's versions are current together or not at all, whenever anybody looks.
  void CheckGroups() const {
    for (size_t i = 0; i < swaps_.size(); ++i) {
      const std::vector<size_t>& models = config_.swaps[i].models;
      const std::string label = absl::StrCat("swap", i);
      const bool first = sides_[models[0]].model->current()->label() == label;
      for (const size_t m : models) {
        const WeightVersion::Ptr current = sides_[m].model->current();
        // Unless another swap has replaced it since.
        const bool replaced = current->label() != "first" && current->label() != label &&
                              (swaps_[i].outcome == 1 || current->number() > Version(2));
        EXPECT_TRUE(replaced || !first || current->label() == label) << "half of a group:" << path_;
      }
    }
  }

  void Check() {
    CheckGroups();
    for (size_t m = 0; m < sides_.size(); ++m) {
      const ModelStatus status = sides_[m].model->GetStatus();
      EXPECT_EQ(status.current->number().value(), 1 + sides_[m].flips) << path_;
      EXPECT_EQ(status.window.open, Open(m)) << path_;
      EXPECT_EQ(status.loading, sides_[m].loading) << path_;
      EXPECT_TRUE(!sides_[m].loading || Idle(m)) << "a wave runs on half a version:" << path_;
    }
    for (const Wave& wave : waves_) {
      EXPECT_TRUE(wave.lease == nullptr || *wave.alive) << "freed under a lease:" << path_;
    }
    for (const size_t index : std::exchange(flipped_, {})) {
      const SwapSpec& spec = config_.swaps[index];
      for (const size_t m : spec.models) {
        EXPECT_TRUE(Open(m) || (spec.policy == kIdle && Idle(m))) << "a flip outside a window:" << path_;
        EXPECT_TRUE(!spec.in_place || Idle(m)) << "copied beneath a wave:" << path_;
      }
    }
    if (journal_executor_.pending() == 0) CheckTurns();
  }

  // With nothing on its way, whoever's turn it is must be waiting for a window, or for waves to end.
  void CheckTurns() const {
    const auto must_go = [this](size_t i) {
      const SwapSpec& spec = config_.swaps[i];
      if (!AllOpen(spec)) return false;
      return !spec.in_place ||
             std::all_of(spec.models.begin(), spec.models.end(), [this](size_t m) { return Idle(m); });
    };
    size_t earliest = swaps_.size();
    bool decided = false;
    for (size_t i = 0; i < swaps_.size(); ++i) {
      // One that is being built anew is not in the line.
      if (!Pending(i) || std::find(rebuild_.begin(), rebuild_.end(), i) != rebuild_.end()) continue;
      if (journal_.open(swaps_[i].decision)) {
        decided = true;
        EXPECT_FALSE(must_go(i)) << "decided swap " << i << " is passed over:" << path_;
      }
      EXPECT_TRUE(config_.swaps[i].policy == kWait || journal_.open(swaps_[i].decision))
          << "swap " << i << " waits though it would not:" << path_;
      if (earliest == swaps_.size() || swaps_[i].ticket.number < swaps_[earliest].ticket.number) earliest = i;
    }
    if (earliest == swaps_.size() || decided) return;
    // A pause before the decision is of no swap here: all in place are durable.
    EXPECT_FALSE(must_go(earliest)) << "swap " << earliest << " is passed over:" << path_;
  }

  const Config& config_;
  ManualClock clock_;
  ManualExecutor executor_;
  ManualExecutor journal_executor_;
  RecordingObserver observer_;
  StrictJournal journal_;
  int live_ = 0;
  int woken_ = 0;
  SwapLine line_;
  std::vector<Wave> waves_;
  std::vector<Swap> swaps_;
  std::vector<Side> sides_;
  std::deque<size_t> rebuild_;
  std::vector<size_t> flipped_;
  std::deque<std::string> posted_;
  uint64_t last_decision_ = 0;
  size_t ticks_ = 0;
  std::string path_;
};

size_t ExploreLine(const Config& config) { return Explore<LineRun>(config, AllActions(config)); }

// Open in: the last token and at rest; the first token only.
constexpr SwapWindow kLate{1, 2};
constexpr SwapWindow kEarly{0, 1};

TEST(LineInterleavings, AGroupBesideASingleSwap) {
  size_t states = 0;
  for (const auto& [a, b] : {std::pair(kLate, kLate), {kEarly, kLate}, {kEarly, kEarly}}) {
    for (const auto& [policy, hold] :
         std::vector<std::pair<SwapPolicy, std::optional<Duration>>>{{kNow, {}}, {kWait, {}}, {kWait, seconds(1)}}) {
      for (const SwapPolicy single : {kNow, kWait, kIdle}) {
        Config config;
        config.models = 2;
        config.waves = {{0, a}, {1, b}};
        config.swaps = {{{0, 1}, policy, false, false, hold}, {{0}, single}};
        if (hold) config.ticks = {seconds(1), seconds(5)};
        states += ExploreLine(config);
        ASSERT_FALSE(HasFailure());
      }
    }
  }
  EXPECT_GT(states, 10'000u);
  RecordProperty("states", static_cast<int>(states));
}

TEST(LineInterleavings, DecisionsThatCompleteAtAnyPoint) {
  size_t states = 0;
  for (const SwapPolicy first : {kNow, kWait}) {
    for (const SwapPolicy second : {kNow, kWait}) {
      for (const bool fails : {false, true}) {
        Config config;
        config.waves = {{0, kLate, 3}};
        config.swaps = {{{0}, first, true}, {{0}, second, true}};
        config.ticks = {seconds(30)};
        config.first_decision_fails = fails;
        states += ExploreLine(config);
        ASSERT_FALSE(HasFailure());
        config.models = 2;
        config.waves.push_back({1, kEarly});
        config.swaps[0].models = {0, 1};
        config.ticks = {};
        states += ExploreLine(config);
        ASSERT_FALSE(HasFailure());
      }
    }
  }
  // One that is built anew comes back beside another's decision.
  Config three;
  three.waves = {{0, kEarly}, {0, kEarly}};
  three.swaps = {{{0}, kWait, true}, {{0}, kIdle}, {{0}, kWait, true}};
  states += ExploreLine(three);
  EXPECT_GT(states, 10'000u);
  RecordProperty("states", static_cast<int>(states));
}

TEST(LineInterleavings, SwapsInPlace) {
  size_t states = 0;
  for (const SwapPolicy first : {kNow, kWait, kIdle}) {
    for (const SwapPolicy second : {kNow, kWait}) {
      Config config;
      // One rests open, one closed.
      config.waves = {{0, {0, 2}}, {0, kEarly}};
      config.swaps = {{{0}, first, true, true}, {{0}, second, true}};
      config.ticks = {seconds(5)};
      states += ExploreLine(config);
      ASSERT_FALSE(HasFailure());
    }
  }
  Config group;
  group.models = 2;
  group.waves = {{0, {0, 2}}, {1, kEarly}};
  group.swaps = {{{0, 1}, kWait, true, true}};
  group.ticks = {seconds(5), seconds(30)};
  states += ExploreLine(group);
  EXPECT_GT(states, 10'000u);
  RecordProperty("states", static_cast<int>(states));
}

// ---------------------------------------------------------------------------------------------- starvation

// Two lanes that never run out of waves, each of which passes through its window; a swap waits.
class Endless {
 public:
  explicit Endless(std::optional<Duration> hold_after)
      : line_({}, {.clock = &clock_,
                   .executor = &executor_,
                   .journal_executor = &executor_,
                   .journal = nullptr,
                   .observer = &observer_,
                   .failpoints = nullptr,
                   .on_startable = [] {}}),
        model_(std::make_shared<Model>("m", /*keep_versions=*/0, &line_)) {
    // The first wave of each closes the window.
    for (size_t i = 0; i < 2; ++i) Do(i);
    SwapRequest request;
    request.ticket = line_.NewTicket();
    request.options = {kWait, seconds(30), hold_after};
    request.parts = {{model_, LiveVersion(*model_->current(), Version(1), "", &live_), std::nullopt}};
    request.done = [this](const SwapOutcome&) { done_ = true; };
    line_.Swap(std::move(request));
    clock_.Advance(seconds(1));
  }
  ~Endless() { line_.Cancel(1, absl::CancelledError("end")); }

  // The lane's next step: the start of a wave, a token or the retirement. False when its wave is held back.
  bool Do(size_t lane) {
    std::unique_ptr<Lease>& lease = leases_[lane];
    if (lease == nullptr) {
      auto started = model_->Start({WaveNumber(1), "", {1, 2}, {.prefetch = 0, .tiles = kTiles}, {}});
      lease = *std::move(started);
      tokens_[lane] = 0;
      return lease != nullptr;
    }
    if (tokens_[lane] < kTiles - 1) {
      ++tokens_[lane];
      lease->Step(tokens_[lane] - 1, tokens_[lane]);
    } else {
      std::exchange(lease, nullptr)->Retire();
    }
    return true;
  }
  bool done() const { return done_; }
  std::string Key() const {
    return absl::StrCat(leases_[0] == nullptr ? -1 : tokens_[0], ",", leases_[1] == nullptr ? -1 : tokens_[1]);
  }

 private:
  static constexpr int64_t kTiles = 3;

  ManualClock clock_;
  ManualExecutor executor_;
  RecordingObserver observer_;
  int live_ = 0;
  bool done_ = false;
  SwapLine line_;
  std::shared_ptr<Model> model_;
  std::unique_ptr<Lease> leases_[2];
  int64_t tokens_[2] = {0, 0};
};

// Whether some schedule of the lanes comes back to a state in which the swap still waits: it can do that for ever.
bool CanStarve(std::optional<Duration> hold_after, std::vector<size_t>& path, std::vector<std::string>& on_path) {
  bool stuck = true;
  for (size_t lane = 0; lane < 2; ++lane) {
    Endless run(hold_after);
    for (const size_t step : path) run.Do(step);
    if (!run.Do(lane)) continue;  // Held back: the other goes on.
    stuck = false;
    if (run.done()) continue;
    const std::string key = run.Key();
    if (std::find(on_path.begin(), on_path.end(), key) != on_path.end()) return true;
    path.push_back(lane);
    on_path.push_back(key);
    if (CanStarve(hold_after, path, on_path)) return true;
    path.pop_back();
    on_path.pop_back();
  }
  return stuck;
}

TEST(LineInterleavings, AHoldGetsASwapItsTurnHoweverManyWavesCome) {
  for (const bool hold : {false, true}) {
    const std::optional<Duration> hold_after = hold ? std::optional<Duration>(seconds(1)) : std::nullopt;
    std::vector<size_t> path;
    std::vector<std::string> on_path = {Endless(hold_after).Key()};
    EXPECT_EQ(CanStarve(hold_after, path, on_path), !hold) << "overlapping waves starve a swap, unless it holds them";
  }
}

}  // namespace
}  // namespace bwrt::runtime
