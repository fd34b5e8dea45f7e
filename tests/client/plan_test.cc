#include "client/plan.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

// The violations of a plan that must be refused, by field.
std::map<std::string, FieldViolation> Violations(absl::string_view json) {
  const auto plan = ParsePlan(json);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument) << json;
  std::map<std::string, FieldViolation> violations;
  for (FieldViolation& violation : DetailsOf(plan.status()).field_violations) {
    violations[violation.field] = violation;
  }
  return violations;
}

TEST(Plan, ReadsTheRecordedPlan) {
  const auto plan = ReadPlan("tests/data/bcache_waves.json");
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->waves.size(), 18u);
  EXPECT_TRUE(plan->ignored_keys.empty());
  uint64_t tiles = 0;
  for (const PlannedWave& wave : plan->waves) {
    tiles += wave.tile_tokens;
    // The planner makes one tile an extent and opens the window for all of them.
    EXPECT_EQ(wave.prefetch_tokens, wave.tile_tokens);
    EXPECT_EQ(wave.spec.swap_begin(), static_cast<int64_t>(wave.prefetch_tokens));
    EXPECT_EQ(wave.spec.swap_end(), static_cast<int64_t>(2 * wave.prefetch_tokens));
    EXPECT_EQ(wave.spec.cluster_shape().x(), 2);
    EXPECT_EQ(wave.spec.cluster_shape().y(), 1);
    EXPECT_TRUE(wave.spec.tmem_layout().double_buffer());
    EXPECT_EQ(wave.spec.dtype(), DTYPE_UNSPECIFIED);
  }
  EXPECT_EQ(tiles, 91u);

  const PlannedWave& first = plan->waves[0];
  EXPECT_EQ(first.path, "windows[0].waves[0]");
  EXPECT_EQ(first.spec.pack_order_size(), 71);
  EXPECT_EQ(first.spec.pack_order(1), 64);
  EXPECT_EQ(first.spec.tile_order(2).m(), 1);
  EXPECT_EQ(first.spec.tile_order(2).n(), 1);
  EXPECT_EQ(first.spec.bk(), 64);
  EXPECT_EQ(first.spec.tmem_layout().columns(), 8);
  EXPECT_EQ(first.spec.tmem_layout().phases(), 4);
  EXPECT_EQ(first.spec.tmem_layout().stage_n(), 2);
  EXPECT_EQ(first.spec.io_extents(0).layer(), "6");
  EXPECT_EQ(first.spec.io_extents(0).start_pid(), 475);
  EXPECT_EQ(first.spec.io_extents(0).end_pid(), 478);
  EXPECT_EQ(first.m, 256);
  EXPECT_EQ(first.n, 256);
  const PlannedWave& snake = plan->waves[3];
  EXPECT_EQ(snake.path, "windows[1].waves[0]");
  EXPECT_EQ(snake.m, 3 * 128);
  EXPECT_EQ(snake.n, 4 * 256);
}

TEST(Plan, ReadsEveryForm) {
  const std::string wave = R"({"bm": 2, "tile_order": [[1, 2]]})";
  for (const auto& [text, path] : std::map<std::string, std::string>{
           {wave, "wave"},
           {absl::StrCat("[", wave, "]"), "waves[0]"},
           {absl::StrCat("{\"waves\": [", wave, "]}"), "waves[0]"},
           {absl::StrCat("[{\"window\": {\"seed\": 1}, \"waves\": [", wave, "]}]"), "windows[0].waves[0]"}}) {
    const auto plan = ParsePlan(text);
    ASSERT_TRUE(plan.ok()) << text << plan.status();
    ASSERT_EQ(plan->waves.size(), 1u);
    EXPECT_EQ(plan->waves[0].path, path);
    EXPECT_EQ(plan->waves[0].m, 4);
  }
  EXPECT_EQ(ParsePlan("[]")->waves.size(), 0u);
  EXPECT_EQ(ParsePlan(R"([{"waves": []}])")->waves.size(), 0u);
}

