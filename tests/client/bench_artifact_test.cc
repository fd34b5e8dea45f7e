#include "client/bench_artifact.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/file.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

using Json = nlohmann::json;

BenchArtifact Sample() {
  BenchArtifact artifact;
  artifact.created = absl::FromUnixMillis(1'700'000'000'125);
  artifact.machine = {.cpu = "A \"CPU\"", .cores = 2, .memory_bytes = int64_t{8} << 30, .kernel = "6.1"};
  artifact.build = {.version = "0.5", .compiler = "gcc 12", .mode = "opt"};
  artifact.libraries = {{"grpc", "1.51.1"}, {"libxsmm", "1.17"}};
  artifact.flags = {{"unary", "false"}};
  artifact.sync_every = 0;
  artifact.warmup_waves = 256;
  artifact.cases.push_back({.name = "small",
                            .spec = {.m = 128, .n = 256, .k = 512, .bm = 64, .bn = 32, .bk = 16, .dtype = BF16},
                            .in_flight = 8,
                            .waves = 300,
                            .seconds = 0.1,
                            .waves_per_second = 3000.25,
                            .gflops = 100.66329600000001,
                            .p50_us = 250.5,
                            .p99_us = 0,
                            .refused = 3,
                            .rounds = {{.waves = 100, .seconds = 0.033}, {.waves = 200, .seconds = 0.067}}});
  artifact.cases.push_back(artifact.cases[0]);
  artifact.cases[1].in_flight = 64;
  return artifact;
}

Json Document() { return Json::parse(EncodeBenchArtifact(Sample())); }

// The violations of a document that must be refused, by field.
std::map<std::string, std::string> Violations(const Json& json) {
  const auto artifact = DecodeBenchArtifact(json.dump());
  EXPECT_EQ(artifact.status().code(), absl::StatusCode::kInvalidArgument) << json;
  std::map<std::string, std::string> violations;
  for (const FieldViolation& violation : DetailsOf(artifact.status()).field_violations) {
    violations[violation.field] = violation.description;
  }
  return violations;
}

// "cases[0].rounds[1].waves" for "/cases/0/rounds/1/waves".
std::string FieldOf(absl::string_view pointer) {
  std::string field;
  for (const absl::string_view part : absl::StrSplit(pointer, '/', absl::SkipEmpty())) {
    const bool index = part.find_first_not_of("0123456789") == absl::string_view::npos;
    absl::StrAppend(&field, index ? "[" : field.empty() ? "" : ".", part, index ? "]" : "");
  }
  return field;
}

TEST(BenchArtifact, ComesBackAsItWent) {
  const BenchArtifact sent = Sample();
  const auto read = DecodeBenchArtifact(EncodeBenchArtifact(sent));
  ASSERT_TRUE(read.ok()) << FormatError(read.status());
  EXPECT_EQ(read->created, sent.created);
  EXPECT_EQ(read->machine.cpu, sent.machine.cpu);
  EXPECT_EQ(read->machine.cores, 2);
  EXPECT_EQ(read->machine.memory_bytes, sent.machine.memory_bytes);
  EXPECT_EQ(read->machine.kernel, "6.1");
  EXPECT_EQ(read->build.version, "0.5");
  EXPECT_EQ(read->build.compiler, "gcc 12");
  EXPECT_EQ(read->build.mode, "opt");
  EXPECT_EQ(read->libraries, sent.libraries);
  EXPECT_EQ(read->flags, sent.flags);
  EXPECT_EQ(read->sync_every, 0);
  EXPECT_EQ(read->warmup_waves, 256);
  ASSERT_EQ(read->cases.size(), 2u);
  const BenchCase& first = read->cases[0];
  EXPECT_EQ(first.name, "small");
  EXPECT_EQ(first.spec.m, 128);
  EXPECT_EQ(first.spec.n, 256);
  EXPECT_EQ(first.spec.k, 512);
  EXPECT_EQ(first.spec.bm, 64);
  EXPECT_EQ(first.spec.bn, 32);
  EXPECT_EQ(first.spec.bk, 16);
  EXPECT_EQ(first.spec.dtype, BF16);
  EXPECT_EQ(first.in_flight, 8);
  EXPECT_EQ(first.waves, 300);
  EXPECT_EQ(first.seconds, 0.1);
  EXPECT_EQ(first.waves_per_second, 3000.25);
  EXPECT_EQ(first.gflops, 100.66329600000001);
  EXPECT_EQ(first.p50_us, 250.5);
  EXPECT_EQ(first.p99_us, 0);
  EXPECT_EQ(first.refused, 3);
  ASSERT_EQ(first.rounds.size(), 2u);
  EXPECT_EQ(first.rounds[1].waves, 200);
  EXPECT_EQ(first.rounds[1].seconds, 0.067);
  EXPECT_EQ(read->cases[1].in_flight, 64);
}

