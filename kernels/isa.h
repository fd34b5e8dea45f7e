#ifndef BWRT_KERNELS_ISA_H_
#define BWRT_KERNELS_ISA_H_

// Which instruction set a bulk loop may use on this host.
//
// The binary is built for the x86-64 baseline. The few loops that profit from wider vectors have a
// second copy compiled under BWRT_TARGET_AVX2 and picked at run time by HasAvx2(). Function
// attributes are used rather than per-file flags, so that no inline function of the standard
// library is emitted with instructions that an older CPU lacks; and rather than `target_clones`,
// whose ifunc resolvers run before the sanitizers are ready.

#define BWRT_TARGET_AVX2 __attribute__((target("avx2,fma")))

// Loop bodies shared by both copies: they must take on the instruction set of the function that
// they are inlined into.
#define BWRT_INLINE_BODY __attribute__((always_inline)) inline

namespace bwrt::kernels {

// Thread-safe and cheap: reads a table that the C runtime filled before main().
inline bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

}  // namespace bwrt::kernels

#endif  // BWRT_KERNELS_ISA_H_
