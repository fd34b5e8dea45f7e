// BWRT_FUZZ_CHECK: ends the process when something that must hold for every input does not, which is how a fuzz
// target tells libFuzzer that it has found one.
#ifndef BWRT_TESTS_FUZZ_CHECK_H_
#define BWRT_TESTS_FUZZ_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define BWRT_FUZZ_CHECK(condition)                                                        \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

#endif  // BWRT_TESTS_FUZZ_CHECK_H_
