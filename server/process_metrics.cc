#include "server/process_metrics.h"

#include <prometheus/metric_type.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

namespace bwrt::server {
namespace {

using Families = std::vector<prometheus::MetricFamily>;

void Add(Families* to, const char* name, const char* help, prometheus::MetricType type, std::optional<double> value) {
  if (!value) return;
  prometheus::ClientMetric metric;
  (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = *value;
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.push_back(std::move(metric));
  to->push_back(std::move(family));
}

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The fields of self/stat from the third on, which is at index 0: the second, the name, may hold anything, so
// counting starts after its closing parenthesis.
std::vector<std::string> StatFields(const std::string& proc) {
  const std::string stat = Read(proc + "/self/stat");
  const size_t end = stat.rfind(')');
  if (end == std::string::npos) return {};
  std::istringstream rest(stat.substr(end + 1));
  return {std::istream_iterator<std::string>(rest), std::istream_iterator<std::string>()};
}

// The number of proc(5)'s field `number` of self/stat.
std::optional<double> StatField(const std::vector<std::string>& fields, size_t number) {
  if (fields.size() <= number - 3) return std::nullopt;
  std::istringstream text(fields[number - 3]);
  double value = 0;
  if (!(text >> value)) return std::nullopt;
  return value;
}

// Seconds since 1970 at which the machine started.
std::optional<double> BootTime(const std::string& proc) {
  std::istringstream stat(Read(proc + "/stat"));
  std::string line;
  while (std::getline(stat, line)) {
    std::istringstream words(line);
    std::string name;
    double value = 0;
    if (words >> name && name == "btime" && words >> value) return value;
  }
  return std::nullopt;
}

std::optional<double> OpenDescriptors(const std::string& proc) {
  std::error_code error;
  std::filesystem::directory_iterator entry(proc + "/self/fd", error);
  double count = 0;
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) ++count;
  if (error) return std::nullopt;
  return count;
}

std::optional<double> MaxDescriptors(const std::string& proc) {
  constexpr char kName[] = "Max open files";
  std::istringstream limits(Read(proc + "/self/limits"));
  std::string line;
  while (std::getline(limits, line)) {
    if (line.rfind(kName, 0) != 0) continue;
    std::istringstream words(line.substr(sizeof(kName) - 1));
    double soft = 0;
    if (words >> soft) return soft;  // Not so when it says "unlimited".
  }
  return std::nullopt;
}

std::optional<double> Times(std::optional<double> value, double factor) {
  if (!value) return std::nullopt;
  return *value * factor;
}

}  // namespace

ProcessMetrics::ProcessMetrics(std::string proc) : proc_(std::move(proc)) {}

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  using Type = prometheus::MetricType;
  const double tick = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
  const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
  const std::vector<std::string> stat = StatFields(proc_);
  const auto user = StatField(stat, 14);
  const auto system = StatField(stat, 15);
  const auto start = StatField(stat, 22);
  const auto boot = BootTime(proc_);

  Families families;
  Add(&families, "process_cpu_seconds_total", "User and system CPU time.", Type::Counter,
      user && system ? Times(*user + *system, tick) : std::nullopt);
  Add(&families, "process_virtual_memory_bytes", "Size of the address space.", Type::Gauge, StatField(stat, 23));
  Add(&families, "process_resident_memory_bytes", "Physical memory in use.", Type::Gauge,
      Times(StatField(stat, 24), page));
  Add(&families, "process_start_time_seconds", "When the process started, in Unix time.", Type::Gauge,
      boot && start ? std::optional<double>(*boot + *start * tick) : std::nullopt);
  Add(&families, "process_open_fds", "Open file descriptors.", Type::Gauge, OpenDescriptors(proc_));
  Add(&families, "process_max_fds", "Most file descriptors that may be open.", Type::Gauge, MaxDescriptors(proc_));
  return families;
}

}  // namespace bwrt::server
