#include "client/cli/help.h"

#include <algorithm>

namespace pmshelf::cli {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kIndent = 26;

// One entry of a list: long names have a line of their own.
std::string entry(const std::string& name, const std::string& meaning) {
  std::string line = "  " + name;
  if (line.size() + 2 > kIndent) {
    line += "\n" + std::string(kIndent, ' ');
  } else {
    line.resize(kIndent, ' ');
  }
  return line + wrapped(meaning, kIndent, kColumns) + "\n";
}

std::string first_sentence(const std::string& text) {
  return text.substr(0, std::min(text.find(". "), text.size()));
}

}  // namespace

std::string wrapped(const std::string& text, size_t indent, size_t columns) {
  std::string out;
  size_t column = indent;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const size_t length = end - at;
    if (column != indent && column + 1 + length > columns) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column != indent) {
      out += ' ';
      ++column;
    }
    out.append(text, at, length);
    column += length;
    at = end + 1;
  }
  return out;
}

HelpFormatter::HelpFormatter() { label("SUBCOMMAND", "COMMAND"); }

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
  std::string name = make_option_name(option, is_positional);
  const std::string type = option->get_type_name();
  if (!is_positional && !type.empty()) name += " " + type;
  return entry(name, option->get_description());
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  return entry(command->get_name(), first_sentence(command->get_description()));
}

std::string HelpFormatter::make_description(const CLI::App* command) const {
  return wrapped(command->get_description(), 0, kColumns) + ".\n\n";
}

std::string HelpFormatter::make_usage(const CLI::App* command, std::string name) const {
  std::string usage = CLI::Formatter::make_usage(command, std::move(name));
  if (command->get_prefix_command()) usage.insert(usage.size() - 1, " -- COMMAND...");
  return usage;
}

}  // namespace pmshelf::cli