TEST(Plan, MissingKeysTakeThePlannersDefaults) {
  for (const char* text : {R"({"bm": 4})", R"({"bm": 4, "bn": null, "tile_order": null,
      "cluster_shape": null, "tmem_layout": null, "io_extents": null, "swap_window": null})"}) {
    const auto plan = ParsePlan(text);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const PlannedWave& wave = plan->waves[0];
    EXPECT_EQ(wave.spec.bn(), 0);
    EXPECT_EQ(wave.spec.bk(), 0);
    EXPECT_EQ(wave.spec.cluster_shape().x(), 1);
    EXPECT_EQ(wave.spec.cluster_shape().y(), 1);
    EXPECT_EQ(wave.spec.swap_begin(), 0);
    EXPECT_EQ(wave.spec.swap_end(), 1);
    EXPECT_FALSE(wave.spec.has_tmem_layout());
    EXPECT_EQ(wave.m, 4);
    EXPECT_EQ(wave.n, 0);
    EXPECT_EQ(wave.prefetch_tokens, 0u);
    EXPECT_EQ(wave.tile_tokens, 1u);
  }
}

TEST(Plan, ReadsTheOtherSpellings) {
  const auto plan = ParsePlan(R"({"bm": 2, "bn": 2, "bk": 2, "cluster_x": 2, "cluster_y": 3,
      "swap_begin": 4, "swap_end": 5, "tile_order_flat": [65537, 2],
      "io_extents": [[7, 1, 2], ["layer", 3, 4]]})");
  ASSERT_TRUE(plan.ok()) << plan.status();
  const PlannedWave& wave = plan->waves[0];
  EXPECT_EQ(wave.spec.cluster_shape().x(), 2);
  EXPECT_EQ(wave.spec.cluster_shape().y(), 3);
  EXPECT_EQ(wave.spec.swap_begin(), 4);
  EXPECT_EQ(wave.spec.swap_end(), 5);
  EXPECT_EQ(wave.spec.tile_order_flat(0), 65537u);
  EXPECT_EQ(wave.m, 4);  // Tile (1, 1).
  EXPECT_EQ(wave.n, 6);  // Tile (0, 2).
  EXPECT_EQ(wave.tile_tokens, 2u);
  EXPECT_EQ(wave.spec.io_extents(0).layer(), "7");
  EXPECT_EQ(wave.spec.io_extents(1).layer(), "layer");
}

TEST(Plan, NamesKeysItIgnores) {
  const auto plan = ParsePlan(R"([{"bm": 1, "swap_windw": [0, 1]}, {"bm": 1, "swap_windw": 2, "x": 1}])");
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->ignored_keys, (std::vector<std::string>{"swap_windw", "x"}));
}

TEST(Plan, LargestIdsFit) {
  const auto plan = ParsePlan(R"({"pack_order": [2147483647, 0], "bm": 2147483647,
      "tile_order": [[2147483647, 0]], "tile_order_flat": [4294967295],
      "io_extents": [["0", 0, 2147483647]]})");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->waves[0].spec.pack_order(0), 2147483647);
  EXPECT_EQ(plan->waves[0].m, int64_t{2147483648} * 2147483647);
}

TEST(Plan, RefusesIdsBeyondInt32WithPathValueLimitAndFix) {
  for (const char* value : {"2147483648", "4294967296", "9223372036854775807", "9223372036854775808",
                            "18446744073709551616", "-1", "-9223372036854775809"}) {
    const auto violations =
        Violations(absl::StrCat(R"([{"waves": [{"bm": 1}, {"bm": 1}, {"io_extents": [["0", 1, 2], ["0", 1, )", value,
                                R"(]], "pack_order": [1, )", value, R"(]}]}])"));
    ASSERT_EQ(violations.size(), 2u) << value;
    const std::string field = "windows[0].waves[2].io_extents[1].end_pid";
    ASSERT_TRUE(violations.contains(field));
    EXPECT_EQ(violations.at(field).reason, "OUT_OF_RANGE");
    const std::string& description = violations.at(field).description;
    EXPECT_TRUE(absl::StartsWith(description, absl::StrCat(field, "=", value, ": "))) << description;
    EXPECT_TRUE(absl::StrContains(description, "2147483647")) << description;
    EXPECT_TRUE(absl::StrContains(description, "renumber")) << description;
    EXPECT_TRUE(violations.contains("windows[0].waves[2].pack_order[1]"));
  }
  EXPECT_TRUE(Violations(R"({"tile_order_flat": [4294967296]})").contains("wave.tile_order_flat[0]"));
}

