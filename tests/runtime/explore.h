// Explore: walks every reachable state of something small, by replaying paths of actions on fresh instances.
#ifndef BWRT_TESTS_RUNTIME_EXPLORE_H_
#define BWRT_TESTS_RUNTIME_EXPLORE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace bwrt::runtime {

// A Run is made of a Config and has Enabled(Action), Do(Action), Key() (everything that can influence what happens
// next) and Finish(), which ends it. States with the same key are visited once, so that all interleavings are covered
// without enumerating them one by one. Stops at the first failure. Returns how many states there are.
template <typename Run, typename Config, typename Action>
size_t Explore(const Config& config, const std::vector<Action>& actions) {
  std::set<std::string> seen;
  std::vector<std::vector<Action>> frontier = {{}};  // Paths still to be walked, last action new.
  while (!frontier.empty()) {
    std::vector<Action> path = std::move(frontier.back());
    frontier.pop_back();
    Run run(config);
    for (const Action& step : path) run.Do(step);
    if (!seen.insert(run.Key()).second) continue;
    path.emplace_back();
    for (const Action& action : actions) {
      if (!run.Enabled(action)) continue;
      path.back() = action;
      frontier.push_back(path);
    }
    run.Finish();
    if (testing::Test::HasFailure()) break;
  }
  return seen.size();
}

}  // namespace bwrt::runtime

#endif  // BWRT_TESTS_RUNTIME_EXPLORE_H_
