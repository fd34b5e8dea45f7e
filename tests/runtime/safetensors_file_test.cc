#include "runtime/safetensors_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A file with these tensors of bytes, one after the other.
std::string File(const std::vector<std::pair<std::string, std::string>>& tensors) {
  std::string json = "{";
  std::string data;
  for (const auto& [name, bytes] : tensors) {
    absl::StrAppend(&json, json.size() > 1 ? "," : "", "\"", name, "\":{\"dtype\":\"U8\",\"shape\":[", bytes.size(),
                    "],\"data_offsets\":[", data.size(), ",", data.size() + bytes.size(), "]}");
    data += bytes;
  }
  json += "}";
  std::string length;
  for (int i = 0; i < 8; ++i) length += static_cast<char>(json.size() >> (8 * i));
  return length + json + data;
}

class SafetensorsFileTest : public testing::Test {
 protected:
  SafetensorsFileTest()
      : top_(fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(top_);
    fs::create_directories(top_ / "root" / "llm");
    root_ = *RootDirectory::Open((top_ / "root").string());
  }
  ~SafetensorsFileTest() override { fs::remove_all(top_); }

  void Write(const std::string& file, const std::string& bytes) {
    std::ofstream(top_ / "root" / file, std::ios::binary) << bytes;
  }
  // llm/model.safetensors.index.json of two files: a and c in the first, b in the second.
  void WriteIndexed() {
    Write("llm/model.safetensors.index.json", R"({"metadata":{},"weight_map":{"a":"1.st","b":"2.st","c":"1.st"}})");
    Write("llm/1.st", File({{"c", "cccc"}, {"a", "aa"}}));
    Write("llm/2.st", File({{"b", "bbb"}}));
  }

  absl::StatusOr<std::unique_ptr<SafetensorsSource>> Open(const std::string& path, const Limits& limits = {}) {
    return SafetensorsSource::Open(*root_, path, limits);
  }
  void ExpectRefused(const std::string& path, const std::string& reason, const std::string& why) {
    const absl::Status status = Open(path).status();
    EXPECT_EQ(GetReason(status), reason) << path;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why)) << path;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(top_.string())));
  }

  // "name=bytes" of every tensor.
  static std::vector<std::string> Content(const SafetensorsSource& source) {
    std::vector<std::string> content;
    for (const SafetensorsSource::Tensor& tensor : source.tensors()) {
      EXPECT_EQ(tensor.type.bytes(), Bytes(tensor.bytes));
      std::string bytes(static_cast<size_t>(tensor.bytes), '?');
      const absl::Status status = source.Read(tensor, 0, absl::MakeSpan(&bytes[0], bytes.size()));
      EXPECT_TRUE(status.ok()) << status;
      content.push_back(absl::StrCat(tensor.name, "=", bytes));
    }
    return content;
  }

  const fs::path top_;
  std::unique_ptr<RootDirectory> root_;
};

TEST_F(SafetensorsFileTest, OneFile) {
  Write("llm/w.safetensors", File({{"b", "bbb"}, {"a", "aa"}}));
  const auto source = Open("llm/w.safetensors");
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT(Content(**source), ElementsAre("a=aa", "b=bbb"));
  EXPECT_THAT((*source)->files(), ElementsAre("llm/w.safetensors"));
}

TEST_F(SafetensorsFileTest, AnIndexMergesItsFiles) {
  WriteIndexed();
  for (const char* path : {"llm/model.safetensors.index.json", "llm", "llm/"}) {
    const auto source = Open(path);
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_THAT(Content(**source), ElementsAre("a=aa", "b=bbb", "c=cccc"));
    EXPECT_THAT((*source)->files(), ElementsAre("llm/1.st", "llm/2.st"));
  }
}

TEST_F(SafetensorsFileTest, TheRootMayBeTheDirectory) {
  Write("model.safetensors", File({{"w", "x"}}));
  const auto source = Open(".");
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT(Content(**source), ElementsAre("w=x"));
  Write("model.safetensors.index.json", R"({"weight_map":{"w":"model.safetensors"}})");
  EXPECT_TRUE(Open("model.safetensors.index.json").ok());
}

