// What a Shelf handle holds.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "client/src/holding.h"
#include "pmshelf/client.h"

namespace pmshelf {
namespace client {

// The shelf's handle for whole values. Owners: Shelf handles and their calls in progress. attach()
// fails with kNotFound when no shelf has the name by now.
class ShelfState final : public Holding {
 public:
  ShelfState(CoreRef core, std::string name, Held held, SameHostPolicy policy)
      : Holding(std::move(core), held), name_(std::move(name)), policy_(policy) {}

  const std::string& name() const { return name_; }
  SameHostPolicy policy() const override { return policy_.load(std::memory_order_relaxed); }

 private:
  Result<Held> open_again(Time deadline) override;

  const std::string name_;
  std::atomic<SameHostPolicy> policy_;
};
using ShelfPtr = std::shared_ptr<ShelfState>;

// Opens the shelf: a handle, its policy.
Result<ShelfPtr> open_shelf(const CoreRef& core, std::string_view name);

}  // namespace client

struct Shelf::Impl {
  client::ShelfPtr state;
};

}  // namespace pmshelf
