// pmshelf shelf create | ls | stat | grow | shrink | rename | erase | acl
#include <algorithm>
#include <memory>

#include "client/cli/access_list.h"
#include "client/cli/commands/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "client/cli/views.h"

namespace pmshelf::cli {
namespace {

struct ShelfArguments {
  std::string name, new_name, pool, match;
  uint64_t capacity_bytes = 0;
  bool only_if_empty = false;
  SameHostPolicy same_host = SameHostPolicy::kDirect;
  bool same_host_given = false;
  AccessChange access;
};

using Arguments = std::shared_ptr<ShelfArguments>;

// The shelf as it is now: its document, or a line about what was done.
int report(Context& context, const ShelfStat& shelf, const std::string& what) {
  if (context.json()) {
    context.print_document(to_json(shelf));
  } else {
    context.note("shelf " + shelf.name + " " + what);
  }
  return kExitOk;
}

Result<int> create(Context& context, const ShelfArguments& arguments) {
  ShelfOptions options;
  options.pool = arguments.pool;
  options.same_host = arguments.same_host;
  PMSHELF_TRY_ASSIGN(options.access, changed_access({}, arguments.access));
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const Shelf shelf,
                     client.create_shelf(arguments.name, arguments.capacity_bytes, options));
  PMSHELF_TRY_ASSIGN(const ShelfStat stat, shelf.stat());
  return report(context, stat,
                "created: " + human_bytes(stat.space.capacity_bytes) + " in pool " + stat.pool +
                    ", " + std::string(storage_class_name(stat.storage_class)));
}

Result<int> list(Context& context, const ShelfArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const auto shelves, client.list_shelves(arguments.match, arguments.pool));
  if (context.json()) {
    context.print_document(Json{{"shelves", to_json(shelves)}});
  } else if (context.options().quiet) {
    for (const ShelfStat& shelf : shelves) context.print(escape(shelf.name) + "\n");
  } else {
    context.print(shelves_table(shelves));
  }
  return kExitOk;
}

Result<ShelfStat> stat_shelf(const Client& client, const std::string& name) {
  PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(name));
  return shelf.stat();
}

Result<int> stat(Context& context, const ShelfArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const ShelfStat shelf, stat_shelf(client, arguments.name));
  if (context.json()) {
    context.print_document(to_json(shelf));
  } else {
    context.print(shelf_facts(shelf));
  }
  return kExitOk;
}

Result<int> grow(Context& context, const ShelfArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const ShelfStat before, stat_shelf(client, arguments.name));
  if (arguments.capacity_bytes < before.space.capacity_bytes) {
    return Error(Code::kInvalidArgument, "SIZE is the new capacity, and shelf '" + arguments.name +
                                             "' has " + human_bytes(before.space.capacity_bytes) +
                                             " already; see 'shelf shrink'");
  }
  PMSHELF_TRY_ASSIGN(const ShelfStat after,
                     client.resize_shelf(arguments.name, arguments.capacity_bytes));
  return report(context, after,
                "has " + human_bytes(after.space.capacity_bytes) + " now, " +
                    human_bytes(after.space.free_bytes) + " free");
}

Result<int> shrink(Context& context, const ShelfArguments& arguments) {
  PMSHELF_TRY(context.require_consent());
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const ShelfStat before, stat_shelf(client, arguments.name));
  if (arguments.capacity_bytes > before.space.capacity_bytes) {
    return Error(Code::kInvalidArgument,
                 "SIZE is the new capacity, and shelf '" + arguments.name + "' has only " +
                     human_bytes(before.space.capacity_bytes) + "; see 'shelf grow'");
  }
  if (!context.ask("shrink shelf " + arguments.name + " from " +
                   human_bytes(before.space.capacity_bytes) + " to " +
                   human_bytes(arguments.capacity_bytes) + "?")) {
    return kExitFailed;
  }
  PMSHELF_TRY_ASSIGN(const ShelfStat after,
                     client.resize_shelf(arguments.name, arguments.capacity_bytes));
  return report(context, after,
                "has " + human_bytes(after.space.capacity_bytes) + " now, " +
                    human_bytes(after.space.free_bytes) + " free");
}

