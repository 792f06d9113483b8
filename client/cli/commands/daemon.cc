// pmshelf status | ping | top | version
#include <algorithm>
#include <memory>
#include <thread>

#include "client/cli/commands/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/rates.h"
#include "client/cli/text.h"
#include "client/cli/views.h"

namespace pmshelf::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

struct PingArguments {
  uint64_t count = 5;
};
struct TopArguments {
  uint64_t interval_ms = 1000;
  bool once = false;
};

Result<int> status(Context& context) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const DaemonStatus status, client.status());
  const auto pools = client.list_pools();
  if (!pools && pools.code() != Code::kPermissionDenied) return pools.error();
  const std::string path(client.path());
  if (context.json()) {
    Json document = to_json(status);
    document["path"] = path;
    document["pools"] = pools ? to_json(*pools) : Json();
    context.print_document(document);
    return kExitOk;
  }
  context.print(status_facts(status, path));
  if (pools) context.print("\n" + pools_table(*pools));
  return kExitOk;
}

Result<int> ping(Context& context, const PingArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  nanoseconds least = nanoseconds::max(), most{0}, sum{0};
  for (uint64_t i = 0; i < arguments.count; ++i) {
    PMSHELF_TRY_ASSIGN(const nanoseconds trip, client.ping());
    least = std::min(least, trip);
    most = std::max(most, trip);
    sum += trip;
  }
  const auto us = [](nanoseconds duration) { return static_cast<double>(duration.count()) / 1000; };
  const double average = us(sum) / static_cast<double>(arguments.count);
  const std::string path(client.path());
  if (context.json()) {
    context.print_document(Json{{"path", path},
                                {"count", arguments.count},
                                {"min_us", us(least)},
                                {"avg_us", average},
                                {"max_us", us(most)}});
    return kExitOk;
  }
  char numbers[96];
  std::snprintf(numbers, sizeof numbers, "min %.1f us, avg %.1f us, max %.1f us", us(least),
                average, us(most));
  context.print(counted(arguments.count, "round trip") + " over " + path + ": " + numbers + "\n");
  return kExitOk;
}

struct Sample {
  DaemonStatus status;
  steady_clock::time_point time;
};

Result<Sample> take_sample(const Client& client) {
  PMSHELF_TRY_ASSIGN(DaemonStatus status, client.status());
  return Sample{std::move(status), steady_clock::now()};
}

void show_rates(Context& context, const Sample& before, const Sample& after, bool refresh) {
  const DaemonStatus& status = after.status;
  const auto rates =
      counter_rates(before.status.counters, status.counters, after.time - before.time);
  if (context.json()) {
    context.print_document(Json{
        {"interval_ms", std::chrono::duration_cast<milliseconds>(after.time - before.time).count()},
        {"sessions", status.sessions},
        {"grants", status.grants},
        {"shelves", status.shelves},
        {"counters", rates_json(rates)}});
    return;
  }
  if (refresh) context.print("\033[H\033[J");
  context.print("pmshelfd " + escape(status.version) + ", up " +
                human_duration(milliseconds(status.uptime_ms)) + ", " +
                counted(status.sessions, "session") + ", " + counted(status.grants, "grant") +
                "\n\n" + rates_text(rates));
}

Result<int> top(Context& context, const TopArguments& arguments) {
  const bool once = arguments.once || context.json();
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(Sample before, take_sample(client));
  do {  // until its user has seen enough: Ctrl-C, or nobody reads on
    std::this_thread::sleep_for(milliseconds(arguments.interval_ms));
    PMSHELF_TRY_ASSIGN(Sample after, take_sample(client));
    show_rates(context, before, after, !once && context.out_is_terminal());
    context.flush();
    before = std::move(after);
  } while (!once && context.out_ok());
  return kExitOk;
}

Result<int> show_version(Context& context) {
  const std::string text(version());
  if (context.json()) {
    context.print_document(Json{{"version", text}});
  } else {
    context.print("pmshelf " + text + "\n");
  }
  return kExitOk;
}

}  // namespace

void add_daemon_commands(CLI::App& root, Chosen& chosen) {
  add_command(root, chosen, "status", "Show the daemon, who you are to it, and its pools",
              "  pmshelf status\n  pmshelf --target host7 status --json", status);

  const auto ping_arguments = std::make_shared<PingArguments>();
  CLI::App& ping_command =
      add_command(root, chosen, "ping", "Measure round trips on the data path",
                  "  pmshelf ping\n  pmshelf --path tcp ping --count 1000",
                  [ping_arguments](Context& context) { return ping(context, *ping_arguments); });
  ping_command.add_option("--count,-c", ping_arguments->count, "How many; default: 5")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000).description(""));

  const auto top_arguments = std::make_shared<TopArguments>();
  CLI::App& top_command = add_command(
      root, chosen, "top",
      "Show the daemon's counters and how fast they rise, until Ctrl-C. With --json as --once",
      "  pmshelf top\n  pmshelf top --once --interval 10s",
      [top_arguments](Context& context) { return top(context, *top_arguments); });
  top_command.add_flag("--once", top_arguments->once, "One table, over one interval");
  top_command.add_option("--interval,-i", top_arguments->interval_ms, "Default: 1s")
      ->transform(duration_value(100, 3'600'000))
      ->type_name("DURATION");

  add_command(root, chosen, "version", "Show the version of this tool", "  pmshelf version",
              show_version);
}

}  // namespace pmshelf::cli
