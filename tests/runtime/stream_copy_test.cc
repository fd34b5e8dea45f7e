#include "runtime/stream_copy.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <string>

namespace bwrt::runtime {
namespace {

TEST(StreamCopyTest, CopiesTheBytesAndNoOthersAtAnyAlignment) {
  constexpr size_t kSpace = 1024;
  std::string source(kSpace, '\0');
  std::mt19937 random(1);
  for (char& c : source) c = static_cast<char>(random());
  for (size_t from = 0; from < 3; ++from) {
    for (size_t to = 0; to < 130; ++to) {
      for (const size_t bytes : {0, 1, 15, 16, 63, 64, 65, 127, 128, 200, 512}) {
        std::string expected(kSpace, 'x');
        std::string target = expected;
        expected.replace(to, bytes, source, from, bytes);
        StreamCopy(target.data() + to, source.data() + from, bytes);
        ASSERT_EQ(target, expected) << from << " to " << to << ", " << bytes << " bytes";
      }
    }
  }
}

}  // namespace
}  // namespace bwrt::runtime
