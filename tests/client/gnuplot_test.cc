#include "client/gnuplot.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "client/file.h"

namespace bwrt::client {
namespace {

// Stands for gnuplot.
std::string Program(const std::string& name, absl::string_view text) {
  std::string path = testing::TempDir() + name;
  EXPECT_TRUE(WriteFile(path, text).ok());
  EXPECT_EQ(chmod(path.c_str(), 0755), 0);
  return path;
}

TEST(Gnuplot, GetsTheScriptAndItsOutputComesBack) {
  const std::string program = Program("echoes", "#!/bin/sh\necho \"$@\"\ncat\n");
  const auto output = RunGnuplot("plot x\n", {.program = program});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(*output, "-d -\nplot x\n");
}

// Neither a long script nor a long output blocks.
TEST(Gnuplot, MovesMuchMoreThanAPipeHolds) {
  const std::string script(size_t{4} << 20, 'x');
  const auto output = RunGnuplot(script, {.program = Program("copies", "#!/bin/sh\nexec cat\n")});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(*output, script);
}

// A program that never reads its input is no broken pipe either.
TEST(Gnuplot, WhatItSaysIsPartOfTheError) {
  const auto failed = RunGnuplot("x", {.program = Program("fails", "#!/bin/sh\necho line 3: no >&2\nexit 1\n")});
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(absl::StrContains(failed.status().message(), "line 3: no")) << failed.status();
  const auto silent = RunGnuplot("x", {.program = Program("draws-nothing", "#!/bin/sh\n")});
  EXPECT_EQ(silent.status().code(), absl::StatusCode::kInternal);
  const auto killed = RunGnuplot("x", {.program = Program("dies", "#!/bin/sh\necho y\nkill -9 $$\n")});
  EXPECT_EQ(killed.status().code(), absl::StatusCode::kInternal);
  const auto endless = RunGnuplot("x", {.program = Program("talks", "#!/bin/sh\nyes | head -c 100000 >&2\nexit 1\n")});
  EXPECT_LT(endless.status().message().size(), 1000u);
}

TEST(Gnuplot, AMissingOneNamesThePackage) {
  for (const std::string program : {"bwrt-no-such-gnuplot", "/nonexistent/gnuplot"}) {
    const auto output = RunGnuplot("x", {.program = program});
    EXPECT_EQ(output.status().code(), absl::StatusCode::kNotFound) << output.status();
    EXPECT_TRUE(absl::StrContains(output.status().message(), "gnuplot-nox")) << output.status();
  }
}

TEST(Gnuplot, OneThatHangsIsEnded) {
  const auto output =
      RunGnuplot("x", {.program = Program("hangs", "#!/bin/sh\nexec sleep 600\n"), .patience = absl::Milliseconds(50)});
  EXPECT_EQ(output.status().code(), absl::StatusCode::kDeadlineExceeded) << output.status();
}

}  // namespace
}  // namespace bwrt::client
