// The `pmshelf` tool: understand the line, run what it asks for, say how it went.
#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <exception>

#include "client/cli/command_line.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"

namespace pmshelf::cli {
namespace {

int run(const Chosen& chosen, Context& context) {
  const Result<int> result = chosen.action(context);
  if (result.ok()) return *result;
  if (Interrupt::signal_number() != 0) {
    context.warn(chosen.name + ": interrupted; nothing was stored");
    Interrupt::resume();
  }
  context.flush();  // what was printed comes before the error on a shared terminal
  std::fputs(error_report(chosen.name, result.error()).c_str(), stderr);
  return exit_code(result.code());
}

int run_main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");
  std::signal(SIGPIPE, SIG_IGN);
  CommandLine line;
  if (const auto stop =
          line.parse(std::vector<std::string>(argv + std::min(argc, 1), argv + argc))) {
    Context context(line.globals());
    if (stop->exit_code == kExitOk) {
      context.print(stop->text);
    } else {
      std::fputs(stop->text.c_str(), stderr);
    }
    return context.finish(stop->exit_code);
  }
  Context context(line.globals());
  return context.finish(run(line.chosen(), context));
}

}  // namespace
}  // namespace pmshelf::cli

int main(int argc, char** argv) {
  try {
    return pmshelf::cli::run_main(argc, argv);
  } catch (const std::exception& failure) {  // out of memory, above all
    std::fprintf(stderr, "pmshelf: %s\n", failure.what());
    return pmshelf::cli::kExitFailed;
  }
}
