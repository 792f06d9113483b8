// Reads the configuration: TOML to Config, with every problem found in one go.
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>
#include <optional>
#include <sstream>

#include "common/base/units.h"
#include "server/app/config_keys.h"

namespace pmshelf::app {
namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// The known name that is nearest to a mistyped one; empty when none is near.
std::string nearest(std::string_view wrong, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, wrong.size() / 3) + 1;
  for (const std::string& name : known) {
    const size_t distance = edit_distance(wrong.substr(0, 64), name);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

// "log.level" -> "[log] level", "pool[1].path" -> "[[pool]] path".
std::string place_of(const std::string& key) {
  const size_t dot = key.rfind('.');
  const std::string section = key.substr(0, dot);
  const std::string place = section.starts_with("pool") ? "[[pool]]" : "[" + section + "]";
  return dot == std::string::npos ? place : place + " " + key.substr(dot + 1);
}

// A visitor of config_keys.h that fills a Config from a TOML document and notes every problem.
class Reader {
 public:
  Reader(const toml::table& root, Config& config) : root_(root), config_(config) {}

  void section(const char* name) {
    check_unknown_keys();
    section_ = name;
    sections_.emplace_back(name);
    table_ = nullptr;
    const toml::node* node = root_.get(name);
    if (node == nullptr) return;
    table_ = node->as_table();
    if (table_ == nullptr) problem(*node, section_, "write it as a section: [" + section_ + "]");
  }

  void text(const char* name, std::string& value, const char*) {
    if (const toml::node* node = find(name)) {
      if (auto found = node->value_exact<std::string>()) {
        value = *found;
      } else {
        problem(*node, key(name), "expected a string in quotes");
      }
    }
  }

  void texts(const char* name, std::vector<std::string>& values, const char*) {
    const toml::node* node = find(name);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    std::vector<std::string> all;
    for (size_t index = 0; array != nullptr && index < array->size(); ++index) {
      if (auto found = array->get(index)->value_exact<std::string>()) all.push_back(*found);
    }
    if (array == nullptr || all.size() != array->size()) {
      return problem(*node, key(name), "expected a list of strings, such as [\"a\", \"b\"]");
    }
    values = std::move(all);
  }

  void flag(const char* name, bool& value, const char*) {
    if (const toml::node* node = find(name)) {
      if (auto found = node->value_exact<bool>()) {
        value = *found;
      } else {
        problem(*node, key(name), "expected true or false");
      }
    }
  }

  void count(const char* name, uint32_t& value, Between between, const char*) {
    const toml::node* node = find(name);
    if (node == nullptr) return;
    const auto found = node->value_exact<int64_t>();
    if (!found) return problem(*node, key(name), "expected a whole number");
    if (*found < 0 || static_cast<uint64_t>(*found) < between.least ||
        static_cast<uint64_t>(*found) > between.most) {
      return out_of_range(*node, name, std::to_string(*found), std::to_string(between.least),
                          std::to_string(between.most));
    }
    value = static_cast<uint32_t>(*found);
  }

  void bytes(const char* name, uint64_t& value, Between between, const char*) {
    measure(name, value, between, parse_bytes, format_bytes);
  }
  void duration(const char* name, uint64_t& value, Between between, const char*) {
    measure(name, value, between, parse_duration_ms, format_duration_ms);
  }

  void pools(std::vector<PoolConfig>& pools) {
    check_unknown_keys();
    sections_.emplace_back("pool");
    table_ = nullptr;
    const toml::node* node = root_.get("pool");
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr || !array->is_homogeneous(toml::node_type::table)) {
      return problem(*node, "pool", "write each pool as a section of its own: [[pool]]");
    }
    if (array->size() > kPoolsMax) {
      return problem(*node, "pool", "at most " + std::to_string(kPoolsMax) + " pools");
    }
    for (size_t index = 0; index < array->size(); ++index) {
      section_ = "pool[" + std::to_string(index) + "]";
      table_ = array->get(index)->as_table();
      config_.lines[section_] = static_cast<int>(table_->source().begin.line);
      visit_pool(*this, pools.emplace_back());
      check_unknown_keys();
    }
    table_ = nullptr;
  }

  // Every problem, by line; empty when there is none.
  std::string finish() {
    check_unknown_keys();
    for (const auto& [name, node] : root_) {
      if (std::find(sections_.begin(), sections_.end(), name.str()) != sections_.end()) continue;
      const std::string best = nearest(name.str(), sections_);
      const std::string place = "[" + std::string(name.str()) + "]";
      note(name.source(), place,
           "unknown section" + (best.empty() ? "" : "; did you mean [" + best + "]?"));
    }
    std::stable_sort(problems_.begin(), problems_.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::string all;
    for (const auto& [line, text] : problems_) all += (all.empty() ? "" : "\n") + text;
    return all;
  }

 private:
  std::string key(const char* name) const { return section_ + "." + name; }

  void note(const toml::source_region& source, const std::string& place, const std::string& what) {
    const uint32_t line = source.begin.line;
    problems_.emplace_back(line,
                           config_.file + ":" + std::to_string(line) + ": " + place + ": " + what);
  }

  void problem(const toml::node& node, const std::string& where, const std::string& what) {
    note(node.source(), place_of(where), what);
  }

  void out_of_range(const toml::node& node, const char* name, const std::string& value,
                    const std::string& least, const std::string& most) {
    problem(node, key(name), value + " is not between " + least + " and " + most);
  }

  const toml::node* find(const char* name) {
    known_keys_.emplace_back(name);
    const toml::node* node = table_ == nullptr ? nullptr : table_->get(name);
    if (node != nullptr) config_.lines[key(name)] = static_cast<int>(node->source().begin.line);
    return node;
  }

  template <class Parse, class Format>
  void measure(const char* name, uint64_t& value, Between between, Parse parse, Format format) {
    const toml::node* node = find(name);
    if (node == nullptr) return;
    const auto found = node->value_exact<std::string>();
    if (!found) {
      return problem(*node, key(name),
                     "expected a string with a unit, such as \"" + format(value) + "\"");
    }
    const Result<uint64_t> parsed = parse(*found);
    if (!parsed.ok()) return problem(*node, key(name), parsed.error().message());
    if (*parsed < between.least || *parsed > between.most) {
      return out_of_range(*node, name, *found, format(between.least), format(between.most));
    }
    value = *parsed;
  }

  // Of the section that has just been visited.
  void check_unknown_keys() {
    if (table_ != nullptr) {
      for (const auto& [name, node] : *table_) {
        if (std::find(known_keys_.begin(), known_keys_.end(), name.str()) != known_keys_.end()) {
          continue;
        }
        const std::string best = nearest(name.str(), known_keys_);
        note(name.source(), place_of(section_ + "." + std::string(name.str())),
             "unknown key" + (best.empty() ? "" : "; did you mean '" + best + "'?"));
      }
    }
    known_keys_.clear();
    table_ = nullptr;
  }

  const toml::table& root_;
  Config& config_;
  std::string section_;
  const toml::table* table_ = nullptr;
  std::vector<std::string> sections_, known_keys_;
  std::vector<std::pair<uint32_t, std::string>> problems_;  // with their lines
};

}  // namespace

std::string locate(const Config& config, const std::string& key) {
  const std::string place = place_of(key);
  if (config.file.empty()) return place;
  auto line = config.lines.find(key);
  if (line == config.lines.end()) line = config.lines.find(key.substr(0, key.rfind('.')));
  if (line == config.lines.end()) return config.file + ": " + place;
  return config.file + ":" + std::to_string(line->second) + ": " + place;
}

Result<Config> parse_config(const std::string& text, const std::string& file) {
  Config config;
  config.file = file;
  toml::table root;
  try {
    root = toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    return Error(Code::kInvalidArgument, file + ":" + std::to_string(error.source().begin.line) +
                                             ": " + std::string(error.description()));
  }
  Reader reader(root, config);
  visit_config(reader, config);
  const std::string problems = reader.finish();
  if (!problems.empty()) return Error(Code::kInvalidArgument, problems);
  return config;
}

Result<Config> load_config(const std::string& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  std::string text(kConfigBytesMax + 1, '\0');
  if (!in) {
    const Code code = errno == ENOENT ? Code::kNotFound : Code::kIo;
    return Error(code, "configuration file '" + file + "': " + std::strerror(errno));
  }
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || (in.fail() && !in.eof())) {
    return Error(Code::kIo, "configuration file '" + file + "': cannot be read (a directory?)");
  }
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kConfigBytesMax) {
    return Error(Code::kInvalidArgument, "configuration file '" + file + "' is larger than 1 MiB");
  }
  return parse_config(text, file);
}

}  // namespace pmshelf::app
