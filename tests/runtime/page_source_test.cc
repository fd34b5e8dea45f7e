#include "runtime/page_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A segment tree <root>/M/V.
class PageSourceTest : public testing::Test {
 protected:
  PageSourceTest()
      : root_(fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "M" / "V");
  }
  ~PageSourceTest() override { fs::remove_all(root_); }

  void Write(const std::string& file, size_t bytes) {
    std::ofstream(root_ / "M" / "V" / file, std::ios::binary) << std::string(bytes, 'x');
  }
  std::unique_ptr<PageSource> Source() {
    auto source = PageSource::Create({root_.string(), "M", "V", 100});
    EXPECT_TRUE(source.ok()) << source.status();
    return *std::move(source);
  }
  const fs::path root_;
};

TEST_F(PageSourceTest, OpensASegmentAndKnowsItsSize) {
  Write("layer_6.seg", 250);
  const auto segment = Source()->Open(6);
  ASSERT_TRUE(segment.ok()) << segment.status();
  EXPECT_EQ(segment->bytes, 250);
  EXPECT_EQ(segment->name, "M/V/layer_6.seg");
}

TEST_F(PageSourceTest, PastTheEndNamesFilePageAndSizes) {
  Write("layer_6.seg", 250);
  const auto source = Source();
  const absl::Status status = source->PastEnd(*source->Open(6), 2);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(GetReason(status), "PAGE_PAST_END");
  EXPECT_THAT(std::string(status.message()), HasSubstr("M/V/layer_6.seg: page 2 is past the end: the file has 250 "
                                                       "bytes, which is 2 whole pages of 100"));
}

TEST_F(PageSourceTest, MissingFileDirectoryAndPipeAreRefusedWithoutTheRootsPath) {
  fs::create_directory(root_ / "M" / "V" / "layer_8.seg");
  const auto source = Source();
  const absl::Status missing = source->Open(7).status();
  EXPECT_EQ(GetReason(missing), "PAGE_FILE_MISSING");
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  const absl::Status directory = source->Open(8).status();
  EXPECT_EQ(GetReason(directory), "PAGE_FILE_UNREADABLE");
  for (const absl::Status& status : {missing, directory}) {
    EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr(root_.string())));
  }
}

TEST_F(PageSourceTest, NoSymbolicLinkLeadsOutOfTheRoot) {
  const fs::path outside = fs::path(testing::TempDir()) / "outside.seg";
  std::ofstream(outside) << std::string(1000, 'o');
  fs::create_symlink(outside, root_ / "M" / "V" / "layer_1.seg");
  EXPECT_EQ(GetReason(Source()->Open(1).status()), "PAGE_FILE_UNREADABLE");
  fs::remove(outside);
}

TEST_F(PageSourceTest, MissingRootIsTheOperatorsError) {
  EXPECT_EQ(PageSource::Create({"/no/such/root", "M", "V", 100}).status().code(), absl::StatusCode::kNotFound);
}

TEST(ParsePageSource, TakesAllFourParts) {
  const auto options = ParsePageSource("root=/data,model_id=m-1,model_version=v2,page_bytes=4096");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->root, "/data");
  EXPECT_EQ(options->model_id, "m-1");
  EXPECT_EQ(options->model_version, "v2");
  EXPECT_EQ(options->page_bytes, 4096);
}

TEST(ParsePageSource, RefusesWhatIsWrongAndSaysHow) {
  for (const char* text :
       {"", "root=/d", "root=/d,model_id=m,model_version=v", "root=/d,model_id=m,model_version=v,page_bytes=0",
        "root=/d,model_id=m,model_version=v,page_bytes=-1", "root=/d,model_id=m,model_version=v,page_bytes=x",
        "root=/d,model_id=../m,model_version=v,page_bytes=1", "root=/d,model_id=m,model_version=..,page_bytes=1",
        "root=/d,model_id=a/b,model_version=v,page_bytes=1", "root=/d,model_id=,model_version=v,page_bytes=1",
        "root=/d,model_id=m,model_version=v,page_bytes=1,color=red"}) {
    const auto options = ParsePageSource(text);
    ASSERT_FALSE(options.ok()) << text;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr("write root=DIR,model_id=M")) << text;
  }
}

TEST(LayerNumber, IsDigitsBelow2To31) {
  EXPECT_EQ(LayerNumber("0"), 0);
  EXPECT_EQ(LayerNumber("2147483647"), 2147483647);
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "x", "../1", "1/2", "2147483648", "99999999999999999999"}) {
    EXPECT_EQ(LayerNumber(text), -1) << text;
  }
}

}  // namespace
}  // namespace bwrt::runtime
