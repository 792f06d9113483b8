// A user's mapping of a region, kept safe while it lives.
#pragma once

#include <mutex>
#include <vector>

#include "client/src/grant.h"
#include "pmshelf/client.h"

namespace pmshelf {

// The daemon keeps the bytes from being reused for as long as the connection that mapped them
// lasts. When that is lost the upkeep thread maps the region again in the new session, which
// protects the same bytes. When the region is gone by then, the addresses are given private memory
// with the same contents: stores of the user can no longer reach what others own by now, and
// persist() says kStaleGrant. Thread-safe.
struct Mapping::Impl final : client::WatchedMapping {
 public:
  Impl(client::GrantPtr region, client::MappedGrantPtr mapped);
  ~Impl() override;
  void check(bool closed) override;

  const transport::MappedRange& range() const { return first_->range; }
  Status persist(uint64_t offset, uint64_t bytes);

 private:
  void lose(const Error& why);
  client::MappedGrantPtr guardian();

  const client::GrantPtr grant_;
  const client::MappedGrantPtr first_;  // whose addresses the user has
  std::mutex mutex_;
  client::MappedGrantPtr guardian_;  // the mapping through the living connection
  Status lost_;
};

namespace client {

// kUnsupported: the path or the shelf's policy; kStaleGrant, kUnavailable.
Result<Mapping> map_region(const GrantPtr& grant);

}  // namespace client
}  // namespace pmshelf
