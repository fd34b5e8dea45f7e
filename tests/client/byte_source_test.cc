#include "client/byte_source.h"

#include <gtest/gtest.h>

#include "client/file.h"

namespace bwrt::client {
namespace {

std::string ReadAll(const ByteSource& source, uint64_t offset, size_t count) {
  std::string bytes(count, '\0');
  EXPECT_TRUE(source.Read(offset, count, bytes.data()).ok());
  return bytes;
}

TEST(ByteSource, ReadsMemoryAndPartsOfFiles) {
  const std::string bytes = "0123456789";
  EXPECT_EQ(FromMemory(bytes)->size(), 10u);
  EXPECT_EQ(ReadAll(*FromMemory(bytes), 3, 4), "3456");
  const std::string path = testing::TempDir() + "digits.bin";
  ASSERT_TRUE(WriteFile(path, bytes).ok());
  auto source = FromFile(path, 2);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->size(), 8u);
  EXPECT_EQ(ReadAll(**source, 1, 3), "345");
  source = FromFile(path, 2, 3);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->size(), 3u);
}

TEST(ByteSource, RefusesWhatIsNotThere) {
  const std::string path = testing::TempDir() + "three.bin";
  ASSERT_TRUE(WriteFile(path, "abc").ok());
  EXPECT_EQ(FromFile(path, 4).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FromFile(path, 1, 3).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FromFile(testing::TempDir()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FromFile("no/such/file").status().code(), absl::StatusCode::kNotFound);
}

// The reference values of both algorithms.
TEST(Digest, IsWrittenAsPublishersWriteIt) {
  EXPECT_EQ(DigestOf(DigestKind::kSha256, "abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(DigestOf(DigestKind::kXxh3, ""), "xxh3:99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(DigestOf(DigestKind::kNone, "abc"), "");
}

TEST(Digest, OfASourceIsThatOfItsBytes) {
  const std::string bytes((size_t{2} << 20) + 3, 'x');
  for (const DigestKind kind : {DigestKind::kNone, DigestKind::kSha256, DigestKind::kXxh3}) {
    EXPECT_EQ(*DigestOf(kind, *FromMemory(bytes)), DigestOf(kind, bytes));
  }
}

TEST(ByteSourceTest, APartOfAnother) {
  const std::shared_ptr<const ByteSource> whole = FromMemory("0123456789");
  const auto part = PartOf(whole, 3, 5);
  EXPECT_EQ(part->size(), 5u);
  std::string bytes(2, ' ');
  ASSERT_TRUE(part->Read(1, 2, bytes.data()).ok());
  EXPECT_EQ(bytes, "45");
  EXPECT_EQ(*DigestOf(DigestKind::kXxh3, *part), DigestOf(DigestKind::kXxh3, "34567"));
}

}  // namespace
}  // namespace bwrt::client