TEST(BenchArtifact, WithoutLibrariesAndFlagsComesBackToo) {
  BenchArtifact artifact = Sample();
  artifact.libraries.clear();
  artifact.flags.clear();
  artifact.machine.cpu = "\xff";
  const auto read = DecodeBenchArtifact(EncodeBenchArtifact(artifact));
  ASSERT_TRUE(read.ok()) << FormatError(read.status());
  EXPECT_TRUE(read->flags.empty());
  EXPECT_EQ(read->machine.cpu, "\xef\xbf\xbd");
}

TEST(BenchArtifact, IgnoresWhatItDoesNotKnowAndNeedsNoRefused) {
  Json json = Document();
  json["later"] = {{"x", 1}};
  json["cases"][0].erase("refused");
  const auto read = DecodeBenchArtifact(json.dump());
  ASSERT_TRUE(read.ok()) << FormatError(read.status());
  EXPECT_EQ(read->cases[0].refused, 0);
}

TEST(BenchArtifact, NamesWhatIsNoArtifactOfThisVersion) {
  const auto message = [](const std::string& text) {
    const auto read = DecodeBenchArtifact(text);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << text;
    return std::string(read.status().message());
  };
  EXPECT_TRUE(absl::StrContains(message("{"), "not JSON"));
  EXPECT_TRUE(absl::StrContains(message(""), "not JSON"));
  EXPECT_TRUE(absl::StrContains(message("[1]"), "format: missing"));
  EXPECT_TRUE(absl::StrContains(message("{}"), "format: missing"));
  EXPECT_TRUE(absl::StrContains(message(R"({"format": 7})"), "format=7"));
  EXPECT_TRUE(absl::StrContains(message(R"({"format": "other"})"), "format=\"other\""));
  Json json = Document();
  json["version"] = 2;
  EXPECT_TRUE(absl::StrContains(message(json.dump()), "version=2: this bwrtctl reads version 1"));
  json["version"] = "1";
  EXPECT_TRUE(absl::StrContains(message(json.dump()), "version=\"1\""));
  json.erase("version");
  EXPECT_TRUE(absl::StrContains(message(json.dump()), "version=: this"));
}

// Every field that Sample() has is needed: without it, or with a value of another kind, it is named.
TEST(BenchArtifact, NamesEveryFieldThatIsMissingOrOfTheWrongKind) {
  int checked = 0;
  const Json whole = Document().flatten();
  for (const auto& [pointer, value] : whole.items()) {
    if (absl::StartsWith(pointer, "/libraries") || absl::StartsWith(pointer, "/flags") ||
        absl::EndsWith(pointer, "/refused") || pointer == "/format" || pointer == "/version") {
      continue;
    }
    const std::string field = FieldOf(pointer);
    Json json = Document();
    json[Json::json_pointer(pointer)] = Json::array();
    auto violations = Violations(json);
    EXPECT_EQ(violations.count(field), 1u) << field;
    Json parent = Document();
    const Json::json_pointer place(pointer);
    parent[place.parent_pointer()].erase(place.back());
    violations = Violations(parent);
    ASSERT_EQ(violations.count(field), 1u) << field;
    EXPECT_TRUE(absl::StrContains(violations[field], ": missing")) << violations[field];
    ++checked;
  }
  EXPECT_GT(checked, 40);
}