TEST_F(SafetensorsFileTest, ADirectoryHoldsOneOfBoth) {
  ExpectRefused("llm", "SAFETENSORS_PATH", "holds neither model.safetensors nor model.safetensors.index.json");
  ExpectRefused("nothing", "SAFETENSORS_PATH", "\"nothing\" is no file *.safetensors or *.json");
  Write("weights.bin", "x");
  ExpectRefused("weights.bin", "SAFETENSORS_PATH", "is no file *.safetensors or *.json");
  EXPECT_EQ(Open("llm").status().code(), absl::StatusCode::kNotFound);
  WriteIndexed();
  Write("llm/model.safetensors", File({{"w", "x"}}));
  ExpectRefused("llm", "SAFETENSORS_PATH", "holds both model.safetensors and model.safetensors.index.json; name");
  EXPECT_EQ(Open("llm").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SafetensorsFileTest, IndexAndFilesAgree) {
  WriteIndexed();
  Write("llm/2.st", File({{"b", "bbb"}, {"d", "d"}}));
  ExpectRefused("llm", "SAFETENSORS_INDEX", "llm/2.st: tensor \"d\" is in the file, but the index does not place it");
  Write("llm/2.st", File({{"a", "aa"}, {"b", "bbb"}}));
  ExpectRefused("llm", "SAFETENSORS_INDEX", "llm/2.st: tensor \"a\" is in the file");
  Write("llm/2.st", File({{"e", "bbb"}}));
  ExpectRefused("llm", "SAFETENSORS_INDEX", "llm/2.st: tensor \"b\" is missing, but the index places it there");
  Write("llm/2.st", File({}));
  ExpectRefused("llm", "SAFETENSORS_INDEX", "llm/2.st: tensor \"b\" is missing");
  fs::remove(top_ / "root" / "llm" / "2.st");
  ExpectRefused("llm", "FILE_MISSING", "llm/2.st does not exist");
  Write("llm/model.safetensors.index.json", R"({"weight_map":{"a":"../secret"}})");
  ExpectRefused("llm", "SAFETENSORS_INDEX", "llm/model.safetensors.index.json: safetensors index: tensor \"a\"");
}

TEST_F(SafetensorsFileTest, HostileFilesAreRefusedByName) {
  const std::string good = File({{"w", "wwww"}});
  for (size_t size = 0; size < good.size(); ++size) {
    Write("w.safetensors", good.substr(0, size));
    ExpectRefused("w.safetensors", "SAFETENSORS_HEADER", "w.safetensors: safetensors header: ");
  }
  Write("w.safetensors", good + "x");
  ExpectRefused("w.safetensors", "SAFETENSORS_HEADER", "the tensors end at 4, but the file has 5 bytes of data");
  Write("w.safetensors", std::string("\0\0\0\0\0\0\0\x10{}", 10));
  ExpectRefused("w.safetensors", "SAFETENSORS_HEADER", "its length is 1152921504606846976 bytes: at most 2");
  Write("w.json", "{");
  ExpectRefused("w.json", "SAFETENSORS_INDEX", "w.json: safetensors index: not JSON");
  fs::resize_file(top_ / "root" / "w.json", 200'000'000);
  ExpectRefused("w.json", "SAFETENSORS_INDEX", "100000001 bytes: at most 100000000");
}

TEST_F(SafetensorsFileTest, OnlyRegularFilesBeneathTheRoot) {
  std::ofstream(top_ / "secret.safetensors", std::ios::binary) << File({{"w", "x"}});
  const fs::path root = top_ / "root";
  fs::create_symlink(top_ / "secret.safetensors", root / "link.safetensors");
  fs::create_directory(root / "directory.safetensors");
  ASSERT_EQ(mkfifo((root / "pipe.safetensors").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((root / "pipe.json").c_str(), 0600), 0);
  fs::create_directory(root / "linked");
  fs::create_symlink(top_ / "secret.safetensors", root / "linked" / "model.safetensors");
  ExpectRefused("link.safetensors", "FILE_UNREADABLE", "symbolic link");
  ExpectRefused("linked", "FILE_UNREADABLE", "linked/model.safetensors is, or lies behind, a symbolic link");
  ExpectRefused("directory.safetensors", "FILE_UNREADABLE", "is not a regular file");
  ExpectRefused("pipe.safetensors", "FILE_UNREADABLE", "is not a regular file");
  ExpectRefused("pipe.json", "FILE_UNREADABLE", "is not a regular file");
  ExpectRefused("missing.safetensors", "FILE_MISSING", "missing.safetensors does not exist");
  for (const char* path :
       {"../secret.safetensors", "llm/../../secret.safetensors", "/secret.safetensors", "..", "", "/", "llm//w.json"}) {
    ExpectRefused(path, "FILE_PATH", "is no path of a file");
  }
}

TEST_F(SafetensorsFileTest, ReadsPiecesWithinTheTensor) {
  Write("w.safetensors", File({{"v", "v"}, {"w", "0123456789"}, {"x", "x"}}));
  const auto source = Open("w.safetensors");
  ASSERT_TRUE(source.ok()) << source.status();
  const SafetensorsSource::Tensor& w = (*source)->tensors()[1];
  const auto read = [&](int64_t offset, size_t size) -> std::string {
    std::string bytes(size, '?');
    const absl::Status status = (*source)->Read(w, offset, absl::MakeSpan(&bytes[0], size));
    return status.ok() ? bytes : absl::StatusCodeToString(status.code());
  };
  EXPECT_EQ(read(0, 10), "0123456789");
  EXPECT_EQ(read(3, 4), "3456");
  EXPECT_EQ(read(10, 0), "");
  EXPECT_EQ(read(0, 11), "OUT_OF_RANGE");
  EXPECT_EQ(read(10, 1), "OUT_OF_RANGE");
  EXPECT_EQ(read(11, 0), "OUT_OF_RANGE");
  EXPECT_EQ(read(-1, 1), "OUT_OF_RANGE");
  EXPECT_EQ(read(std::numeric_limits<int64_t>::max(), 1), "OUT_OF_RANGE");
}

TEST_F(SafetensorsFileTest, AFileThatHasShrunkIsAnError) {
  Write("w.safetensors", File({{"w", "0123456789"}}));
  const auto source = Open("w.safetensors");
  ASSERT_TRUE(source.ok()) << source.status();
  const SafetensorsSource::Tensor& w = (*source)->tensors()[0];
  fs::resize_file(top_ / "root" / "w.safetensors", static_cast<uintmax_t>(w.offset) + 4);
  std::string bytes(10, '?');
  const absl::Status status = (*source)->Read(w, 0, absl::MakeSpan(&bytes[0], bytes.size()));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetReason(status), "FILE_CHANGED");
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("w.safetensors ends at byte ", w.offset + 4)));
  EXPECT_TRUE((*source)->Read(w, 0, absl::MakeSpan(&bytes[0], 4)).ok());
}

TEST_F(SafetensorsFileTest, AFileThatIsReplacedStaysAsItWasOpened) {
  Write("w.safetensors", File({{"w", "old"}}));
  const auto source = Open("w.safetensors");
  ASSERT_TRUE(source.ok()) << source.status();
  Write("new", File({{"w", "new"}}));
  fs::rename(top_ / "root" / "new", top_ / "root" / "w.safetensors");
  EXPECT_THAT(Content(**source), ElementsAre("w=old"));
  EXPECT_THAT(Content(**Open("w.safetensors")), ElementsAre("w=new"));
}

TEST_F(SafetensorsFileTest, TensorsAreCountedOverAllFiles) {
  WriteIndexed();
  Limits limits;
  limits.max_tensors = 3;
  EXPECT_TRUE(Open("llm", limits).ok());
  limits.max_tensors = 2;
  EXPECT_THAT(std::string(Open("llm", limits).status().message()), HasSubstr("more than 2 tensors"));
}

}  // namespace
}  // namespace bwrt::runtime
