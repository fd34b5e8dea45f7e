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
    CheckDeletions();
    return std::move(found_);
  }

 private:
  struct Place {
    size_t commit = 0;
    size_t part = 0;
  };
  // From `since` on, until it is deleted, `model` is at `version` or later, which is what `why`, which began at
  // `invoked`, says.
  struct Fact {
    int64_t since = 0;
    int64_t invoked = 0;
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

  std::string NameDeletion(size_t i) const {
    const HistoryDeletion& deletion = history_.deletions[i];
    return absl::StrCat("deletion[", i, "] of ", deletion.model, " (",
                        deletion.outcome == Outcome::kOk ? "ok" : "unknown", ") in ", Describe(deletion.time));
  }

  // Whether a deletion of the model may have taken effect between something that began at `invoked` and something else
  // that had returned at `returned`.
  bool Separated(const std::string& model, int64_t invoked, int64_t returned) const {
    return std::any_of(history_.deletions.begin(), history_.deletions.end(), [&](const HistoryDeletion& deletion) {
      return deletion.model == model && deletion.outcome != Outcome::kFailed && EndOf(deletion) >= invoked &&
             deletion.time.invoked <= returned;
    });
  }
  bool Deleted(const std::string& model) const { return Separated(model, std::numeric_limits<int64_t>::min(), kNever); }
  template <typename Operation>
  int64_t EndOf(const Operation& operation) const {
    return operation.outcome == Outcome::kUnknown ? CutOff(operation) : operation.time.returned;
  }

  void IndexAcknowledged() {
    for (size_t i = 0; i < commits_.size(); ++i) {
      if (commits_[i].outcome != Outcome::kOk) continue;
      for (size_t p = 0; p < commits_[i].parts.size(); ++p) {
        const Part& part = commits_[i].parts[p];
        const Key key(part.model, part.version);
        for (auto [at, end] = made_.equal_range(key); at != end; ++at) {
          const HistoryInterval& other = commits_[at->second.commit].time;
          const HistoryInterval& own = commits_[i].time;
          const int64_t first = std::min(own.invoked, other.invoked);
          if (Separated(part.model, first, std::max(own.returned, other.returned))) continue;
          Contradiction(NameCommit(i), " made the same version as ", NameCommit(at->second.commit));
        }
        made_.emplace(key, Place{i, p});
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
    const auto [first, end] = made_.equal_range(key);
    auto made = std::find_if(first, end, [&](const auto& entry) { return At(entry.second).value == value; });
    if (made == end) made = first;  // One whose value it should have had.
    // In another life of the model another commit can have made a version of that number.
    if (made == end || (At(made->second).value != value && Deleted(wave.model))) {
      unexplained_[{key, Deleted(wave.model) ? value : 0}].push_back(i);
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
    for (const auto& [version, waves] : unexplained_) {
      const Key& key = version.first;
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
    // Of a model with several lives only the value tells.
    const int64_t before = Deleted(model) ? std::numeric_limits<int64_t>::min() : LastBelow(model, version);
    const int64_t seen = FirstSight(model, version, value);
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
      facts_.push_back({wave.time.returned, wave.time.invoked, wave.model, wave.version, NameWave(i)});
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
        facts_.push_back({effective, commit.time.invoked, part.model, version, NameCommit(i)});
      }
    }
    std::stable_sort(facts_.begin(), facts_.end(), [](const Fact& a, const Fact& b) { return a.since < b.since; });
  }

  // When a wave that saw this version, or a later one, had returned. Of a model with several lives: this one, with its
  // value.
  int64_t FirstSight(const std::string& model, uint64_t version, uint64_t value) const {
    int64_t first = kNever;
    const bool deleted = Deleted(model);
    for (const HistoryWave& wave : history_.waves) {
      const bool sees = deleted ? Sees(wave, model, version, value) : wave.model == model && wave.version >= version;
      if (sees) first = std::min(first, wave.time.returned);
    }
    return first;
  }
  static bool Sees(const HistoryWave& wave, const std::string& model, uint64_t version, uint64_t value) {
    return wave.model == model && wave.version == version && !wave.values.empty() && wave.values.front() == value;
  }
  int64_t FirstSight(const HistoryCommit& commit) const {
    int64_t first = kNever;
    for (const Part& part : commit.parts) {
      if (part.version != 0) first = std::min(first, FirstSight(part.model, part.version, part.value));
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
  template <typename Operation>
  int64_t CutOff(const Operation& operation) const {
    int64_t end = kNever;
    for (const HistoryRestart& restart : history_.restarts) {
      if (restart.time.returned > operation.time.invoked) end = std::min(end, restart.time.returned);
    }
    return end;
  }

  void CheckFacts() {
    struct Claim {
      HistoryInterval time;
      std::string model;
      uint64_t least;  // The oldest version that what is known when it begins may name.
      std::string name;
      const char* why;
    };
    std::vector<Claim> claims;
    for (size_t i = 0; i < history_.waves.size(); ++i) {
      const HistoryWave& wave = history_.waves[i];
      claims.push_back({wave.time, wave.model, wave.version, NameWave(i), " went back behind "});
    }
    for (size_t i = 0; i < history_.absences.size(); ++i) {
      const HistoryAbsence& absence = history_.absences[i];
      const std::string name = absl::StrCat("absence[", i, "] of ", absence.model, " in ", Describe(absence.time));
      claims.push_back({absence.time, absence.model, 0, name, " found nothing of "});
    }
    for (size_t i = 0; i < commits_.size(); ++i) {
      const HistoryCommit& commit = commits_[i];
      if (commit.outcome == Outcome::kFailed) continue;
      for (const Part& part : commit.parts) {
        if (part.version == 0) continue;
        claims.push_back({commit.time, part.model, part.version - 1, NameCommit(i), " is no later than "});
      }
    }
    std::stable_sort(claims.begin(), claims.end(),
                     [](const Claim& a, const Claim& b) { return a.time.invoked < b.time.invoked; });
    std::map<std::string, std::vector<const Fact*>> known;
    auto fact = facts_.begin();
    for (const Claim& claim : claims) {
      for (; fact != facts_.end() && fact->since < claim.time.invoked; ++fact) {
        auto& facts = known[fact->model];
        // Of a model with one life the newest version is all there is to know.
        if (facts.empty() || Deleted(fact->model)) {
          facts.push_back(&*fact);
        } else if (fact->version > facts.front()->version) {
          facts.front() = &*fact;
        }
      }
      const auto& facts = known[claim.model];
      const auto broken = std::find_if(facts.rbegin(), facts.rend(), [&](const Fact* f) {
        return f->version > claim.least && !Separated(f->model, f->invoked, claim.time.returned);
      });
      if (broken == facts.rend()) continue;
      Contradiction(claim.name, claim.why, (*broken)->why, ": from ", (*broken)->since, " on ", claim.model,
                    " is at version ", (*broken)->version, " or later");
    }
  }

  // What was deleted does not come back.
  void CheckDeletions() {
    for (size_t d = 0; d < history_.deletions.size(); ++d) {
      const HistoryDeletion& deletion = history_.deletions[d];
      if (deletion.outcome != Outcome::kOk) continue;
      std::map<uint64_t, size_t> gone;  // Values, with their commits.
      std::set<uint64_t> perhaps;       // Of commits that may have come after it.
      for (size_t i = 0; i < commits_.size(); ++i) {
        for (const Part& part : commits_[i].parts) {
          if (part.model != deletion.model) continue;
          if (EndOf(commits_[i]) < deletion.time.invoked) {
            gone.emplace(part.value, i);
          } else {
            perhaps.insert(part.value);
          }
        }
      }
      for (size_t i = 0; i < history_.waves.size(); ++i) {
        const HistoryWave& wave = history_.waves[i];
        if (wave.model != deletion.model || wave.time.invoked <= deletion.time.returned || wave.values.empty())
          continue;
        const auto at = gone.find(wave.values.front());
        if (at == gone.end() || perhaps.contains(at->first)) continue;
        Contradiction(NameWave(i), " saw ", NameCommit(at->second), " after ", NameDeletion(d));
      }
    }
  }

  const History& history_;
  std::vector<HistoryCommit> commits_;  // Versions that were found out are in it.
  std::multimap<Key, Place> made_;      // By acknowledged commits.
  // Waves whose version nobody is known to have made; of a model with several lives by their value, too.
  std::map<std::pair<Key, uint64_t>, std::vector<size_t>> unexplained_;
  std::vector<Fact> facts_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> FindContradictions(const History& history) { return Checker(history).Run(); }

}  // namespace bwrt