Result<int> rename(Context& context, const ShelfArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY(client.rename_shelf(arguments.name, arguments.new_name));
  if (context.json()) {
    context.print_document(Json{{"from", arguments.name}, {"to", arguments.new_name}});
  }
  context.note("shelf " + arguments.name + " is " + arguments.new_name + " now");
  return kExitOk;
}

Result<int> erase(Context& context, const ShelfArguments& arguments) {
  PMSHELF_TRY(context.require_consent());
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  if (!context.options().yes) {
    PMSHELF_TRY_ASSIGN(const ShelfStat shelf, stat_shelf(client, arguments.name));
    if (!context.ask("erase shelf " + arguments.name + " with " +
                     counted(shelf.space.region_count, "region") + ", " +
                     human_bytes(shelf.space.used_bytes) + ", for good?")) {
      return kExitFailed;
    }
  }
  PMSHELF_TRY(client.erase_shelf(arguments.name, arguments.only_if_empty));
  if (context.json()) context.print_document(Json{{"erased", Json::array({arguments.name})}});
  context.note("shelf " + arguments.name + " erased");
  return kExitOk;
}

Result<int> access(Context& context, const ShelfArguments& arguments) {
  const AccessChange& change = arguments.access;
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(ShelfStat shelf, stat_shelf(client, arguments.name));
  if (change.any()) {
    PMSHELF_TRY_ASSIGN(const auto list, changed_access(shelf.access, change));
    PMSHELF_TRY_ASSIGN(shelf, client.set_access(arguments.name, list, change.owner));
  }
  if (arguments.same_host_given) {
    PMSHELF_TRY_ASSIGN(shelf, client.set_same_host(arguments.name, arguments.same_host));
  }
  const bool changed = change.any() || arguments.same_host_given;
  if (context.json()) {
    context.print_document(to_json(shelf));
  } else if (!changed || !context.options().quiet) {
    context.print(access_text(shelf));
  }
  return kExitOk;
}

void add_access_options(CLI::App& command, const Arguments& arguments) {
  command
      .add_option("--grant", arguments->access.grants,
                  "Give PRINCIPAL exactly these rights: r read, w write, a admin. A principal is "
                  "unix:NAME, token:NAME, cert:NAME, or a glob of those. May be repeated")
      ->type_name("PRINCIPAL=RIGHTS")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const auto entry = parse_access(text);
            return entry ? std::string() : entry.error().message();
          },
          ""))
      ->take_all()
      ->allow_extra_args(false);
  add_choice<SameHostPolicy>(
      command, "--same-host",
      {{"direct", SameHostPolicy::kDirect},
       {"copy", SameHostPolicy::kCopy},
       {"off", SameHostPolicy::kOff}},
      [arguments](SameHostPolicy policy) {
        arguments->same_host = policy;
        arguments->same_host_given = true;
      },
      "Clients on the daemon's host: direct (they map the shelf's file), copy (through the "
      "daemon), off");
}

void add_size_argument(CLI::App& command, const Arguments& arguments,
                       const std::string& description) {
  command.add_option("SIZE", arguments->capacity_bytes, description)
      ->required()
      ->transform(size_value())
      ->type_name("");
}

CLI::App& add(CLI::App& shelf, Chosen& chosen, const std::string& name,
              const std::string& description, const std::string& examples,
              Result<int> (*run)(Context&, const ShelfArguments&), const Arguments& arguments) {
  return add_command(shelf, chosen, name, description, examples,
                     [arguments, run](Context& context) { return run(context, *arguments); });
}

