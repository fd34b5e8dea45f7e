// Both readers, by the same tests.

#include "runtime/page_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <vector>

#include "runtime/mutex.h"
#include "runtime/thread_page_reader.h"
#include "runtime/uring_page_reader.h"

namespace bwrt::runtime {
namespace {

struct Kind {
  const char* name;
  std::function<std::unique_ptr<PageReader>()> make;
};

class PageReaderTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    reader_ = GetParam().make();
    // The kernel may refuse io_uring; MakePageReader then takes threads, which the other instance tests.
    if (reader_ == nullptr) GTEST_SKIP() << "no io_uring here";
    path_ = std::filesystem::path(testing::TempDir()) / "page_reader_test.bin";
    std::ofstream out(path_, std::ios::binary);
    for (int i = 0; i < 1000; ++i) out.put(static_cast<char>(i % 251));
    out.close();
    file_ = std::make_shared<FileHandle>(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  }
  void TearDown() override {
    reader_.reset();
    std::filesystem::remove(path_);
  }

  // Reads and waits.
  int64_t Read(int64_t offset, std::vector<std::byte>& buffer) {
    Mutex mu;
    CondVar changed;
    bool done = false;
    int64_t result = 0;
    reader_->Read(file_, offset, buffer.data(), buffer.size(), [&](int64_t r) {
      MutexLock lock(mu);
      result = r;
      done = true;
      changed.NotifyAll();
    });
    MutexLock lock(mu);
    while (!done) changed.Wait(mu);
    return result;
  }

  std::filesystem::path path_;
  std::shared_ptr<const FileHandle> file_;
  std::unique_ptr<PageReader> reader_;
};

TEST_P(PageReaderTest, ReadsAnyPieceOfAFile) {
  std::vector<std::byte> buffer(100);
  ASSERT_EQ(Read(300, buffer), 100);
  for (size_t i = 0; i < buffer.size(); ++i) ASSERT_EQ(buffer[i], std::byte((300 + i) % 251));
}

TEST_P(PageReaderTest, IsShortOnlyAtTheEnd) {
  std::vector<std::byte> buffer(100);
  EXPECT_EQ(Read(950, buffer), 50);
  EXPECT_EQ(Read(1000, buffer), 0);
  EXPECT_EQ(Read(5000, buffer), 0);
}

TEST_P(PageReaderTest, ReportsErrorsAsErrno) {
  file_ = std::make_shared<FileHandle>(open(std::filesystem::temp_directory_path().c_str(), O_RDONLY | O_CLOEXEC));
  std::vector<std::byte> buffer(100);
  EXPECT_EQ(Read(0, buffer), -EISDIR);
}

TEST_P(PageReaderTest, KeepsTheFileOpenWhileItReads) {
  std::vector<std::byte> buffer(100);
  std::weak_ptr<const FileHandle> weak = file_;
  file_ = nullptr;
  EXPECT_TRUE(weak.expired());
  file_ = std::make_shared<FileHandle>(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  weak = file_;
  std::atomic<int> left{1};
  reader_->Read(std::exchange(file_, nullptr), 0, buffer.data(), buffer.size(), [&](int64_t result) {
    EXPECT_EQ(result, 100);
    left.fetch_sub(1);
  });
  reader_.reset();  // Finishes and reports what has begun.
  EXPECT_EQ(left.load(), 0);
  EXPECT_TRUE(weak.expired());
}

TEST_P(PageReaderTest, FinishesManyReadsFromManyThreadsBeforeItIsDestroyed) {
  constexpr int kThreads = 4;
  constexpr int kReads = 500;  // More than the ring's entries.
  std::atomic<int> good{0};
  std::vector<std::vector<std::byte>> buffers(size_t{kThreads} * kReads, std::vector<std::byte>(10));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kReads; ++i) {
        std::vector<std::byte>& buffer = buffers[static_cast<size_t>(t) * kReads + static_cast<size_t>(i)];
        const int64_t offset = (t * kReads + i) % 990;
        reader_->Read(file_, offset, buffer.data(), buffer.size(), [&buffer, offset, &good](int64_t result) {
          if (result == 10 && buffer[9] == std::byte((offset + 9) % 251)) good.fetch_add(1);
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  reader_.reset();
  EXPECT_EQ(good.load(), kThreads * kReads);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PageReaderTest,
                         testing::Values(Kind{"threads", [] { return std::make_unique<ThreadPageReader>(); }},
                                         Kind{"io_uring",
                                              [] { return std::unique_ptr<PageReader>(UringPageReader::Create()); }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace bwrt::runtime
