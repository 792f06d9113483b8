// pmshelf region ls | find | stat | rename | erase
#include <algorithm>
#include <memory>

#include "client/cli/commands/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "client/cli/views.h"

namespace pmshelf::cli {
namespace {

constexpr uint32_t kPageRegions = 1000;

struct RegionArguments {
  std::string path, new_path;
  std::vector<std::string> paths;
  std::string match, after;
  uint64_t limit = 0;  // 0: all
  bool replace = false;
};

using Arguments = std::shared_ptr<RegionArguments>;

// Prints pages of one or several shelves as one table, one document or plain names.
class ListingPrinter {
 public:
  ListingPrinter(Context& context, bool with_shelf) : context_(context), with_shelf_(with_shelf) {}

  void begin(const Json& head) {
    if (context_.json()) context_.print(listing_.begin(head));
  }

  void page(const std::string& shelf, const std::vector<RegionStat>& regions) {
    if (context_.json()) {
      for (const RegionStat& region : regions) {
        Json document = with_shelf_ ? Json{{"shelf", shelf}} : Json::object();
        document.update(to_json(region));
        context_.print(listing_.item(document));
      }
    } else if (context_.options().quiet) {
      const std::string front = with_shelf_ ? shelf + "/" : "";
      for (const RegionStat& region : regions) context_.print(escape(front + region.name) + "\n");
    } else {
      context_.print(regions_page(regions, with_shelf_ ? shelf : "", !heading_done_));
      heading_done_ = true;
    }
  }

  void end(bool more) {
    if (context_.json()) {
      context_.print(listing_.end(more));
    } else if (more && !context_.options().quiet) {
      context_.note_aside("pmshelf: there are more; --after NAME goes on, --limit gives a number");
    }
  }

 private:
  Context& context_;
  bool with_shelf_;
  bool heading_done_ = false;
  RegionListing listing_;
};

// Feeds all pages that `options` asks for to `printer`; options.after moves along. `left` counts
// down, 0 meaning that the limit was reached. Returns whether there would be more.
Result<bool> list_shelf(const Context& context, const Shelf& shelf, ListOptions options,
                        uint64_t& left, ListingPrinter& printer) {
  for (bool more = true; more && context.out_ok();) {
    if (left == 0) return true;
    options.limit = static_cast<uint32_t>(std::min<uint64_t>(left, kPageRegions));
    PMSHELF_TRY_ASSIGN(const ListPage page, shelf.list(options));
    printer.page(shelf.name(), page.regions);
    left -= std::min<uint64_t>(left, page.regions.size());
    more = page.more && !page.regions.empty();
    if (more) options.after = page.regions.back().name;
  }
  return false;
}

Result<int> list(Context& context, const RegionArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const RegionPath path, parse_shelf_prefix(arguments.path));
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(path.shelf));
  ListOptions options;
  options.prefix = path.region;
  options.after = arguments.after;
  options.with_attributes = context.json();
  uint64_t left = arguments.limit == 0 ? UINT64_MAX : arguments.limit;
  ListingPrinter printer(context, false);
  printer.begin(Json{{"shelf", path.shelf}});
  PMSHELF_TRY_ASSIGN(const bool more, list_shelf(context, shelf, options, left, printer));
  printer.end(more);
  return kExitOk;
}

Result<int> find(Context& context, const RegionArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const RegionPath path, parse_region_path(arguments.match));
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const auto shelves, client.list_shelves(path.shelf));
  ListOptions options;
  options.match = path.region;
  options.with_attributes = context.json();
  uint64_t left = arguments.limit == 0 ? UINT64_MAX : arguments.limit;
  bool more = false;
  ListingPrinter printer(context, true);
  printer.begin(Json{{"pattern", arguments.match}});
  for (const ShelfStat& stat : shelves) {
    if (stat.offline) {
      context.warn("region find: shelf " + escape(stat.name) + " is offline and was left out");
      continue;
    }
    auto shelf = client.open_shelf(stat.name);
    if (shelf.code() == Code::kNotFound) continue;  // erased meanwhile
    if (!shelf) return std::move(shelf).error();
    PMSHELF_TRY_ASSIGN(more, list_shelf(context, *shelf, options, left, printer));
    if (more) break;
  }
  printer.end(more);
  return kExitOk;
}

Result<int> stat(Context& context, const RegionArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const RegionPath path, parse_region_path(arguments.path));
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(path.shelf));
  PMSHELF_TRY_ASSIGN(const RegionStat region, shelf.stat_region(path.region));
  if (context.json()) {
    Json document{{"shelf", path.shelf}};
    document.update(to_json(region));
    context.print_document(document);
  } else {
    context.print(region_facts(region, path.shelf));
  }
  return kExitOk;
}

Result<int> rename(Context& context, const RegionArguments& arguments) {
  PMSHELF_TRY_ASSIGN(const RegionPath from, parse_region_path(arguments.path));
  PMSHELF_TRY_ASSIGN(const RegionPath to, parse_region_path(arguments.new_path));
  if (from.shelf != to.shelf) {
    return Error(Code::kInvalidArgument,
                 "a region stays on its shelf when it is renamed; use 'region cp' and 'region "
                 "erase' to move it to shelf '" +
                     to.shelf + "'");
  }
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(from.shelf));
  PMSHELF_TRY(shelf.rename_region(from.region, to.region, arguments.replace));
  if (context.json()) {
    context.print_document(Json{{"from", arguments.path}, {"to", arguments.new_path}});
  }
  context.note("region " + escape(arguments.path) + " is " + escape(arguments.new_path) + " now");
  return kExitOk;
}

