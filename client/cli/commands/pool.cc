// pmshelf pool ls | stat | check
#include <memory>

#include "client/cli/commands/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "client/cli/views.h"

namespace pmshelf::cli {
namespace {

struct PoolArguments {
  std::string name;
};

Result<int> list(Context& context) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const auto pools, client.list_pools());
  if (context.json()) {
    context.print_document(Json{{"pools", to_json(pools)}});
    return kExitOk;
  }
  if (context.options().quiet) {
    for (const PoolStat& pool : pools) context.print(escape(pool.name) + "\n");
    return kExitOk;
  }
  context.print(pools_table(pools));
  return kExitOk;
}

Result<int> stat(Context& context, const PoolArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const PoolStat pool, client.stat_pool(arguments.name));
  if (context.json()) {
    context.print_document(to_json(pool));
  } else {
    context.print(pool_facts(pool));
  }
  return kExitOk;
}

Result<int> check(Context& context, const PoolArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  Json shelves = Json::array();
  bool damaged = false;
  const auto each = [&](const ShelfCheck& result) {
    damaged = damaged || !result.problems.empty() || !result.bad_block_regions.empty();
    if (context.json()) {
      shelves.push_back(to_json(result));
    } else {
      context.print(check_text(result, context.options().quiet));
    }
  };
  PMSHELF_TRY(client.check_pool(arguments.name, each));
  if (context.json()) {
    context.print_document(
        Json{{"pool", arguments.name}, {"damaged", damaged}, {"shelves", shelves}});
  }
  return damaged ? kExitDamage : kExitOk;
}

}  // namespace

void add_pool_commands(CLI::App& root, Chosen& chosen) {
  CLI::App& pool = add_group(root, "pool", "Memory that the daemon owns (for administrators)");
  add_command(pool, chosen, "ls", "List the pools", "  pmshelf pool ls", list);

  const auto arguments = std::make_shared<PoolArguments>();
  CLI::App& stat_command = add_command(
      pool, chosen, "stat", "Show one pool: size, class, trouble", "  pmshelf pool stat default",
      [arguments](Context& context) { return stat(context, *arguments); });
  add_argument(stat_command, "POOL", arguments->name, "Name of the pool");

  CLI::App& check_command = add_command(
      pool, chosen, "check",
      "Read and compare all metadata of a pool, and its bad-block lists. "
      "Changes nothing; serving goes on. Exit code 8 when there is damage",
      "  pmshelf pool check default\n  pmshelf --quiet pool check default   # damage only",
      [arguments](Context& context) { return check(context, *arguments); });
  add_argument(check_command, "POOL", arguments->name, "Name of the pool");
}

}  // namespace pmshelf::cli
