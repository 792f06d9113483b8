// What a Client handle holds.
#pragma once

#include <memory>

#include "client/src/core.h"
#include "client/src/holding.h"
#include "pmshelf/client.h"

namespace pmshelf {
namespace client {

// Being there: a session and a data connection, without a grant. What ping needs.
class Presence final : public Holding {
 public:
  explicit Presence(CoreRef core) : Holding(std::move(core), {}) {}
  SameHostPolicy policy() const override { return SameHostPolicy::kDirect; }

 private:
  Result<Held> open_again(Time /*deadline*/) override {
    return Held{{}, core().session().generation()};
  }
};

// A handle on a connected core.
Client make_client(CoreRef core);

}  // namespace client

struct Client::Impl {
  client::CoreRef core;
  std::shared_ptr<client::Presence> presence;
};

}  // namespace pmshelf