TEST(Plan, RefusesEveryFieldOutOfRange) {
  const auto violations = Violations(R"({"bm": 2147483648, "bn": -1, "bk": 99999999999999999999,
      "tile_order": [[2147483648, 0], [0, -1]], "cluster_shape": [-1, 2147483648],
      "tmem_layout": {"columns": -1, "phases": -1, "stage_n": 2147483648},
      "io_extents": [["0", -1, 0], [2147483648, 0, 0]], "swap_window": [-1, 2147483648]})");
  std::set<std::string> fields;
  for (const auto& [field, violation] : violations) fields.insert(field);
  EXPECT_EQ(fields, (std::set<std::string>{
                        "wave.bm", "wave.bn", "wave.bk", "wave.tile_order[0].m", "wave.tile_order[1].n",
                        "wave.cluster_shape.x", "wave.cluster_shape.y", "wave.tmem_layout.columns",
                        "wave.tmem_layout.phases", "wave.tmem_layout.stage_n", "wave.io_extents[0].start_pid",
                        "wave.io_extents[1].layer", "wave.swap_window.begin", "wave.swap_window.end"}));
}

TEST(Plan, RefusesWrongTypes) {
  const auto violations = Violations(R"({"bm": 1.5, "bn": "128", "bk": true, "pack_order": [1e3, "1"],
      "tile_order": [[0], [0, 1, 2], 3, ["0", 0]], "cluster_shape": {"x": 1}, "swap_window": [1],
      "tmem_layout": {"double_buffer": 1, "columns": []}, "io_extents": [["0", 1], [null, 1, 2]]})");
  for (const char* field : {"wave.bm", "wave.bn", "wave.bk", "wave.pack_order[0]", "wave.pack_order[1]",
                            "wave.tile_order[0]", "wave.tile_order[1]", "wave.tile_order[2]", "wave.tile_order[3].m",
                            "wave.cluster_shape", "wave.swap_window", "wave.tmem_layout.double_buffer",
                            "wave.tmem_layout.columns", "wave.io_extents[0]", "wave.io_extents[1].layer"}) {
    EXPECT_TRUE(violations.contains(field)) << field;
  }
  EXPECT_EQ(violations.size(), 15u);
  EXPECT_EQ(violations.at("wave.bm").reason, "WRONG_TYPE");
  EXPECT_EQ(violations.at("wave.bm").description, "wave.bm=1.5: must be an integer");
  EXPECT_EQ(violations.at("wave.tile_order[0]").reason, "WRONG_LENGTH");
  EXPECT_TRUE(Violations(R"({"tmem_layout": 3})").contains("wave.tmem_layout"));
}

TEST(Plan, RefusesWhatIsNoPlan) {
  for (const char* text : {"3", "null", "\"waves\"", "{}", "[{}]", "[1]", "[null]", "{\"a\": 1}", "[[]]",
                           "{\"waves\": 3}", "[{\"waves\": {}}]", "[{\"waves\": [1]}]"}) {
    EXPECT_FALSE(Violations(text).empty()) << text;
  }
  for (const char* text : {"", "{", "[{\"bm\": 1e400}]"}) {
    EXPECT_EQ(ParsePlan(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(ParsePlan(std::string(1'000'000, '[')).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Plan, BoundsTheViolations) {
  std::string text = R"({"pack_order": [)";
  for (int i = 0; i < 1000; ++i) text += "-1,";
  EXPECT_EQ(Violations(text + "-1]}").size(), 100u);
}

TEST(Plan, NamesAFileItCannotRead) {
  const auto plan = ReadPlan("no/such/file.json");
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(absl::StrContains(plan.status().message(), "no/such/file.json"));
}

}  // namespace
}  // namespace bwrt::client
