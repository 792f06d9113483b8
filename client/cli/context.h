// What every command is given: the global options, a way to the daemon, and the two outputs.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "client/cli/json.h"
#include "pmshelf/client.h"

namespace pmshelf::cli {

struct GlobalOptions {
  ConnectOptions connect;
  uint64_t timeout_ms = 30'000;
  bool json = false;
  bool yes = false;
  bool quiet = false;
};

// How long a daemon may take to answer at all: exit code 3 comes within 5 s.
inline constexpr std::chrono::milliseconds kConnectTimeout{4500};

// Standard output is for results (tables or one JSON document), standard error for everything
// else. Owner: main; one thread. Writing goes on silently after a failure of standard output, which
// finish() reports: long listings ask out_ok() to stop early.
class Context {
 public:
  explicit Context(const GlobalOptions& options) : options_(options) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const GlobalOptions& options() const { return options_; }
  // To the daemon of the global options, or to another one. Errors as Client::connect; a daemon
  // that does not answer is kUnavailable however the attempt ended.
  Result<Client> connect(const std::string& target = {}, const std::string& token_file = {}) const;

  bool json() const { return options_.json; }
  void print(std::string_view text);
  void print_document(const Json& document) { print(json_text(document)); }
  void flush();
  bool out_ok() const { return out_errno_ == 0; }
  bool out_is_terminal() const;
  // For people: a line about what was done; not with --quiet or --json.
  void note(const std::string& line);
  // The same on standard error, for commands whose standard output is data.
  void note_aside(const std::string& line) const;
  // A line on standard error that --quiet does not silence.
  void warn(const std::string& line) const;

  // Before doing what cannot be undone: kInvalidArgument where --yes is missing and nobody can be
  // asked, because standard input or standard error is no terminal.
  Status require_consent() const;
  // True with --yes, or when somebody answers "y" on the terminal; else says that nothing was done.
  // Precondition: require_consent() was ok.
  bool ask(const std::string& question) const;

  // Flushes; the exit code, or kExitFailed when standard output failed. Ends the process by SIGPIPE
  // when its reader has gone.
  int finish(int exit_code);

 private:
  const GlobalOptions& options_;
  int out_errno_ = 0;
};

}  // namespace pmshelf::cli
