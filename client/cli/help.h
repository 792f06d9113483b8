// How --help looks.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace pmshelf::cli {

// `text` in lines of at most `columns` columns, each after the first indented by `indent` blanks.
// Lines that are there already stay.
std::string wrapped(const std::string& text, size_t indent, size_t columns);

// Two columns, wrapped to 80: what is written, and what it means. A command's description is its
// first sentence in lists, the whole in its own help. Shared by all commands; immutable.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_subcommand(const CLI::App* command) const override;
  std::string make_description(const CLI::App* command) const override;
  std::string make_usage(const CLI::App* command, std::string name) const override;
};

}  // namespace pmshelf::cli
