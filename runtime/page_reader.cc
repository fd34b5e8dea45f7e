#include "runtime/page_reader.h"

#include "runtime/thread_page_reader.h"
#include "runtime/uring_page_reader.h"

namespace bwrt::runtime {

std::unique_ptr<PageReader> MakePageReader() {
  if (auto uring = UringPageReader::Create()) return uring;
  return std::make_unique<ThreadPageReader>();
}

}  // namespace bwrt::runtime
