#include "client/cli/commands/commands.h"

#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  const bool below_root = parent == nullptr || parent->get_parent() == nullptr;
  return below_root ? command.get_name() : full_name(*parent) + " " + command.get_name();
}

}  // namespace

CLI::App& add_group(CLI::App& parent, const std::string& name, const std::string& description) {
  CLI::App& group = *parent.add_subcommand(name, description);
  group.require_subcommand(1);
  group.fallthrough();
  group.group("Commands");
  group.footer("'pmshelf " + name + " COMMAND --help' says more.");
  return group;
}

CLI::App& add_command(CLI::App& parent, Chosen& chosen, const std::string& name,
                      const std::string& description, const std::string& examples, Action action) {
  CLI::App& command = *parent.add_subcommand(name, description);
  command.fallthrough();
  command.group("Commands");
  std::string footer = "Global options (see 'pmshelf --help') may follow as well.";
  if (!examples.empty()) footer = "Examples:\n" + examples + "\n\n" + footer;
  command.footer(footer);
  command.callback([&command, &chosen, action = std::move(action)] {
    chosen.name = full_name(command);
    chosen.action = action;
  });
  return command;
}

CLI::Option& add_argument(CLI::App& command, const std::string& name, std::string& value,
                          const std::string& description) {
  return *command.add_option(name, value, description)->required()->type_name("");
}

CLI::Validator size_value() {
  const auto convert = [](std::string& text) -> std::string {
    const auto bytes = parse_size(text);
    if (!bytes) return bytes.error().message();
    text = std::to_string(*bytes);
    return {};
  };
  return CLI::Validator(convert, "");
}

CLI::Validator duration_value(uint64_t ms_min, uint64_t ms_max) {
  const auto convert = [ms_min, ms_max](std::string& text) -> std::string {
    const auto ms = parse_duration_ms(text);
    if (!ms) return ms.error().message();
    if (*ms < ms_min || *ms > ms_max) {
      return "'" + text + "' is not between " + human_duration(std::chrono::milliseconds(ms_min)) +
             " and " + human_duration(std::chrono::milliseconds(ms_max));
    }
    text = std::to_string(*ms);
    return {};
  };
  return CLI::Validator(convert, "");
}

Status refuse_json(const Context& context, std::string_view why) {
  if (!context.json()) return {};
  return Error(Code::kInvalidArgument, "--json cannot be used here: " + std::string(why));
}

}  // namespace pmshelf::cli
