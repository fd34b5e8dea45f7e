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

TEST(Progress, NothingToDoDrawsNothing) {
  std::ostringstream out;
  Progress(out, /*terminal=*/true, "x", 0).Update(0);
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace bwrt::client
