// StreamCopy: copies bytes that the copying thread will not read again soon.
#ifndef BWRT_RUNTIME_STREAM_COPY_H_
#define BWRT_RUNTIME_STREAM_COPY_H_

#include <cstddef>

namespace bwrt::runtime {

// As memcpy, but writes past the caches: lines of `to` are not read first, and what waves keep in the caches stays
// there.
void StreamCopy(char* to, const char* from, size_t bytes);

}  // namespace bwrt::runtime

#endif  // BWRT_RUNTIME_STREAM_COPY_H_
