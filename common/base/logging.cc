#include "common/base/logging.h"

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "common/base/clock.h"
#include "common/base/unique_fd.h"

namespace pmshelf {
namespace {

constexpr uint64_t kTroubleReportEveryMs = 60'000;  // on standard error, when lines get lost

std::string_view level_text(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return "trace";
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::info:
      return "info";
    case spdlog::level::warn:
      return "warn";
    default:
      return "error";
  }
}

// "2026-11-20T08:37:21.123Z"
std::string utc_time(spdlog::log_clock::time_point time) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
  const std::time_t seconds = static_cast<std::time_t>(ms.count() / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> date{};
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%s.%03dZ", date.data(),
                static_cast<int>(ms.count() % 1000));
  return text.data();
}

std::string text_line(const spdlog::details::log_msg& message) {
  std::string line = utc_time(message.time);
  line += ' ';
  line += level_text(message.level);
  line.append(line.size() < 31 ? 31 - line.size() : 1, ' ');
  for (const char letter : std::string_view(message.payload.data(), message.payload.size())) {
    line += letter == '\n' || letter == '\r' ? ' ' : letter;  // one event, one line
  }
  return line;
}

std::string json_line(const spdlog::details::log_msg& message) {
  std::string line = R"({"time":")" + utc_time(message.time) + R"(","level":")";
  line += level_text(message.level);
  line += R"(","thread":)" + std::to_string(message.thread_id) + R"(,"message":")";
  line += json_escape({message.payload.data(), message.payload.size()});
  line += R"("})";
  return line;
}

// Writes whole lines to standard error or a file. One per process, never destroyed while threads
// run; options change under its mutex. A line that cannot be written is dropped and counted: a full
// disk must not stop the daemon. The count goes to standard error, at most once a minute.
class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  // An empty `file` is standard error.
  void reconfigure(UniqueFd file, bool json) {
    std::lock_guard lock(mutex_);
    file_ = std::move(file);
    json_ = json;
    broken_line_ = false;
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string line = json_ ? json_line(message) : text_line(message);
    line += '\n';
    if (broken_line_) line.insert(line.begin(), '\n');  // end what a full disk cut off
    if (write_all(line)) {
      broken_line_ = false;
    } else {
      report_loss(errno);
    }
  }
  void flush_() override {}  // nothing is buffered

 private:
  bool write_all(std::string_view line) {
    const int fd = file_ ? file_.get() : STDERR_FILENO;
    while (!line.empty()) {
      const ssize_t count = ::write(fd, line.data(), line.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return false;
      line.remove_prefix(static_cast<size_t>(count));
      broken_line_ = true;
    }
    return true;
  }

  void report_loss(int error) {
    ++lost_lines_;
    const uint64_t now_ms = SystemClock().boot_ms();
    if (last_report_ms_ && now_ms - *last_report_ms_ < kTroubleReportEveryMs) return;
    last_report_ms_ = now_ms;
    std::array<char, 160> text{};
    std::snprintf(text.data(), text.size(),
                  "pmshelf: %llu log lines lost so far: %s; make room or change [log] file\n",
                  static_cast<unsigned long long>(lost_lines_), std::strerror(error));
    // Standard error may be broken too; then nobody can be told.
    [[maybe_unused]] const ssize_t ignored =
        ::write(STDERR_FILENO, text.data(), strlen(text.data()));
  }

  UniqueFd file_;
  bool json_ = false;
  bool broken_line_ = false;  // the last line was written in part
  uint64_t lost_lines_ = 0;
  std::optional<uint64_t> last_report_ms_;
};

Result<spdlog::level::level_enum> parse_level(const std::string& level) {
  constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 6> kLevels = {
      {{"trace", spdlog::level::trace},
       {"debug", spdlog::level::debug},
       {"info", spdlog::level::info},
       {"warn", spdlog::level::warn},
       {"error", spdlog::level::err},
       {"off", spdlog::level::off}}};
  for (const auto& [name, value] : kLevels) {
    if (name == level) return value;
  }
  return Error(Code::kInvalidArgument,
               "level '" + level + "' is not one of trace, debug, info, warn, error, off");
}

}  // namespace

Status set_up_logging(const LogOptions& options) {
  PMSHELF_TRY_ASSIGN(const spdlog::level::level_enum level, parse_level(options.level));
  if (options.format != "text" && options.format != "json") {
    return Error(Code::kInvalidArgument, "format '" + options.format + "' is not text or json");
  }
  UniqueFd file;
  if (!options.file.empty()) {
    file.reset(::open(options.file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    if (!file) {
      return Error(Code::kIo, "log file '" + options.file + "': " + std::strerror(errno));
    }
  }
  // spdlog hands out its default logger as a bare pointer, so it is replaced once, before threads.
  static const std::shared_ptr<LineSink> sink = [] {
    auto made = std::make_shared<LineSink>();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("", made));
    return made;
  }();
  sink->reconfigure(std::move(file), options.format == "json");
  spdlog::set_level(level);
  return {};
}

}  // namespace pmshelf
