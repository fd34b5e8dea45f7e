#include "client/progress.h"

#include <gtest/gtest.h>

#include <sstream>

namespace bwrt::client {
namespace {

TEST(Progress, IsSilentAwayFromATerminal) {
  std::ostringstream out;
  {
    Progress progress(out, /*terminal=*/false, "x", 2);
    progress.Update(1);
    progress.Update(2);
  }
  EXPECT_EQ(out.str(), "");
}

TEST(Progress, DrawsAndCleansUp) {
  std::ostringstream out;
  {
    Progress progress(out, /*terminal=*/true, "x", 2);
    progress.Update(1);
    progress.Update(2);
    EXPECT_EQ(out.str(), "\rx [###############...............] 1/2\rx [##############################] 2/2");
  }
  const std::string line = "x [##############################] 2/2";
  EXPECT_TRUE(out.str().ends_with("\r" + std::string(line.size(), ' ') + "\r"));
}

TEST(Progress, BytesHaveARateAndATimeLeft) {
  EXPECT_EQ(Progress::Transfer(1 << 20, 4 << 20, absl::Seconds(2)), "1.0 MiB/4.0 MiB, 512.0 KiB/s, 6s left");
  EXPECT_EQ(Progress::Transfer(1 << 20, 1 << 20, absl::Seconds(2)), "1.0 MiB/1.0 MiB, 512.0 KiB/s");
  EXPECT_EQ(Progress::Transfer(0, 1 << 20, absl::Seconds(2)), "0 B/1.0 MiB");
  EXPECT_EQ(Progress::Transfer(1, 1000, absl::Seconds(100)), "1 B/1000 B, 0 B/s, 27h45m left");
  std::ostringstream out;
  Progress(out, /*terminal=*/true, "x", 2048, Progress::Unit::kBytes).Update(1024);
  EXPECT_TRUE(out.str().starts_with("\rx [###############...............] 1.0 KiB/2.0 KiB"));
}

TEST(Progress, NothingToDoDrawsNothing) {
  std::ostringstream out;
  Progress(out, /*terminal=*/true, "x", 0).Update(0);
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace bwrt::client
