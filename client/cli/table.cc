#include "client/cli/table.h"

#include <algorithm>

#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

void append_cell(std::string& line, std::string_view cell, size_t width, Align align, bool last) {
  const size_t taken = display_width(cell);
  const std::string padding(width > taken ? width - taken : 0, ' ');
  if (align == Align::kRight) line += padding;
  line += cell;
  if (last) return;
  if (align == Align::kLeft) line += padding;
  line += "  ";
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = escape(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text(bool heading) const {
  std::vector<size_t> widths;
  std::vector<std::string> titles;
  for (const Column& column : columns_) {
    widths.push_back(std::max(column.width_min, display_width(column.title)));
    titles.push_back(column.title);
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string out;
  const auto append_row = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      append_cell(out, row[i], widths[i], columns_[i].align, i + 1 == row.size());
    }
    if (row.back().empty()) out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  };
  if (heading) append_row(titles);
  for (const auto& row : rows_) append_row(row);
  return out;
}

std::string facts(const std::vector<std::pair<std::string, std::string>>& rows) {
  size_t width = 0;
  for (const auto& [key, value] : rows) {
    if (!value.empty()) width = std::max(width, display_width(key));
  }
  std::string out;
  for (const auto& [key, value] : rows) {
    if (value.empty()) continue;
    append_cell(out, key + ":", width + 1, Align::kLeft, false);
    out += escape(value) + "\n";
  }
  return out;
}

}  // namespace pmshelf::cli
