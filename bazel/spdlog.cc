// The compiled halves of spdlog 1.10 and fmt 9.1, from the *-inl.h files that Debian installs. The
// instantiations are those that their headers leave to a library.
#include <fmt/format-inl.h>
#include <spdlog/async.h>
#include <spdlog/async_logger-inl.h>
#include <spdlog/common-inl.h>
#include <spdlog/details/backtracer-inl.h>
#include <spdlog/details/file_helper-inl.h>
#include <spdlog/details/log_msg-inl.h>
#include <spdlog/details/log_msg_buffer-inl.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/details/os-inl.h>
#include <spdlog/details/periodic_worker-inl.h>
#include <spdlog/details/registry-inl.h>
#include <spdlog/details/thread_pool-inl.h>
#include <spdlog/logger-inl.h>
#include <spdlog/pattern_formatter-inl.h>
#include <spdlog/sinks/ansicolor_sink-inl.h>
#include <spdlog/sinks/base_sink-inl.h>
#include <spdlog/sinks/basic_file_sink-inl.h>
#include <spdlog/sinks/sink-inl.h>
#include <spdlog/sinks/stdout_color_sinks-inl.h>
#include <spdlog/sinks/stdout_sinks-inl.h>
#include <spdlog/spdlog-inl.h>

#include <locale>
#include <memory>
#include <mutex>
#include <string>

namespace fmt {
inline namespace v9 {
namespace detail {
template dragonbox::decimal_fp<float> dragonbox::to_decimal(float x) noexcept;
template dragonbox::decimal_fp<double> dragonbox::to_decimal(double x) noexcept;
template thousands_sep_result<char> thousands_sep_impl(locale_ref);
template thousands_sep_result<wchar_t> thousands_sep_impl(locale_ref);
template char decimal_point_impl(locale_ref);
template wchar_t decimal_point_impl(locale_ref);
template void buffer<char>::append(const char*, const char*);
template void vformat_to(buffer<char>&, string_view, format_args, locale_ref);
template locale_ref::locale_ref(const std::locale&);
template std::locale locale_ref::get<std::locale>() const;
}  // namespace detail
}  // namespace v9
}  // namespace fmt

namespace spdlog {
using details::console_mutex;
using details::console_nullmutex;
using details::null_mutex;

template logger::logger(std::string, sinks_init_list::iterator, sinks_init_list::iterator);
template class details::mpmc_blocking_queue<details::async_msg>;
template class sinks::base_sink<std::mutex>;
template class sinks::base_sink<null_mutex>;
template class sinks::basic_file_sink<std::mutex>;
template class sinks::basic_file_sink<null_mutex>;
template class sinks::stdout_sink_base<console_mutex>;
template class sinks::stdout_sink_base<console_nullmutex>;
template class sinks::stdout_sink<console_mutex>;
template class sinks::stdout_sink<console_nullmutex>;
template class sinks::stderr_sink<console_mutex>;
template class sinks::stderr_sink<console_nullmutex>;
template class sinks::ansicolor_sink<console_mutex>;
template class sinks::ansicolor_sink<console_nullmutex>;
template class sinks::ansicolor_stdout_sink<console_mutex>;
template class sinks::ansicolor_stdout_sink<console_nullmutex>;
template class sinks::ansicolor_stderr_sink<console_mutex>;
template class sinks::ansicolor_stderr_sink<console_nullmutex>;
template std::shared_ptr<logger> stdout_color_mt<synchronous_factory>(const std::string&, color_mode);
template std::shared_ptr<logger> stdout_color_st<synchronous_factory>(const std::string&, color_mode);
template std::shared_ptr<logger> stderr_color_mt<synchronous_factory>(const std::string&, color_mode);
template std::shared_ptr<logger> stderr_color_st<synchronous_factory>(const std::string&, color_mode);
template std::shared_ptr<logger> stdout_logger_mt<synchronous_factory>(const std::string&);
template std::shared_ptr<logger> stderr_logger_mt<synchronous_factory>(const std::string&);
}  // namespace spdlog
