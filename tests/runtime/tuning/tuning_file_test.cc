#include "runtime/tuning/tuning_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Optional;

class TuningFileTest : public ::testing::Test {
 protected:
  TuningFileTest() {
    std::remove(path_.c_str());
    std::remove(aside().c_str());
    tiles_.winner = {{128, 256, 64, 2, 2, 1}, "cublaslt", Duration(12345), 5, "cublaslt-66", Duration(20000)};
    tiles_.first = {{128, 128, 64, 2, 2, 1}, "cublaslt", Duration(22345), 5, "", Duration(0)};
  }
  ~TuningFileTest() override {
    std::remove(path_.c_str());
    std::remove(aside().c_str());
  }
  std::string aside() const { return path_ + ".damaged"; }
  static std::string Text(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  void Write(const std::string& text) const { std::ofstream(path_) << text; }
  std::string Saved() {
    TuningFile file(path_);
    file.Put(gpu_, "problem", tiles_);
    file.PutAlgorithms(gpu_, {"1 2 3", "4"});
    EXPECT_TRUE(file.Save().ok());
    return Text(path_);
  }

  const std::string path_ = testing::TempDir() + "tuning.json";
  const DeviceInfo gpu_ = {"cuda:0", "H200", {}, {}, {{"driver", "580.65.06"}, {"cublaslt", "13.1.0"}}};
  TuningFile::Tiles tiles_;
};

TEST_F(TuningFileTest, KeepsWhatWasFound) {
  Saved();
  const TuningFile file(path_);
  EXPECT_EQ(file.note(), "");
  EXPECT_THAT(file.Find(gpu_, "problem"), Optional(tiles_));
  EXPECT_EQ(file.Find(gpu_, "another"), std::nullopt);
  EXPECT_THAT(file.Algorithms(gpu_), ElementsAre("1 2 3", "4"));
}

TEST_F(TuningFileTest, AnotherVersionIsAnotherDevice) {
  Saved();
  for (const auto change :
       {+[](DeviceInfo& d) { d.versions[0].second = "590"; }, +[](DeviceInfo& d) { d.versions[1].second = "13.2"; },
        +[](DeviceInfo& d) { d.description = "H100"; }, +[](DeviceInfo& d) { d.name = "cuda:1"; }}) {
    DeviceInfo other = gpu_;
    change(other);
    TuningFile file(path_);
    EXPECT_EQ(file.Find(other, "problem"), std::nullopt);
    EXPECT_THAT(file.Algorithms(other), IsEmpty());
    file.PutAlgorithms(other, {"9"});
    ASSERT_TRUE(file.Save().ok());
    EXPECT_THAT(TuningFile(path_).Find(gpu_, "problem"), Optional(tiles_)) << "others are kept";
  }
}

TEST_F(TuningFileTest, NoFileIsNothingWrong) {
  EXPECT_EQ(TuningFile(path_).note(), "");
  TuningFile none("");
  none.Put(gpu_, "problem", tiles_);
  EXPECT_TRUE(none.Save().ok());
  EXPECT_THAT(none.Find(gpu_, "problem"), Optional(tiles_));
}

TEST_F(TuningFileTest, DamageIsPutAsideAndSaid) {
  const std::string good = Saved();
  std::vector<std::string> damaged = {"",
                                      "null",
                                      "{",
                                      "[]",
                                      good.substr(0, good.size() / 2),
                                      "{\"format\":2,\"devices\":{}}",
                                      "{\"format\":1,\"devices\":[]}",
                                      "{\"format\":1,\"devices\":{\"d\":3}}",
                                      "{\"format\":1,\"devices\":{\"d\":{\"tiles\":{},\"algorithms\":[1]}}}",
                                      std::string(100'000, '['),
                                      std::string(TuningFile::kMaxBytes + 1, ' ')};
  // Hostile values in a file that is otherwise right.
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"12345", "-1"},
           {"12345", "1e5"},
           {"12345", "9223372036854775807"},
           {"12345", "18446744073709551615"},
           {"256", "0"},
           {"256", "4294967424"},
           {"\"repeats\": 5", "\"repeats\": 0"},
           {"\"1 2 3\"", "\"1\\n\""},
           {"\"1 2 3\"", absl::StrCat("\"", std::string(600, '1'), "\"")},
           {"\"problem\"", absl::StrCat("\"", std::string(300, 'p'), "\"")},
           {"\"kernel\": \"cublaslt\"", "\"kernel\": \"\\u001b[2J\""}}) {
    const std::string changed = absl::StrReplaceAll(good, {{from, to}});
    ASSERT_NE(changed, good) << from;
    damaged.push_back(changed);
  }
  for (const std::string& text : damaged) {
    SCOPED_TRACE(text.substr(0, 200));
    std::remove(aside().c_str());
    Write(text);
    TuningFile file(path_);
    EXPECT_THAT(file.note(), HasSubstr("the tuning table is damaged"));
    EXPECT_THAT(file.note(), Not(HasSubstr(testing::TempDir()))) << "clients and logs need no path";
    EXPECT_EQ(Text(aside()), text);
    EXPECT_EQ(file.Find(gpu_, "problem"), std::nullopt);
    EXPECT_THAT(file.Algorithms(gpu_), IsEmpty());
    file.Put(gpu_, "problem", tiles_);
    ASSERT_TRUE(file.Save().ok());
    EXPECT_THAT(TuningFile(path_).Find(gpu_, "problem"), Optional(tiles_));
  }
}

TEST_F(TuningFileTest, APipeIsNotRead) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(TuningFile(path_).note(), "") << "and nobody waits for it";
}

TEST_F(TuningFileTest, CountsAreBounded) {
  TuningFile file(path_);
  for (size_t i = 0; i <= TuningFile::kMaxEntries; ++i) file.Put(gpu_, absl::StrCat(i), tiles_);
  EXPECT_TRUE(file.Find(gpu_, absl::StrCat(TuningFile::kMaxEntries - 1)));
  EXPECT_EQ(file.Find(gpu_, absl::StrCat(TuningFile::kMaxEntries)), std::nullopt);
  for (size_t i = 0; i <= TuningFile::kMaxDevices; ++i) {
    DeviceInfo device;
    device.name = absl::StrCat("d", i);
    file.PutAlgorithms(device, {"1"});
  }
  DeviceInfo last;
  last.name = absl::StrCat("d", TuningFile::kMaxDevices);
  EXPECT_THAT(file.Algorithms(last), IsEmpty());
}

TEST_F(TuningFileTest, WhatCannotBeWrittenIsSaid) {
  TuningFile file(testing::TempDir() + "no/such/directory/tuning.json");
  file.Put(gpu_, "problem", tiles_);
  const absl::Status status = file.Save();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("no/such")));
}

}  // namespace
}  // namespace bwrt::runtime