TEST(BenchArtifact, RefusesWhatNoRunCanHaveProduced) {
  const std::multimap<std::string, Json> bad = {
      {"/cases/0/waves", 0},
      {"/cases/0/waves", -1},
      {"/cases/0/waves", 1e300},
      {"/cases/0/in_flight", 0},
      {"/cases/0/seconds", 0},
      {"/cases/0/seconds", -0.5},
      {"/cases/0/waves_per_second", 0},
      {"/cases/0/gflops", -1},
      {"/cases/0/p50_us", 1e19},
      {"/cases/0/p99_us", "fast"},
      {"/cases/0/refused", -1},
      {"/cases/0/spec/bk", 0},
      {"/cases/0/spec/dtype", "f8"},
      {"/cases/0/name", std::string(101, 'x')},
      {"/cases/0/rounds/0/seconds", 0},
      {"/cases/0/rounds/0/waves", uint64_t{1} << 63},
      {"/machine/cores", 0},
      {"/machine/memory_bytes", -1},
      {"/sync_every", -1},
      {"/created", "yesterday"},
      {"/created", "infinite-future"},
      {"/created", "infinite-past"},
      {"/libraries/grpc", 1},
      {"/cases", Json::array()},
  };
  for (const auto& [pointer, value] : bad) {
    Json json = Document();
    json[Json::json_pointer(pointer)] = value;
    EXPECT_EQ(Violations(json).size(), 1u) << pointer << " " << value;
  }
  // Numbers that no double holds.
  std::string text = EncodeBenchArtifact(Sample());
  const std::string from = "\"seconds\":0.1,";
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, from.size(), "\"seconds\":1e999,");
  EXPECT_FALSE(DecodeBenchArtifact(text).ok());
}

TEST(BenchArtifact, RefusesACaseThatIsThereTwice) {
  Json json = Document();
  json["cases"][1]["in_flight"] = json["cases"][0]["in_flight"];
  auto violations = Violations(json);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations["cases[1]"], "cases[1]: \"small\" with in_flight=8 is there twice");
}

TEST(BenchArtifact, BoundsWhatItReadsAndWhatItSays) {
  Json json = Document();
  for (int i = 0; i < 200; ++i) json["cases"].push_back(Json::object());
  EXPECT_LE(DetailsOf(DecodeBenchArtifact(json.dump()).status()).field_violations.size(), 100u);
  json = Document();
  json["cases"] = Json(std::vector<int>(10'001));
  EXPECT_EQ(Violations(json).count("cases"), 1u);
  json = Document();
  for (int i = 0; i <= 1000; ++i) json["flags"][absl::StrCat(i)] = "x";
  EXPECT_EQ(Violations(json).count("flags"), 1u);
  json = Document();
  json["flags"][std::string(101, 'x')] = "x";
  EXPECT_EQ(Violations(json).count("flags"), 1u);
}

TEST(BenchArtifact, ErrorsNameTheFile) {
  const std::string path = testing::TempDir() + "/artifact.json";
  ASSERT_TRUE(WriteFile(path, EncodeBenchArtifact(Sample())).ok());
  EXPECT_TRUE(ReadBenchArtifact(path).ok());
  Json json = Document();
  json["sync_every"] = -1;
  ASSERT_TRUE(WriteFile(path, json.dump()).ok());
  const absl::Status status = ReadBenchArtifact(path).status();
  EXPECT_TRUE(absl::StartsWith(status.message(), path)) << status;
  EXPECT_EQ(DetailsOf(status).field_violations.size(), 1u);
  EXPECT_FALSE(ReadBenchArtifact(path + ".none").ok());
}

}  // namespace
}  // namespace bwrt::client
