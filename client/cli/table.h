// Aligned tables for people. Names that came from outside are escaped here, once.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pmshelf::cli {

enum class Align { kLeft, kRight };

// Rows of text under a heading. Value type. The last column is never padded, so lines have no
// trailing blanks and a long last column only runs on.
class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
    size_t width_min = 0;  // for tables that are printed in several pieces
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Precondition: as many cells as columns. Cells are escaped.
  void add(std::vector<std::string> cells);
  size_t row_count() const { return rows_.size(); }
  // Heading (unless `heading` is false) and rows, each line ended by '\n'.
  std::string text(bool heading = true) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "name:     train\nowner:    unix:bob\n": one thing, in full. Values are escaped; empty ones are
// left out.
std::string facts(const std::vector<std::pair<std::string, std::string>>& rows);

}  // namespace pmshelf::cli
