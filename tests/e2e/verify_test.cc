// bwrtctl verify: devices that agree, faults that it must find, and the bundles it leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/daemon_fixture.h"
#include "tests/e2e/daemon_process.h"
#include "tests/e2e/waves.h"
#include "tests/support/faulty_device.h"

namespace bwrt::e2e {
namespace {

using Json = nlohmann::json;
using runtime::FaultyDevice;
using testing::HasSubstr;

constexpr char kFaulty[] = "tests/e2e/bwrtd_faulty";

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;

  // The one object of the output.
  Json json() const {
    Json parsed = Json::parse(out, nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(parsed.is_object()) << out << err;
    return parsed.is_object() ? parsed : Json::object();
  }
};

class VerifyTest : public testing::Test {
 protected:
  Outcome Verify(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"client/bwrtctl", "verify"});
    const auto process = Process::Start(flags);
    EXPECT_TRUE(process.ok()) << process.status();
    if (!process.ok()) return {};
    const auto status = (*process)->Wait();
    EXPECT_TRUE(status.has_value()) << "it hangs";
    return {status.value_or(-1), (*process)->out(), (*process)->err()};
  }

  // As Verify, where a mismatch leaves its bundle in bundle().
  Outcome VerifyInto(std::vector<std::string> flags) {
    flags.push_back("--bundle-dir=" + bundle());
    return Verify(std::move(flags));
  }

  std::string bundle() const { return directory_ / "bundle"; }
  Json BundleJson() const {
    return Json::parse(ReadAll(bundle() + "/bundle.json"), nullptr, /*allow_exceptions=*/false);
  }

  // A file with this wave; more fields as in `changes`.
  std::string WaveFile(const Json& changes = Json::object()) {
    Json wave = {{"m", 256},
                 {"n", 256},
                 {"k", 64},
                 {"spec",
                  {{"bm", 128},
                   {"bn", 128},
                   {"bk", 64},
                   {"cluster_shape", {{"x", 2}, {"y", 1}}},
                   {"tmem_layout", {{"stage_n", 2}}},
                   {"swap_end", 1}}}};
    wave.update(changes);
    std::string path = directory_ / absl::StrCat("wave", files_++, ".json");
    WriteAll(path, wave.dump());
    return path;
  }

  std::unique_ptr<Daemon> StartFaulty(const char* fault) {
    setenv("BWRT_FAULT", fault, 1);
    auto daemon = Daemon::Start({}, kFaulty);
    unsetenv("BWRT_FAULT");
    EXPECT_TRUE(daemon.ok()) << daemon.status();
    return daemon.ok() ? *std::move(daemon) : nullptr;
  }

  Directory directory_;

 private:
  int files_ = 0;
};