void add_changes(CLI::App& shelf, Chosen& chosen, const Arguments& arguments) {
  CLI::App& grow_command = add(shelf, chosen, "grow", "Make a shelf larger, while it is in use",
                               "  pmshelf shelf grow train 64GiB", grow, arguments);
  add_argument(grow_command, "SHELF", arguments->name, "Name of the shelf");
  add_size_argument(grow_command, arguments, "The new capacity");

  CLI::App& shrink_command =
      add(shelf, chosen, "shrink",
          "Make a shelf smaller, while it is in use. Regions that are in the way make it fail, and "
          "then nothing is changed",
          "  pmshelf shelf shrink train 16GiB", shrink, arguments);
  add_argument(shrink_command, "SHELF", arguments->name, "Name of the shelf");
  add_size_argument(shrink_command, arguments, "The new capacity");

  CLI::App& rename_command = add(shelf, chosen, "rename", "Give a shelf another name",
                                 "  pmshelf shelf rename train train-2025", rename, arguments);
  add_argument(rename_command, "SHELF", arguments->name, "Name of the shelf");
  add_argument(rename_command, "NEW", arguments->new_name, "Its new name");

  CLI::App& erase_command =
      add(shelf, chosen, "erase", "Erase a shelf with all its regions, for good. Asks first",
          "  pmshelf shelf erase scratch\n  pmshelf --yes shelf erase scratch --only-if-empty",
          erase, arguments);
  add_argument(erase_command, "SHELF", arguments->name, "Name of the shelf");
  erase_command.add_flag("--only-if-empty", arguments->only_if_empty,
                         "Fail if the shelf has a region");
}

void add_access(CLI::App& shelf, Chosen& chosen, const Arguments& arguments) {
  CLI::App& access_command =
      add(shelf, chosen, "acl", "Show or change who may do what",
          "  pmshelf shelf acl train\n"
          "  pmshelf shelf acl train --grant unix:bob=rw --grant 'token:ci-*=r'\n"
          "  pmshelf shelf acl train --revoke unix:bob --owner unix:alice --same-host copy",
          access, arguments);
  add_argument(access_command, "SHELF", arguments->name, "Name of the shelf");
  add_access_options(access_command, arguments);
  access_command
      .add_option("--revoke", arguments->access.revokes,
                  "Take PRINCIPAL off the list, as it is written there. May be repeated")
      ->type_name("PRINCIPAL")
      ->take_all()
      ->allow_extra_args(false);
  access_command.add_option("--owner", arguments->access.owner, "Give the shelf to PRINCIPAL")
      ->type_name("PRINCIPAL");
}

}  // namespace

void add_shelf_commands(CLI::App& root, Chosen& chosen) {
  CLI::App& shelf = add_group(root, "shelf", "Named containers of regions");
  const auto arguments = std::make_shared<ShelfArguments>();

  CLI::App& create_command =
      add(shelf, chosen, "create", "Create a shelf; you become its owner",
          "  pmshelf shelf create train 64GiB\n"
          "  pmshelf shelf create scratch 1GiB --pool ssd --grant 'unix:*=rw'",
          create, arguments);
  add_argument(create_command, "SHELF", arguments->name,
               "Its name: letters, digits, '.', '_', '-'; 200 at most");
  add_size_argument(create_command, arguments,
                    "Its capacity, e.g. 64GiB; rounded up to a multiple of 2 MiB");
  create_command.add_option("--pool", arguments->pool, "Where; default: the daemon's first pool")
      ->type_name("POOL");
  add_access_options(create_command, arguments);

  CLI::App& list_command =
      add(shelf, chosen, "ls", "List the shelves that you have a right on (--quiet: names only)",
          "  pmshelf shelf ls\n  pmshelf shelf ls 'train*' --pool default\n"
          "  pmshelf shelf ls --json | jq '.shelves[].name'",
          list, arguments);
  list_command.add_option("GLOB", arguments->match, "Only names that match")->type_name("");
  list_command.add_option("--pool", arguments->pool, "Only of this pool")->type_name("POOL");

  CLI::App& stat_command = add(shelf, chosen, "stat", "Show one shelf: space, rights, trouble",
                               "  pmshelf shelf stat train", stat, arguments);
  add_argument(stat_command, "SHELF", arguments->name, "Name of the shelf");

  add_changes(shelf, chosen, arguments);
  add_access(shelf, chosen, arguments);
}

}  // namespace pmshelf::cli
