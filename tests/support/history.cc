#include "tests/support/history.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace bwrt {
namespace {

using Outcome = HistoryCommit::Outcome;
using Part = HistoryCommit::Part;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

std::string Describe(const HistoryInterval& time) { return absl::StrCat("[", time.invoked, ", ", time.returned, "]"); }

class Checker {
 public:
  explicit Checker(const History& history) : history_(history), commits_(history.commits) {}

  std::vector<std::string> Run() {
    IndexAcknowledged();
    for (size_t i = 0; i < history_.waves.size(); ++i) ExplainWave(i);
    ResolveUnknown();
    CollectFacts();
    CheckFacts();
    return std::move(found_);
  }

 private:
  struct Place {
    size_t commit = 0;
    size_t part = 0;
  };
  // From `since` on `model` is at `version` or later, which is what `why` says.
  struct Fact {
    int64_t since = 0;
    std::string model;
    uint64_t version = 0;
    std::string why;
  };
  using Key = std::pair<std::string, uint64_t>;  // Model and version.

  template <typename... Args>
  void Contradiction(const Args&... args) {
    found_.push_back(absl::StrCat(args...));
  }

  const Part& At(const Place& place) const { return commits_[place.commit].parts[place.part]; }
  std::string NameCommit(size_t i) const {
    static constexpr const char* kOutcomes[] = {"ok", "failed", "unknown"};
    const HistoryCommit& commit = commits_[i];
    const auto part = [](std::string* out, const Part& p) {
      absl::StrAppend(out, p.model, "=", p.value, p.version == 0 ? "" : absl::StrCat(" as version ", p.version));
    };
    return absl::StrCat("commit[", i, "] of ", absl::StrJoin(commit.parts, ", ", part), " (",
                        kOutcomes[static_cast<size_t>(commit.outcome)], ") in ", Describe(commit.time));
  }
  std::string NameWave(size_t i) const {
    const HistoryWave& wave = history_.waves[i];
    const std::set<uint64_t> values(wave.values.begin(), wave.values.end());
    return absl::StrCat("wave[", i, "] of ", wave.model, " reporting version ", wave.version, " with the values {",
                        absl::StrJoin(values, ", "), "} in ", Describe(wave.time));
  }

  void IndexAcknowledged() {
    for (size_t i = 0; i < commits_.size(); ++i) {
      if (commits_[i].outcome != Outcome::kOk) continue;
      for (size_t p = 0; p < commits_[i].parts.size(); ++p) {
        const Part& part = commits_[i].parts[p];
        const auto [at, added] = made_.try_emplace(Key(part.model, part.version), Place{i, p});
        if (!added) Contradiction(NameCommit(i), " made the same version as ", NameCommit(at->second.commit));
        if (part.version <= part.base) Contradiction(NameCommit(i), " was made for version ", part.base);
      }
    }
  }

  // Its tiles against each other and against the commit that made its version.
  void ExplainWave(size_t i) {
    const HistoryWave& wave = history_.waves[i];
    if (wave.values.empty()) return Contradiction(NameWave(i), " proves nothing");
    const uint64_t value = wave.values.front();
    const auto other = std::find_if(wave.values.begin(), wave.values.end(), [&](uint64_t v) { return v != value; });
    if (other != wave.values.end()) {
      return Contradiction(NameWave(i), " is torn: tile 0 has the value ", value, ", tile ",
                           other - wave.values.begin(), " has ", *other);
    }
    const Key key(wave.model, wave.version);
    const auto made = made_.find(key);
    if (made == made_.end()) {
      unexplained_[key].push_back(i);
      return;
    }
    const HistoryCommit& commit = commits_[made->second.commit];
    if (At(made->second).value != value) {
      Contradiction(NameWave(i), " contradicts ", NameCommit(made->second.commit), ": the value is another version's");
    } else if (commit.time.invoked >= wave.time.returned) {
      Contradiction(NameWave(i), " saw ", NameCommit(made->second.commit), " before it was asked for");
    }
  }

  // Gives each version that no acknowledged commit made, and waves saw, to a commit of unknown outcome. Neither the
  // earliest nor the latest time at which a version can have come falls with its number: so each gets, of those that
  // may have made it, the one that can least wait.
  void ResolveUnknown() {
    std::set<std::pair<size_t, size_t>> used;
    for (const auto& [key, waves] : unexplained_) {
      const uint64_t value = history_.waves[waves.front()].values.front();
      const auto differs = [&](size_t i) { return history_.waves[i].values.front() != value; };
      if (const auto liar = std::find_if(waves.begin(), waves.end(), differs); liar != waves.end()) {
        Contradiction(NameWave(*liar), " contradicts ", NameWave(waves.front()), ": one version, two values");
        continue;
      }
      const auto maker = FindUnknown(key, value, used);
      if (!maker) {
        Contradiction(NameWave(waves.front()), " saw what no commit made", Hint(key.first, value));
        continue;
      }
      used.emplace(maker->commit, maker->part);
      commits_[maker->commit].parts[maker->part].version = key.second;
    }
  }

