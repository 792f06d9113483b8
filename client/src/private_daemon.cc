#include "client/src/private_daemon.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "common/base/unique_fd.h"

namespace pmshelf::client {
namespace {

constexpr const char* kProgram = "pmshelfd";
constexpr int kReadyFd = 3;           // in the daemon
constexpr int kExitOtherDaemon = 75;  // another one holds the pool
constexpr size_t kReadyLineBytesMax = 8192;
constexpr size_t kLockFileBytesMax = 8192;
constexpr size_t kErrorTextBytesMax = 2000;

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

bool is_program(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

std::string this_program() {
  std::array<char, 4096> path{};
  const ssize_t bytes = ::readlink("/proc/self/exe", path.data(), path.size());
  return bytes > 0 ? std::string(path.data(), static_cast<size_t>(bytes)) : std::string();
}

std::string this_library() {
  Dl_info info{};
  const auto* address = reinterpret_cast<const void*>(&this_library);
  return ::dladdr(address, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

std::vector<std::string> program_places(const Environment& environment) {
  std::vector<std::string> places;
  if (const std::string program = this_program(); !program.empty()) {
    places.push_back(folder_of(program));
  }
  if (const std::string library = this_library(); library.starts_with('/')) {
    places.push_back(folder_of(library));
    places.push_back(folder_of(library) + "/../bin");
  }
  for (size_t begin = 0; begin <= environment.path.size();) {
    const size_t end = std::min(environment.path.find(':', begin), environment.path.size());
    if (end > begin) places.push_back(environment.path.substr(begin, end - begin));
    begin = end + 1;
  }
  return places;
}

int milliseconds_left(Time deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1'000'000));
}

// The line that the daemon writes when it serves or has failed; without its end when the daemon
// ended silently. kDeadlineExceeded.
Result<std::string> read_ready_line(int fd, Time deadline) {
  std::string line;
  while (line.size() < kReadyLineBytesMax) {
    struct pollfd wait{fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, milliseconds_left(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      return Error(Code::kDeadlineExceeded,
                   "the private daemon was not ready within the connect time-out");
    }
    std::array<char, 512> bytes{};
    const ssize_t count = ::read(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    line.append(bytes.data(), static_cast<size_t>(count));
    if (const size_t end = line.find('\n'); end != std::string::npos) {
      line.resize(end);
      break;
    }
  }
  return line;
}

// What a process wrote to its standard error before it could report in the agreed way: a loader's
// complaint, say.
std::string text_in(int fd) {
  std::string text(kErrorTextBytesMax, '\0');
  const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

struct SpawnSetUp {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnSetUp() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  SpawnSetUp(const SpawnSetUp&) = delete;
  SpawnSetUp& operator=(const SpawnSetUp&) = delete;
  ~SpawnSetUp() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

// No descriptor, signal mask or signal handler of this process reaches the daemon.
Result<pid_t> spawn(const std::string& program, const std::string& directory, int ready_fd,
                    int error_fd) {
  SpawnSetUp set_up;
  posix_spawn_file_actions_addopen(&set_up.files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&set_up.files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&set_up.files, error_fd, 2);
  posix_spawn_file_actions_adddup2(&set_up.files, ready_fd, kReadyFd);
  posix_spawn_file_actions_addclosefrom_np(&set_up.files, kReadyFd + 1);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&set_up.attributes, &none);
  posix_spawnattr_setsigdefault(&set_up.attributes, &all);
  posix_spawnattr_setflags(&set_up.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::array<std::string, 5> words = {program, "--private", directory, "--ready-fd",
                                      std::to_string(kReadyFd)};
  std::array<char*, 6> arguments{};
  for (size_t index = 0; index < words.size(); ++index) arguments[index] = words[index].data();
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, program.c_str(), &set_up.files, &set_up.attributes,
                                   arguments.data(), environ);
  if (failed != 0) {
    return Error(Code::kUnavailable, "cannot start " + program + ": " + std::strerror(failed));
  }
  return pid;
}

struct Pipe {
  UniqueFd read_end, write_end;
};

// Numbers from 10 up, so that none is in the way of the numbers that the daemon gets.
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return Error(Code::kIo, std::string("pipe: ") + std::strerror(errno));
  }
  UniqueFd low_write(ends[1]);
  Pipe made{UniqueFd(ends[0]), UniqueFd(::fcntl(ends[1], F_DUPFD_CLOEXEC, 10))};
  if (!made.write_end) return Error(Code::kIo, std::string("dup: ") + std::strerror(errno));
  return made;
}

Result<UniqueFd> make_error_file() {
  UniqueFd low(::memfd_create("pmshelfd-stderr", MFD_CLOEXEC));
  UniqueFd high(low ? ::fcntl(low.get(), F_DUPFD_CLOEXEC, 10) : -1);
  if (!high) return Error(Code::kIo, std::string("memfd_create: ") + std::strerror(errno));
  return high;
}

// -1: unknown, because somebody else in this process has waited for it.
int exit_status_of(pid_t pid) {
  int status = 0;
  pid_t waited = 0;
  do {
    waited = ::waitpid(pid, &status, 0);
  } while (waited < 0 && errno == EINTR);
  return waited == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// The socket of the daemon started here; nothing when another daemon was faster.
Result<std::optional<std::string>> start_daemon(const std::string& program,
                                                const std::string& directory, Time deadline) {
  PMSHELF_TRY_ASSIGN(Pipe ready, make_pipe());
  PMSHELF_TRY_ASSIGN(UniqueFd error_file, make_error_file());
  PMSHELF_TRY_ASSIGN(const pid_t pid,
                     spawn(program, directory, ready.write_end.get(), error_file.get()));
  ready.write_end.reset();
  auto line = read_ready_line(ready.read_end.get(), deadline);
  if (!line.ok()) {
    // It ends by itself when nobody comes; somebody has to collect it then.
    std::thread([pid] { exit_status_of(pid); }).detach();
    return std::move(line).error();
  }
  const int exit_status = exit_status_of(pid);
  constexpr std::string_view kReady = "READY ";
  constexpr std::string_view kError = "ERROR ";
  if (line->starts_with(kReady)) return std::optional(line->substr(kReady.size()));
  if (exit_status == kExitOtherDaemon) return std::optional<std::string>();
  std::string why =
      line->starts_with(kError) ? line->substr(kError.size()) : text_in(error_file.get());
  if (why.empty()) why = "it ended with status " + std::to_string(exit_status) + " and no message";
  return Error(Code::kUnavailable, "private daemon for " + directory + ": " + why);
}

}  // namespace

Result<std::string> find_daemon_program(const std::string& daemon_path,
                                        const Environment& environment) {
  if (!daemon_path.empty()) {
    if (is_program(daemon_path)) return daemon_path;
    return Error(Code::kInvalidArgument, "option daemon_path: " + daemon_path + " is no program");
  }
  std::string tried;
  for (const std::string& place : program_places(environment)) {
    std::string program = place + "/" + kProgram;
    if (is_program(program)) return program;
    tried += tried.empty() ? place : ", " + place;
  }
  return Error(Code::kNotFound,
               "no pmshelfd in " + tried + ": install it, or name it (option daemon_path)");
}

std::string socket_in_lock_file(const std::string& directory) {
  const std::string path = directory + "/pmshelfd.lock";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return {};
  std::string text(kLockFileBytesMax, '\0');
  const ssize_t count = ::read(fd.get(), text.data(), text.size());
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  const size_t line_end = text.find('\n');
  if (line_end == std::string::npos) return {};
  std::string socket = text.substr(line_end + 1);
  socket.resize(std::min(socket.find('\n'), socket.size()));
  return socket.starts_with('/') && socket.size() <= kSocketPathBytesMax ? socket : std::string();
}

Result<std::string> find_or_start_daemon(const std::string& directory,
                                         const std::string& daemon_path,
                                         const Environment& environment, Time deadline) {
  struct stat info{};
  if (::stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return Error(Code::kInvalidArgument, "target dir:" + directory + ": no such directory");
  }
  std::string program;
  for (;;) {
    std::string socket = socket_in_lock_file(directory);
    if (!socket.empty() && socket_accepts(socket)) return socket;
    if (program.empty()) {
      PMSHELF_TRY_ASSIGN(program, find_daemon_program(daemon_path, environment));
    }
    PMSHELF_TRY_ASSIGN(std::optional<std::string> started,
                       start_daemon(program, directory, deadline));
    if (started) return *std::move(started);
    if (std::chrono::steady_clock::now() >= deadline) {
      return Error(Code::kUnavailable, "directory " + directory +
                                           " is held by a daemon that accepts no connection on '" +
                                           socket_in_lock_file(directory) + "'");
    }
    std::this_thread::sleep_for(kPrivateDaemonPoll);
  }
}

}  // namespace pmshelf::client
