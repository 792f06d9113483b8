// Prints and compares configurations.
#include "common/base/logging.h"
#include "common/base/units.h"
#include "server/app/config_keys.h"

namespace pmshelf::app {
namespace {

std::string quoted(const std::string& text) { return '"' + json_escape(text) + '"'; }

std::string list(const std::vector<std::string>& values) {
  std::string text = "[";
  for (const std::string& value : values) text += (text.size() > 1 ? ", " : "") + quoted(value);
  return text + "]";
}

// In the largest unit that loses nothing.
std::string exact_bytes(uint64_t bytes) {
  if (bytes != 0 && bytes % kGiB == 0) return std::to_string(bytes / kGiB) + "GiB";
  if (bytes != 0 && bytes % kMiB == 0) return std::to_string(bytes / kMiB) + "MiB";
  if (bytes != 0 && bytes % kKiB == 0) return std::to_string(bytes / kKiB) + "KiB";
  return std::to_string(bytes);
}

// A visitor of config_keys.h that calls `derived().field(name, TOML value, comment)`.
template <class Derived>
class Values {
 public:
  void text(const char* name, const std::string& value, const char* comment) {
    self().field(name, quoted(value), comment);
  }
  void texts(const char* name, const std::vector<std::string>& values, const char* comment) {
    self().field(name, list(values), comment);
  }
  void flag(const char* name, bool value, const char* comment) {
    self().field(name, value ? "true" : "false", comment);
  }
  void count(const char* name, uint32_t value, Between, const char* comment) {
    self().field(name, std::to_string(value), comment);
  }
  void bytes(const char* name, uint64_t value, Between, const char* comment) {
    self().field(name, quoted(exact_bytes(value)), comment);
  }
  void duration(const char* name, uint64_t value, Between, const char* comment) {
    self().field(name, quoted(format_duration_ms(value)), comment);
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }
};

class Printer : public Values<Printer> {
 public:
  void section(const char* name) {
    text_ += text_.empty() ? "[" : "\n[";
    text_ += name;
    text_ += "]\n";
  }
  void field(const char* name, const std::string& value, const char* comment) {
    text_ += std::string("# ") + comment + "\n" + name + " = " + value + "\n";
  }
  void pools(const std::vector<PoolConfig>& pools) {
    for (const PoolConfig& pool : pools) {
      text_ += "\n[[pool]]\n";
      visit_pool(*this, pool);
    }
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// Key and value of everything; all pools are one value.
class Flat : public Values<Flat> {
 public:
  void section(const char* name) { section_ = name; }
  void field(const char* name, const std::string& value, const char*) {
    values_[section_ + "." + name] += value;
  }
  void pools(const std::vector<PoolConfig>& pools) {
    Printer printer;
    printer.pools(pools);
    values_["pool"] = printer.take();
  }
  const std::map<std::string, std::string>& values() const { return values_; }

 private:
  std::string section_;
  std::map<std::string, std::string> values_;
};

}  // namespace

std::string print_config(const Config& config) {
  Printer printer;
  visit_config(printer, config);
  return printer.take();
}

std::vector<std::string> changed_keys(const Config& before, const Config& after) {
  Flat old_values, new_values;
  visit_config(old_values, before);
  visit_config(new_values, after);
  std::vector<std::string> changed;
  for (const auto& [key, value] : old_values.values()) {
    if (new_values.values().at(key) != value) changed.push_back(key);
  }
  return changed;
}

}  // namespace pmshelf::app