Result<std::string> erase_question(const Client& client, const std::vector<RegionPath>& paths) {
  uint64_t bytes = 0;
  for (const RegionPath& path : paths) {
    PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(path.shelf));
    PMSHELF_TRY_ASSIGN(const RegionStat region, shelf.stat_region(path.region));
    bytes += region.bytes;
  }
  const std::string what = paths.size() == 1 ? "region " + paths[0].shelf + "/" + paths[0].region
                                             : counted(paths.size(), "region");
  return "erase " + what + ", " + human_bytes(bytes) + ", for good?";
}

Result<int> erase(Context& context, const RegionArguments& arguments) {
  std::vector<RegionPath> paths;
  for (const std::string& text : arguments.paths) {
    PMSHELF_TRY_ASSIGN(RegionPath path, parse_region_path(text));
    paths.push_back(std::move(path));
  }
  PMSHELF_TRY(context.require_consent());
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  if (!context.options().yes) {
    PMSHELF_TRY_ASSIGN(const std::string question, erase_question(client, paths));
    if (!context.ask(question)) return kExitFailed;
  }
  Json erased = Json::array();
  for (const RegionPath& path : paths) {
    PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(path.shelf));
    PMSHELF_TRY(shelf.erase_region(path.region));
    const std::string name = path.shelf + "/" + path.region;
    erased.push_back(name);
    context.note("region " + escape(name) + " erased");
  }
  if (context.json()) context.print_document(Json{{"erased", std::move(erased)}});
  return kExitOk;
}

CLI::App& add(CLI::App& region, Chosen& chosen, const std::string& name,
              const std::string& description, const std::string& examples,
              Result<int> (*run)(Context&, const RegionArguments&), const Arguments& arguments) {
  return add_command(region, chosen, name, description, examples,
                     [arguments, run](Context& context) { return run(context, *arguments); });
}

void add_listings(CLI::App& region, Chosen& chosen, const Arguments& arguments) {
  const auto add_limit = [&](CLI::App& command) {
    command.add_option("--limit", arguments->limit, "At most N regions")
        ->type_name("N")
        ->check(CLI::PositiveNumber.description(""));
  };
  CLI::App& list_command =
      add(region, chosen, "ls",
          "List the regions of a shelf in the order of their names (--quiet: names only)",
          "  pmshelf region ls train\n  pmshelf region ls train/epoch-   # names that begin so\n"
          "  pmshelf region ls train --limit 10 --after epoch-7\n"
          "  pmshelf region ls train --json | jq '.regions[] | [.name, .bytes]'",
          list, arguments);
  add_argument(list_command, "SHELF[/PREFIX]", arguments->path,
               "Name of the shelf, and what the regions' names begin with");
  list_command.add_option("--after", arguments->after, "Only names after this one")
      ->type_name("NAME");
  add_limit(list_command);

  CLI::App& find_command =
      add(region, chosen, "find",
          "Find regions on all shelves that you have a right on ('*' any run, '?' one character)",
          "  pmshelf region find '*/epoch-*'\n  pmshelf region find 'train*/w' --quiet", find,
          arguments);
  add_argument(find_command, "SHELFGLOB/REGIONGLOB", arguments->match,
               "Which; the first '/' divides shelf and region");
  add_limit(find_command);
}

}  // namespace

void add_region_commands(CLI::App& root, Chosen& chosen) {
  CLI::App& region = add_group(root, "region", "Named runs of bytes on a shelf");
  const auto arguments = std::make_shared<RegionArguments>();
  add_listings(region, chosen, arguments);

  CLI::App& stat_command =
      add(region, chosen, "stat", "Show one region: size, attributes, who has it open",
          "  pmshelf region stat train/w", stat, arguments);
  add_argument(stat_command, "SHELF/REGION", arguments->path, "The region");

  add_transfer_commands(region, chosen);

  CLI::App& rename_command =
      add(region, chosen, "rename", "Give a region another name on its shelf",
          "  pmshelf region rename train/w train/w.old\n"
          "  pmshelf region rename train/w.new train/w --replace",
          rename, arguments);
  add_argument(rename_command, "SHELF/REGION", arguments->path, "The region");
  add_argument(rename_command, "SHELF/NEW", arguments->new_path, "Its new name, on the same shelf");
  rename_command.add_flag("--replace", arguments->replace,
                          "Erase what bears the new name, in the same atomic step");

  CLI::App& erase_command = add(region, chosen, "erase", "Erase regions, for good. Asks first",
                                "  pmshelf region erase train/w.old\n"
                                "  pmshelf --yes region erase train/epoch-1 train/epoch-2",
                                erase, arguments);
  erase_command.add_option("SHELF/REGION", arguments->paths, "The regions")
      ->required()
      ->type_name("");

  add_lock_command(region, chosen);
}

}  // namespace pmshelf::cli
