// What this binary is.
#ifndef BWRT_SERVER_BUILD_INFO_H_
#define BWRT_SERVER_BUILD_INFO_H_

namespace bwrt::server {

inline constexpr char kVersion[] = "0.1.0";
#ifdef __clang__
inline constexpr char kCompiler[] = __VERSION__;  // Says "Clang" itself.
#else
inline constexpr char kCompiler[] = "gcc " __VERSION__;
#endif
#ifdef NDEBUG
inline constexpr char kBuildMode[] = "opt";
#else
inline constexpr char kBuildMode[] = "fastbuild";
#endif

}  // namespace bwrt::server

#endif  // BWRT_SERVER_BUILD_INFO_H_