TEST_F(VerifyTest, TheCpuAgreesWithTheReference) {
  const Outcome outcome = VerifyInto({"--waves=200", "--seed=5", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const Json json = outcome.json();
  EXPECT_EQ(json["waves"], 200);
  EXPECT_EQ(json["compared"], 200);
  EXPECT_EQ(json["not_compared"], 0);
  EXPECT_EQ(json["mismatches"], 0);
  EXPECT_EQ(json["seed"], 5);
  EXPECT_EQ(json["swaps"], 3);
  EXPECT_EQ(json["swaps_refused"], 0);
  EXPECT_GT(json["exact"], 0);
  EXPECT_LT(json["exact"], 200);
  for (const char* dtype : {"f32", "bf16", "f16"}) {
    EXPECT_GT(json["worst_rel_error"][dtype], 0) << dtype;
    EXPECT_LE(json["worst_rel_error"][dtype], json["tolerance"][dtype]) << dtype;
  }
  EXPECT_FALSE(json.contains("bundle"));
  EXPECT_FALSE(std::filesystem::exists(bundle()));
}

TEST_F(VerifyTest, EveryPairOfDevicesCanBeCompared) {
  const std::string engine = "reference";
  for (const std::string device : {"cpu", "auto", "reference"}) {
    for (const std::string reference : {"cpu", "reference"}) {
      SCOPED_TRACE(absl::StrCat(device, " against ", reference));
      const Outcome outcome = Verify({absl::StrCat("--device=", device), absl::StrCat("--ref-device=", reference),
                                      "--waves=20", "--swap-every=5", "--json"});
      EXPECT_EQ(outcome.status, 0) << outcome.err;
      EXPECT_EQ(outcome.json()["compared"], 20);
      // Of one kind, both round alike.
      if ((device == engine) == (reference == engine)) {
        EXPECT_EQ(outcome.json()["exact"], 20);
      }
    }
  }
}

TEST_F(VerifyTest, LenientWavesAndEachKthCompared) {
  const Outcome outcome = Verify({"--shape-check=lenient", "--waves=50", "--compare-every=7", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["waves"], 50);
  EXPECT_EQ(outcome.json()["compared"], 7);
}

TEST_F(VerifyTest, WavesBesideTheRegionAreToldAndDoNotPass) {
  // Some waves of this seed have so many rows, others do not.
  const Outcome some = Verify({"--waves=60", "--region=300:1000,0:1", "--json"});
  EXPECT_EQ(some.status, 0) << some.err;
  EXPECT_GT(some.json()["compared"], 0);
  EXPECT_GT(some.json()["not_compared"], 0);
  EXPECT_EQ(some.json()["compared"].get<int>() + some.json()["not_compared"].get<int>(), 60);
  EXPECT_THAT(Verify({"--waves=60", "--region=300:1000,0:1"}).out, HasSubstr("waves not compared: "));
  const Outcome none = Verify({"--waves=5", "--region=100000:100001,0:1"});
  EXPECT_EQ(none.status, 1);
  EXPECT_THAT(none.err, HasSubstr("nothing was compared: no wave's C reaches into --region=100000:100001,0:1"));
  EXPECT_THAT(none.out, HasSubstr("NOT COMPARED"));
}

TEST_F(VerifyTest, APlantedFaultIsFoundAndItsBundleReplays) {
  const auto faulty = StartFaulty("element");
  ASSERT_NE(faulty, nullptr);
  const std::string server = "--server=" + faulty->unix_address();
  const Outcome found = VerifyInto({server, "--device=cpu", "--waves=300", "--seed=11", "--json"});
  EXPECT_EQ(found.status, 1) << found.err;
  const Json report = found.json();
  EXPECT_EQ(report["mismatches"], 1);
  EXPECT_EQ(report["bundle"], bundle());
  EXPECT_EQ(report["first_mismatch"]["row"], FaultyDevice::kRow);
  EXPECT_EQ(report["first_mismatch"]["column"], FaultyDevice::kColumn);
  EXPECT_EQ(report["waves"], report["first_mismatch"]["wave"].get<int>() + 1) << "it stops there";
  EXPECT_THAT(found.err, HasSubstr("bwrtctl verify --bundle "));

  const Json bundle_json = BundleJson();
  ASSERT_TRUE(bundle_json.is_object());
  const Json& of = bundle_json["case"];
  const Json& finding = bundle_json["finding"];
  EXPECT_EQ(of["seed"], 11);
  EXPECT_EQ(of["wave_index"], report["first_mismatch"]["wave"]);
  EXPECT_EQ(of["device"], "cpu");
  EXPECT_EQ(of["wave"]["a"].value("inline", "none"), "") << "operands are not stored";
  EXPECT_EQ(finding["first_difference"]["row"], FaultyDevice::kRow);
  EXPECT_NE(finding["digests"]["device"], finding["digests"]["reference"]);
  EXPECT_EQ(finding["result"]["effective"]["device"], "cpu");
  EXPECT_FALSE(finding["device_capabilities"]["build"]["version"].get<std::string>().empty());
  EXPECT_EQ(finding["flags"]["--seed"], "11");
  std::string reference, device;
  ASSERT_TRUE(absl::Base64Unescape(finding["around"]["reference_base64"].get<std::string>(), &reference));
  ASSERT_TRUE(absl::Base64Unescape(finding["around"]["device_base64"].get<std::string>(), &device));
  EXPECT_LE(reference.size() + device.size(), 1024u);
  EXPECT_EQ(reference.size(), device.size());
  EXPECT_NE(reference, device);

  const Outcome again = Verify({server, "--bundle=" + bundle(), "--json"});
  EXPECT_EQ(again.status, 1) << again.err;
  EXPECT_EQ(again.json()["reproduces"], true);
  EXPECT_EQ(again.json()["first_mismatch"]["row"], FaultyDevice::kRow);
  EXPECT_THAT(Verify({server, "--bundle=" + bundle()}).out, HasSubstr("still differs from reference"));
  // A good one: its own, started with the device of the bundle.
  const Outcome good = Verify({"--bundle=" + bundle(), "--json"});
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_EQ(good.json()["reproduces"], false);
  EXPECT_EQ(good.json()["compared"], 1);
  EXPECT_THAT(Verify({"--bundle=" + bundle(), "--device=reference"}).out, HasSubstr("no longer differs"));
  // Somewhere else it is right.
  EXPECT_EQ(Verify({server, "--bundle=" + bundle(), "--region=0:10,0:10"}).status, 0);
  EXPECT_EQ(faulty->Stop(), 0);
}

TEST_F(VerifyTest, FaultsCanBeCounted) {
  const auto faulty = StartFaulty("element");
  ASSERT_NE(faulty, nullptr);
  const Outcome outcome = VerifyInto({"--server=" + faulty->unix_address(), "--waves=100", "--keep-going", "--json"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.json()["waves"], 100);
  EXPECT_GT(outcome.json()["mismatches"], 1);
  EXPECT_LT(outcome.json()["mismatches"], 100);
  EXPECT_EQ(BundleJson()["case"]["wave_index"], outcome.json()["first_mismatch"]["wave"]);
}

TEST_F(VerifyTest, AGivenWaveAndARegionBesideTheFault) {
  const auto faulty = StartFaulty("element");
  ASSERT_NE(faulty, nullptr);
  const std::string server = "--server=" + faulty->unix_address();
  for (const Json& changes : {Json::object(), Json{{"w", {{"tensor", "proj"}}}, {"bias", {1}}},
                              Json{{"c", {{"row_stride", 300}}}, {"c_dtype", "F32"}}}) {
    SCOPED_TRACE(changes.dump());
    const std::string spec = "--spec=" + WaveFile(changes);
    const Outcome beside = VerifyInto({server, spec, "--waves=3", "--region=0:256,0:130", "--json"});
    EXPECT_EQ(beside.status, 0) << beside.err;
    EXPECT_EQ(beside.json()["compared"], 3);
    const Outcome upon = VerifyInto({server, spec, "--waves=3", "--region=150:151,100:256", "--json"});
    EXPECT_EQ(upon.status, 1);
    EXPECT_EQ(upon.json()["first_mismatch"]["wave"], 0);
    EXPECT_EQ(upon.json()["first_mismatch"]["column"], FaultyDevice::kColumn);
    EXPECT_EQ(BundleJson()["case"]["region"], "150:151,100:256");
    EXPECT_EQ(Verify({server, "--bundle=" + bundle()}).status, 1);
    EXPECT_EQ(Verify({"--bundle=" + bundle()}).status, 0);
  }
}

TEST_F(VerifyTest, AWaveThatReadsWhatItWritesNeedsARegion) {
  const std::string spec = "--spec=" + WaveFile({{"beta", 1}, {"alpha", 0.5}});
  const Outcome without = Verify({spec, "--waves=2"});
  EXPECT_EQ(without.status, 2);
  EXPECT_THAT(without.err, HasSubstr("--region=ROW0:ROW1,COL0:COL1"));
  const Outcome with = Verify({spec, "--waves=20", "--swap-every=5", "--region=100:200,0:256", "--json"});
  EXPECT_EQ(with.status, 0) << with.err;
  EXPECT_EQ(with.json()["compared"], 20);
  EXPECT_EQ(with.json()["swaps"], 3);
}

TEST_F(VerifyTest, AWaveOfAPlan) {
  const Outcome outcome = Verify({"--spec=tests/data/bcache_waves.json", "--wave=2", "--k=96", "--waves=2", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["compared"], 2);
}

TEST_F(VerifyTest, AGivenWaveThatCannotRunIsTheDaemonsToRefuse) {
  const std::vector<std::pair<Json, const char*>> waves = {
      {{{"m", -5}}, "m=-5"},
      {{{"m", int64_t{1} << 40}}, "m=1099511627776"},
      {{{"a", {{"row_stride", 3}}}}, "a.row_stride=3"},
      {{{"k", 7}}, "k=7"},
      {{{"w", {{"tensor", "proj"}}}, {"n", -1}}, "n and k must be positive"},
      {{{"w", {{"tensor", "proj"}}}, {"n", int64_t{1} << 60}}, "w.tensor"},
      {{{"m", 60000}, {"n", 60000}}, "c="},
  };
  for (const auto& [changes, says] : waves) {
    const Outcome outcome = Verify({"--spec=" + WaveFile(changes), "--waves=1"});
    EXPECT_EQ(outcome.status, 1) << says;
    EXPECT_THAT(outcome.err, HasSubstr(says));
  }
}

TEST_F(VerifyTest, ADeviceThatFailsLeavesABundleToo) {
  const auto faulty = StartFaulty("error");
  ASSERT_NE(faulty, nullptr);
  const std::string server = "--server=" + faulty->unix_address();
  const Outcome found = VerifyInto({server, "--waves=300"});
  EXPECT_EQ(found.status, 1);
  EXPECT_THAT(found.err, HasSubstr("cpu failed: INTERNAL"));
  EXPECT_EQ(Verify({server, "--bundle=" + bundle()}).status, 1);
  EXPECT_EQ(Verify({"--bundle=" + bundle(), "--device=cpu"}).status, 0);
}

TEST_F(VerifyTest, ADaemonThatDiesLeavesABundleToo) {
  const auto faulty = StartFaulty("death");
  ASSERT_NE(faulty, nullptr);
  const Outcome found = VerifyInto({"--server=" + faulty->unix_address(), "--waves=300", "--keep-going", "--json"});
  EXPECT_EQ(found.status, 3) << found.err;
  EXPECT_EQ(found.json()["mismatches"], 1);
  EXPECT_EQ(BundleJson()["case"]["wave_index"], found.json()["first_mismatch"]["wave"]);
  EXPECT_EQ(Verify({"--bundle=" + bundle(), "--device=cpu"}).status, 0);
}

TEST_F(VerifyTest, ABundleThatWasEditedIsRefused) {
  const auto faulty = StartFaulty("element");
  ASSERT_NE(faulty, nullptr);
  ASSERT_EQ(VerifyInto({"--server=" + faulty->unix_address(), "--spec=" + WaveFile(), "--waves=1"}).status, 1);
  const Json good = BundleJson();
  const auto replay = [&](const Json& edited) {
    WriteAll(bundle() + "/bundle.json", edited.dump());
    return Verify({"--bundle=" + bundle()});
  };
  EXPECT_EQ(replay(good).status, 0);
  Json edited = good;
  edited["case"]["seed"] = 99;
  Outcome outcome = replay(edited);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("the operands that the seeds give are not those the bundle tells of"));
  edited = good;
  edited["case"]["wave"]["m"] = "4611686018427387904";
  outcome = replay(edited);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("m=4611686018427387904"));
  edited = good;
  edited["case"]["wave"]["rows"] = {{{"id", 1}, {"begin", -1000}, {"end", 100000}}};
  outcome = replay(edited);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("rows[0].begin=-1000"));
  edited = good;
  edited["case"]["more"] = 1;
  outcome = replay(edited);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("case.more: no such field"));
}

TEST_F(VerifyTest, ANamedDaemonIsLeftAsItWas) {
  const auto daemon = Daemon::Start();
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const auto client = client::Client::Connect((*daemon)->unix_address());
  ASSERT_TRUE(client.ok()) << client.status();
  // Its last wave leaves the window of the model closed.
  v1::SubmitWaveRequest tight = MakeWave(256, 256, 32);
  SetWindow(&tight, 1000, 1001);
  ASSERT_TRUE((*client)->SubmitWave(tight).ok());
  const auto before = (*client)->GetModel("default");
  ASSERT_TRUE(before.ok()) << before.status();
  const Outcome outcome = Verify({"--server=" + (*daemon)->unix_address(), "--waves=70", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["swaps"], 1);
  EXPECT_EQ((*client)->ListModels()->models_size(), 1);
  const auto after = (*client)->GetModel("default");
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->summary().version(), before->summary().version());
  ASSERT_EQ(after->window().claims_size(), 1);
  EXPECT_EQ(after->window().claims(0).wave(), before->window().claims(0).wave());
}

TEST_F(VerifyTest, SwapsThatADaemonForbidsAreTold) {
  const auto daemon = Daemon::Start({"--allow-when-idle=false"});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const Outcome outcome = Verify({"--server=" + (*daemon)->unix_address(), "--waves=40", "--swap-every=2", "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_GT(outcome.json()["swaps_refused"], 0);
  EXPECT_EQ(outcome.json()["swaps"].get<int>() + outcome.json()["swaps_refused"].get<int>(), 19);
}

TEST_F(VerifyTest, MistakesAreTwo) {
  for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{
           {"--device=tpu"},
           {"--ref-device=cuda:x"},
           {"--waves=0"},
           {"--waves=-1"},
           {"--compare-every=0"},
           {"--compare-every=10", "--waves=9"},
           {"--region=1:2"},
           {"--region=2:2,0:1"},
           {"--seed=x"},
           {"--shape-check=maybe"},
           {"--wave=1"},
           {"--spec=no/such/file"},
           {"--bundle=no/such/directory"},
           {"--bundle=x", "--waves=3"},
           {"--bundle=x", "--spec=y"},
           {"--timeout=0s"},
           {"extra"},
       }) {
    const Outcome outcome = Verify(flags);
    EXPECT_EQ(outcome.status, 2) << flags[0] << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("bwrtctl: ")) << flags[0];
  }
  EXPECT_THAT(Verify({"--device=tpu"}).err, HasSubstr("tpu: must be reference, auto, cpu, cuda or cuda:N"));
}

TEST_F(VerifyTest, DevicesThatAreNotThere) {
  const auto daemon = Daemon::Start();
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const Outcome named = Verify({"--server=" + (*daemon)->unix_address(), "--device=cuda:3"});
  EXPECT_EQ(named.status, 1);
  EXPECT_THAT(named.err, HasSubstr("has no device cuda:3; it has cpu"));
  EXPECT_EQ(Verify({"--server=unix:" + (directory_ / "nobody")}).status, 3);
}

TEST_F(VerifyTest, HelpIsComplete) {
  const Outcome outcome = Verify({"--help"});
  EXPECT_EQ(outcome.status, 0);
  for (const char* word :
       {"--device", "--ref-device", "--waves", "--seed", "--compare-every", "--swap-every", "--region", "--spec",
        "--keep-going", "--bundle-dir", "--bundle ", "--timeout", "Exit status"}) {
    EXPECT_THAT(outcome.out, HasSubstr(word));
  }
}

}  // namespace
}  // namespace bwrt::e2e
