#include "runtime/model_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "tests/support/error_details.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"
#include "tests/support/recording_observer.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;

class ModelRegistryTest : public ::testing::Test {
 protected:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& model : registry_.All()) names.push_back(model->name());
    return names;
  }

  ManualClock clock_;
  ManualExecutor executor_;
  RecordingObserver observer_;
  SwapLine line_{{},
                 {.clock = &clock_,
                  .executor = &executor_,
                  .journal_executor = &executor_,
                  .journal = nullptr,
                  .observer = &observer_,
                  .failpoints = nullptr,
                  .on_startable = [] {}}};
  ModelRegistry registry_{
      3, [this](std::string name) { return std::make_shared<Model>(std::move(name), /*keep_versions=*/0, &line_); }};
};

TEST_F(ModelRegistryTest, DefaultExistsFromTheStart) {
  EXPECT_THAT(Names(), ElementsAre("default"));
  const auto model = registry_.Find("default");
  ASSERT_TRUE(model.ok());
  EXPECT_EQ((*model)->current()->number(), Version(0));
}

TEST_F(ModelRegistryTest, FindNamesWhatIsMissing) {
  const auto missing = registry_.Find("llm");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetReason(missing.status()), "MODEL_NOT_FOUND");
  EXPECT_EQ(MetadataOf(missing.status(), "model"), "llm");
  EXPECT_THAT(Names(), ElementsAre("default")) << "looking creates nothing";
}

TEST_F(ModelRegistryTest, CreatesOnceAndSorts) {
  const auto z = registry_.FindOrCreate("z");
  const auto a = registry_.FindOrCreate("a");
  ASSERT_TRUE(z.ok() && a.ok());
  EXPECT_EQ(*registry_.FindOrCreate("z"), *z);
  EXPECT_EQ(*registry_.Find("a"), *a);
  EXPECT_THAT(Names(), ElementsAre("a", "default", "z"));
}

TEST_F(ModelRegistryTest, CountsDefaultAgainstTheLimit) {
  ASSERT_TRUE(registry_.FindOrCreate("a").ok());
  ASSERT_TRUE(registry_.FindOrCreate("b").ok());
  const auto refused = registry_.FindOrCreate("c");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(refused.status()), "TOO_MANY_MODELS");
  EXPECT_TRUE(registry_.FindOrCreate("b").ok()) << "it exists";
}

}  // namespace
}  // namespace bwrt::runtime
