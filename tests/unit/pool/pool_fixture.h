// Short names for what the tests of pools do.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/units.h"
#include "server/pool/pool.h"
#include "temporary_directory.h"

namespace pmshelf::pool {

using ShelfHandle = std::shared_ptr<Shelf>;

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string read_text(const RegionRef& region, uint64_t offset, uint64_t length) {
  std::string text(length, '?');
  const Status read = region.read(offset, std::as_writable_bytes(std::span(text)));
  EXPECT_TRUE(read.ok()) << read.error().to_string();
  return text;
}

inline store::Request request(uint64_t number, uint64_t digest = 1) {
  return {{0xABCD, number}, digest};
}

// Bytes of a file, for "nothing was touched".
inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class PoolTest : public ::testing::Test {
 protected:
  explicit PoolTest(const std::string& below = "/dev/shm") : directory_(below) {}

  PoolOptions options() const {
    PoolOptions options;
    options.name = "p";
    options.path = directory_.path();
    options.owner_note = "/run/test/data.sock";
    return options;
  }

  std::unique_ptr<Pool> open_pool() { return open_pool(options()); }
  std::unique_ptr<Pool> open_pool(const PoolOptions& options) {
    auto pool = Pool::open(options, clock_);
    EXPECT_TRUE(pool.ok()) << pool.error().to_string();
    return pool.ok() ? *std::move(pool) : nullptr;
  }
  // Closes clean and opens again.
  void reopen(std::unique_ptr<Pool>& pool) { reopen(pool, options()); }
  void reopen(std::unique_ptr<Pool>& pool, const PoolOptions& options) {
    const Status closed = pool->close();
    EXPECT_TRUE(closed.ok()) << closed.error().to_string();
    pool.reset();
    pool = open_pool(options);
  }

  static store::ShelfInfo shelf_info(const std::string& name, uint64_t capacity = 4 * kMiB) {
    store::ShelfInfo info;
    info.name = name;
    info.owner = "unix:alice";
    info.capacity_bytes = capacity;
    return info;
  }
  static ShelfHandle make_shelf(Pool& pool, const std::string& name, uint64_t capacity = 4 * kMiB,
                                const store::Request& request = {}) {
    auto shelf = pool.create_shelf(shelf_info(name, capacity), request);
    EXPECT_TRUE(shelf.ok()) << shelf.error().to_string();
    return shelf.ok() ? *std::move(shelf) : nullptr;
  }
  static ShelfHandle get_shelf(Pool& pool, const std::string& name) {
    auto shelf = pool.shelf(name);
    EXPECT_TRUE(shelf.ok()) << shelf.error().to_string();
    return shelf.ok() ? *std::move(shelf) : nullptr;
  }
  static std::vector<std::string> shelf_names(const Pool& pool) {
    std::vector<std::string> names;
    for (const auto& shelf : pool.shelves()) names.push_back(shelf->info().name);
    return names;
  }
  // Creates a region with this text, durably.
  static void put(Shelf& shelf, const std::string& name, const std::string& text) {
    const auto id = shelf.create(name, text.size(), "", {});
    ASSERT_TRUE(id.ok()) << id.error().to_string();
    const auto region = shelf.open(name);
    ASSERT_TRUE(region.ok()) << region.error().to_string();
    ASSERT_TRUE((*region)->store(0, bytes_of(text)).ok());
    ASSERT_TRUE((*region)->flush(0, text.size()).ok());
  }
  static std::string get(Shelf& shelf, const std::string& name) {
    const auto region = shelf.open(name);
    if (!region.ok()) return "(" + region.error().to_string() + ")";
    return read_text(**region, 0, (*region)->bytes());
  }
  static std::string only_trouble(const Pool& pool) {
    const auto trouble = pool.stat().trouble;
    EXPECT_EQ(trouble.size(), 1u);
    return trouble.empty() ? "" : trouble.front();
  }

  TemporaryDirectory directory_;
  ManualClock clock_;
};

}  // namespace pmshelf::pool