  // The unknown commit to which that version is given.
  std::optional<Place> FindUnknown(const Key& key, uint64_t value,
                                   const std::set<std::pair<size_t, size_t>>& used) const {
    const auto& [model, version] = key;
    const int64_t before = LastBelow(model, version);
    const int64_t seen = FirstSight(model, version);
    std::optional<Place> found;
    for (size_t i = 0; i < commits_.size(); ++i) {
      const HistoryCommit& commit = commits_[i];
      if (commit.outcome != Outcome::kUnknown || commit.time.invoked >= seen) continue;
      if (CutOff(commit) <= std::min(before, seen)) continue;
      for (size_t p = 0; p < commit.parts.size(); ++p) {
        const Part& part = commit.parts[p];
        if (part.model != model || part.value != value || version <= part.base || used.contains({i, p})) continue;
        if (!found || CutOff(commit) < CutOff(commits_[found->commit])) found = Place{i, p};
      }
    }
    return found;
  }

  // Who else had that value.
  std::string Hint(const std::string& model, uint64_t value) const {
    std::string hint;
    for (size_t i = 0; i < commits_.size(); ++i) {
      for (const Part& part : commits_[i].parts) {
        if (part.model == model && part.value == value) absl::StrAppend(&hint, "; there is ", NameCommit(i));
      }
    }
    return hint;
  }

  void CollectFacts() {
    for (size_t i = 0; i < history_.waves.size(); ++i) {
      const HistoryWave& wave = history_.waves[i];
      facts_.push_back({wave.time.returned, wave.model, wave.version, NameWave(i)});
    }
    for (size_t i = 0; i < commits_.size(); ++i) {
      const HistoryCommit& commit = commits_[i];
      if (commit.outcome == Outcome::kFailed) continue;
      int64_t effective = FirstSight(commit);
      if (commit.outcome == Outcome::kOk) effective = std::min(effective, commit.time.returned);
      // What was seen at all of it was there when the restart that cut it off was over.
      if (commit.outcome == Outcome::kUnknown && effective != kNever) effective = std::min(effective, CutOff(commit));
      if (effective == kNever) continue;
      for (const Part& part : commit.parts) {
        // Of a part whose version nobody has seen only this much is known.
        const uint64_t version = part.version == 0 ? part.base + 1 : part.version;
        facts_.push_back({effective, part.model, version, NameCommit(i)});
      }
    }
    std::stable_sort(facts_.begin(), facts_.end(), [](const Fact& a, const Fact& b) { return a.since < b.since; });
  }

  // When a wave that saw this version, or a later one, had returned.
  int64_t FirstSight(const std::string& model, uint64_t version) const {
    int64_t first = kNever;
    for (const HistoryWave& wave : history_.waves) {
      if (wave.model == model && wave.version >= version) first = std::min(first, wave.time.returned);
    }
    return first;
  }
  int64_t FirstSight(const HistoryCommit& commit) const {
    int64_t first = kNever;
    for (const Part& part : commit.parts) {
      if (part.version != 0) first = std::min(first, FirstSight(part.model, part.version));
    }
    return first;
  }

  // When something was invoked that still found, or made, an older version.
  int64_t LastBelow(const std::string& model, uint64_t version) const {
    int64_t last = std::numeric_limits<int64_t>::min();
    for (const HistoryWave& wave : history_.waves) {
      if (wave.model == model && wave.version < version) last = std::max(last, wave.time.invoked);
    }
    for (const auto& [key, place] : made_) {
      if (key.first == model && key.second < version) last = std::max(last, commits_[place.commit].time.invoked);
    }
    return last;
  }

  // When the daemon that it was asked of had surely ended.
  int64_t CutOff(const HistoryCommit& commit) const {
    int64_t end = kNever;
    for (const HistoryRestart& restart : history_.restarts) {
      if (restart.time.returned > commit.time.invoked) end = std::min(end, restart.time.returned);
    }
    return end;
  }

  void CheckFacts() {
    struct Claim {
      int64_t invoked;
      std::string model;
      uint64_t least;  // The oldest version that what is known when it begins may name.
      std::string name;
      const char* why;
    };
    std::vector<Claim> claims;
    for (size_t i = 0; i < history_.waves.size(); ++i) {
      const HistoryWave& wave = history_.waves[i];
      claims.push_back({wave.time.invoked, wave.model, wave.version, NameWave(i), " went back behind "});
    }
    for (size_t i = 0; i < commits_.size(); ++i) {
      const HistoryCommit& commit = commits_[i];
      if (commit.outcome == Outcome::kFailed) continue;
      for (const Part& part : commit.parts) {
        if (part.version == 0) continue;
        claims.push_back({commit.time.invoked, part.model, part.version - 1, NameCommit(i), " is no later than "});
      }
    }
    std::stable_sort(claims.begin(), claims.end(),
                     [](const Claim& a, const Claim& b) { return a.invoked < b.invoked; });
    std::map<std::string, const Fact*> newest;
    auto fact = facts_.begin();
    for (const Claim& claim : claims) {
      for (; fact != facts_.end() && fact->since < claim.invoked; ++fact) {
        const Fact*& known = newest[fact->model];
        if (known == nullptr || fact->version > known->version) known = &*fact;
      }
      const auto known = newest.find(claim.model);
      if (known == newest.end() || known->second->version <= claim.least) continue;
      Contradiction(claim.name, claim.why, known->second->why, ": from ", known->second->since, " on ", claim.model,
                    " is at version ", known->second->version, " or later");
    }
  }

  const History& history_;
  std::vector<HistoryCommit> commits_;  // Versions that were found out are in it.
  std::map<Key, Place> made_;           // By acknowledged commits.
  std::map<Key, std::vector<size_t>> unexplained_;
  std::vector<Fact> facts_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> FindContradictions(const History& history) { return Checker(history).Run(); }

}  // namespace bwrt
