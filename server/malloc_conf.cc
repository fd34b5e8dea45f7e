// How jemalloc, bwrtd's allocator, is set up. See jemalloc(3), TUNING and opt.*.

// Large blocks (operands, results, chunks of weights) come and go with every call. glibc either maps each anew, and
// touching them costs more than a small wave, or keeps them scattered over a heap for each thread, and the process
// grows for hours. So: keep what was freed for about a second (dirty_decay_ms), give it back from a thread of its own,
// also when the daemon is idle (background_thread), and treat blocks of 8 MiB and more the same (oversize_threshold; by
// default they are given back at once).
extern "C" {
extern const char* const malloc_conf;
const char* const malloc_conf = "background_thread:true,dirty_decay_ms:1000,oversize_threshold:0";
}
