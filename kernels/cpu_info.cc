#include "kernels/cpu_info.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>
#include <vector>

namespace bwrt::kernels {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

// The first line of a small file, without surrounding blanks; empty where it cannot be read.
std::string FirstLine(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return std::string(Trim(line));
}

// "1024K" or "2M", as sysfs writes cache sizes, in bytes; 0 for anything else.
int64_t ParseSize(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0 || value > (int64_t{1} << 40)) return 0;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (unit.empty()) return value;
  if (unit == "K") return value << 10;
  if (unit == "M") return value << 20;
  return 0;
}

// A decimal number and nothing else; nullopt for anything else.
std::optional<int> ParseNumber(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// How many processors a list such as "0-3,8" names; 1 for what is no such list.
int CountProcessors(std::string_view list) {
  constexpr int kMost = 1 << 16;
  int count = 0;
  while (!list.empty()) {
    const std::string_view range = list.substr(0, list.find(','));
    list.remove_prefix(std::min(range.size() + 1, list.size()));
    const std::size_t dash = range.find('-');
    const auto first = ParseNumber(range.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : ParseNumber(range.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= kMost) return 1;
    count += *last - *first + 1;
  }
  return std::clamp(count, 1, kMost);
}

// The caches that processor 0 reads data through.
std::vector<CpuCache> DataCaches(const std::filesystem::path& cpu0) {
  std::vector<CpuCache> caches;
  // A core has a handful of caches: index0, index1, ...; the first missing one ends the list.
  for (int i = 0; i < 16; ++i) {
    const std::filesystem::path cache = cpu0 / "cache" / ("index" + std::to_string(i));
    const std::string level = FirstLine(cache / "level");
    if (level.empty()) break;
    if (FirstLine(cache / "type") == "Instruction") continue;
    caches.push_back({.level = ParseNumber(level).value_or(0),
                      .bytes = ParseSize(FirstLine(cache / "size")),
                      .processors = CountProcessors(FirstLine(cache / "shared_cpu_list"))});
  }
  return caches;
}

// Whether the blank-separated list contains `flag`.
bool Has(std::string_view flags, std::string_view flag) {
  for (std::size_t at = flags.find(flag); at != std::string_view::npos; at = flags.find(flag, at + 1)) {
    const std::size_t end = at + flag.size();
    if ((at == 0 || flags[at - 1] == ' ') && (end == flags.size() || flags[end] == ' ')) return true;
  }
  return false;
}

std::string BestIsa(std::string_view flags) {
  if (!Has(flags, "avx2") || !Has(flags, "fma")) return "baseline";
  if (!Has(flags, "avx512f") || !Has(flags, "avx512vl")) return "avx2";
  return Has(flags, "avx512_bf16") ? "avx512_bf16" : "avx512";
}

}  // namespace

CpuInfo Probe(const std::filesystem::path& root) {
  CpuInfo info;
  info.model = "unknown";
  info.isa = "baseline";
  std::ifstream cpuinfo(root / "proc" / "cpuinfo");
  int processors = 0;
  bool have_model = false;
  bool have_flags = false;
  for (std::string line; std::getline(cpuinfo, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string_view key = Trim(std::string_view(line).substr(0, colon));
    const std::string_view value = Trim(std::string_view(line).substr(colon + 1));
    if (key == "processor") ++processors;
    if (key == "model name" && !have_model && !value.empty()) {
      info.model = std::string(value);
      have_model = true;
    }
    if (key == "flags" && !have_flags) {
      info.isa = BestIsa(value);
      have_flags = true;
    }
    // The same for all processors.
    if (key == "vendor_id") info.vendor = std::string(value);
    if (key == "cpu family") info.family = static_cast<unsigned>(ParseNumber(value).value_or(0));
    if (key == "model") info.model_number = static_cast<unsigned>(ParseNumber(value).value_or(0));
  }
  if (processors > 0) info.cores = processors;
  for (const CpuCache& cache : DataCaches(root / "sys" / "devices" / "system" / "cpu" / "cpu0")) {
    if (cache.level == 2) info.l2_bytes = cache.bytes;
    if (cache.bytes > 0 && cache.level > info.last_level.level) info.last_level = cache;
  }
  return info;
}

}  // namespace bwrt::kernels
