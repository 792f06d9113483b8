// pmshelfd: reads the configuration once, starts the daemon, waits for signals, ends it in order.
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <thread>
#include <utility>

#include "common/base/clock.h"
#include "common/base/logging.h"
#include "server/app/background.h"
#include "server/app/daemon.h"
#include "server/app/folders.h"
#include "server/app/options.h"
#include "server/app/private_daemon.h"
#include "server/app/version.h"
#include "server/dataplane/mutant.h"
#include "server/store/mutant.h"

namespace pmshelf::app {
namespace {

constexpr long kDrainPollNs = 50'000'000;

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  return set;
}

// The next signal for us; 0 when none came in time.
int wait_for_signal(long nanoseconds) {
  const sigset_t set = handled_signals();
  const timespec timeout{nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
  const int number = ::sigtimedwait(&set, nullptr, &timeout);
  return number > 0 ? number : 0;
}

int complain(int status, const std::string& message) {
  std::fprintf(stderr, "pmshelfd: %s\n", message.c_str());
  return status;
}

// The file that is named, or the default one if it is there, or only defaults.
Result<Config> read_config(const Options& options, const Environment& environment) {
  std::string file = options.config_file;
  if (file.empty()) {
    file = default_config_file(environment);
    if (::access(file.c_str(), F_OK) != 0) file.clear();
  }
  Config config;
  if (!file.empty()) {
    PMSHELF_TRY_ASSIGN(config, load_config(file));
  }
  fill_defaults(config, environment);
  return config;
}

// After SIGTERM or SIGINT. A second one ends the process at once: what was acknowledged is durable.
int end(Daemon& daemon) {
  ::sd_notify(0, "STOPPING=1");
  std::atomic<bool> done{false};
  Status result;
  std::thread drain([&] {
    result = daemon.drain();
    done = true;
  });
  while (!done) {
    const int number = wait_for_signal(kDrainPollNs);
    if (number == SIGTERM || number == SIGINT) {
      spdlog::warn("second signal: ending at once; the stores will be recovered at the next start");
      std::_Exit(kExitFailure);
    }
  }
  drain.join();
  if (result.ok()) {
    spdlog::info("ended");
    return 0;
  }
  spdlog::error("ended with trouble: {}", result.error().message());
  return kExitFailure;
}

void reload(Daemon& daemon, const Options& options, const Environment& environment) {
  ::sd_notify(0, "RELOADING=1");
  Result<Config> fresh = read_config(options, environment);
  Status good = fresh.ok() ? check_config(*fresh) : Status(fresh.error());
  if (good.ok()) {
    daemon.reload(*fresh);
  } else {
    spdlog::error("reload: nothing is changed: {}", good.error().message());
  }
  ::sd_notify(0, "READY=1");
}

// Until it is time to end.
void serve(Daemon& daemon, const Options& options, const Environment& environment) {
  const SystemClock clock;
  const bool is_private = !options.private_dir.empty();
  IdleWatch idle(options.idle_exit_ms, clock.boot_ms());
  uint64_t next_tick_ms = clock.boot_ms() + kTickMs;
  while (true) {
    const uint64_t now_ms = clock.boot_ms();
    if (now_ms < next_tick_ms) {
      const int number = wait_for_signal(static_cast<long>(next_tick_ms - now_ms) * 1'000'000);
      if (number == SIGTERM || number == SIGINT) return;
      if (number == SIGHUP && !is_private) reload(daemon, options, environment);
      continue;
    }
    next_tick_ms = now_ms + kTickMs;
    if (daemon.tick()) {
      ::sd_notify(0, "WATCHDOG=1");
    } else {
      spdlog::error("a data thread does not move");
    }
    if (is_private && idle.check(daemon.busy(), daemon.sessions_opened(), now_ms)) {
      return spdlog::info("nobody needs this private daemon any more");
    }
  }
}

int run(const Options& options, const Config& config, const Environment& environment,
        ReadyReport* report) {
  const auto fail = [&](int status, const std::string& message) {
    spdlog::error("{}", message);
    if (report != nullptr) report->failed(status, message);
    return status;
  };
  if (Status good = check_config(config); !good.ok()) {
    return fail(kExitUsage, good.error().message());
  }
  spdlog::info("pmshelfd {} starts, pid {}", PMSHELF_VERSION, ::getpid());
  DaemonMode mode;
  mode.private_daemon = report != nullptr;
  mode.mirror_seed = options.mirror_seed;
  Result<std::unique_ptr<Daemon>> daemon = Daemon::start(config, mode);
  if (!daemon.ok()) {
    const bool served = report != nullptr && daemon.code() == Code::kBusy;
    return fail(served ? kExitAlreadyServed : kExitFailure, daemon.error().message());
  }
  if (report != nullptr) report->ready((*daemon)->data_socket());
  ::sd_notify(0, ("READY=1\nSTATUS=" + (*daemon)->summary()).c_str());
  serve(**daemon, options, environment);
  return end(**daemon);
}

int run_private(Options options, const Environment& environment) {
  std::unique_ptr<char, decltype(&std::free)> path(::realpath(options.private_dir.c_str(), nullptr),
                                                   &std::free);
  if (path) options.private_dir = path.get();
  const Result<Config> config = private_config(options.private_dir, environment);
  ReadyReport report = go_to_background(options.ready_fd);
  Status ready =
      config.ok() ? make_runtime_folder(config->runtime_dir, 0700) : Status(config.error());
  if (ready.ok()) ready = set_up_logging(config->log);
  if (!ready.ok()) {
    report.failed(kExitUsage, ready.error().message());
    return kExitUsage;
  }
  return run(options, *config, environment, &report);
}

int run_service(const Options& options, const Environment& environment) {
  const Result<Config> config = read_config(options, environment);
  if (!config.ok()) return complain(kExitUsage, config.error().message());
  if (options.print_config) {
    std::fputs(print_config(*config).c_str(), stdout);
    return 0;
  }
  if (options.check_config) {
    if (Status good = check_config(*config); !good.ok()) {
      return complain(kExitUsage, good.error().message());
    }
    const std::string source = config->file.empty() ? "the defaults" : "'" + config->file + "'";
    std::printf("pmshelfd: %s: the configuration is good\n", source.c_str());
    return 0;
  }
  if (Status logging = set_up_logging(config->log); !logging.ok()) {
    return complain(kExitUsage, "[log] " + logging.error().message());
  }
  return run(options, *config, environment, nullptr);
}

// False when there is no such seeded bug.
bool set_mutant([[maybe_unused]] const std::string& wanted) {
#ifdef PMSHELF_TEST_HOOKS
  for (const auto& [which, name] : store::kMutants) {
    if (name == wanted) store::active_mutant = which;
  }
  for (const auto& [which, name] : dataplane::kMutants) {
    if (name == wanted) dataplane::active_mutant = which;
  }
  return store::active_mutant != store::Mutant::kNone ||
         dataplane::active_mutant != dataplane::Mutant::kNone;
#else
  return false;
#endif
}

int pmshelfd(int argc, char** argv) {
  const Parsed parsed = parse_command_line(argc, argv);
  if (parsed.exit_status) return *parsed.exit_status;
  const std::string& wanted = parsed.options.mutant;
  if (!wanted.empty() && !set_mutant(wanted)) {
    return complain(kExitUsage, "--mutant: no seeded bug is called '" + wanted + "'");
  }
  const sigset_t set = handled_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  ::umask(0077);
  const Environment environment = Environment::current();
  if (!parsed.options.private_dir.empty()) return run_private(parsed.options, environment);
  return run_service(parsed.options, environment);
}

}  // namespace
}  // namespace pmshelf::app

int main(int argc, char** argv) { return pmshelf::app::pmshelfd(argc, argv); }
