#include "server/dataplane/shelf_cache.h"

#include <utility>

#include "server/dataplane/mutant.h"
#include "server/dataplane/request.h"
#include "server/session/rights.h"

namespace pmshelf::dataplane {
namespace {

uint8_t rights_on(const session::Principal& principal, const store::ShelfInfo& info) {
  std::vector<session::AccessRule> rules;
  rules.reserve(info.acl.size());
  for (const store::AclEntry& entry : info.acl) rules.push_back({entry.principal, entry.rights});
  return session::rights_of(principal, info.name, info.owner, rules);
}

Error local_is_off() {
  return Error(Code::kUnsupported,
               "the shelf's same-host policy is off: connect by TCP, or set the policy to copy");
}

}  // namespace

void ShelfCache::bind(const wire::SessionId& session, session::Principal principal) {
  session_ = session;
  principal_ = std::move(principal);
}

ShelfCache::Entry* ShelfCache::find(Entries& entries, uint64_t name) {
  for (Entry& entry : entries) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

ShelfCache::Entry& ShelfCache::remember(Entries& entries, uint64_t name,
                                        const std::shared_ptr<pool::Shelf>& shelf, uint64_t epoch) {
  Entry* entry = find(entries, name);
  if (entry == nullptr) {
    if (entries.size() >= kShelvesCached) entries.erase(entries.begin());
    entry = &entries.emplace_back();
  }
  const store::ShelfInfo info = shelf->info();
  *entry = {name, epoch, shelf, rights_on(principal_, info), info.same_host};
  return *entry;
}

Result<std::shared_ptr<pool::Shelf>> ShelfCache::by_handle(uint64_t handle, uint8_t right,
                                                           bool local) {
  const uint64_t epoch = parts_.handles.access_epoch();  // before anything is looked at
  Entry* entry = find(by_handle_, handle);
  std::shared_ptr<pool::Shelf> shelf =
      entry != nullptr && (entry->epoch == epoch || mutant(Mutant::kRememberRights))
          ? entry->shelf.lock()
          : nullptr;
  if (shelf == nullptr) {
    PMSHELF_TRY_ASSIGN(std::shared_ptr<void> found, parts_.handles.find(session_, handle));
    shelf = std::static_pointer_cast<pool::Shelf>(std::move(found));
    entry = &remember(by_handle_, handle, shelf, epoch);
  }
  if (entry->rights == 0) {
    return Error(Code::kNotFound, "no such shelf, or none that you may know of");
  }
  if ((entry->rights & right) == 0) {
    return Error(Code::kPermissionDenied, right == store::kRead
                                              ? "no READ right on this shelf: ask its owner"
                                              : "no WRITE right on this shelf: ask its owner");
  }
  if (local && entry->policy == store::SameHostPolicy::kOff) return local_is_off();
  return shelf;
}

Status ShelfCache::allow_local(uint64_t shelf_key) {
  const uint64_t epoch = parts_.handles.access_epoch();
  Entry* entry = find(by_key_, shelf_key);
  if (entry == nullptr || entry->epoch != epoch) {
    const std::shared_ptr<pool::Shelf> shelf = parts_.find_shelf(shelf_key);
    if (shelf == nullptr) return Error(Code::kStaleGrant, "the shelf has been erased");
    entry = &remember(by_key_, shelf_key, shelf, epoch);
  }
  if (entry->policy == store::SameHostPolicy::kOff) return local_is_off();
  return {};
}

Result<std::shared_ptr<pool::Shelf>> ShelfCache::by_key(uint64_t shelf_key) {
  const uint64_t epoch = parts_.handles.access_epoch();
  if (Entry* entry = find(by_key_, shelf_key); entry != nullptr && entry->epoch == epoch) {
    if (std::shared_ptr<pool::Shelf> shelf = entry->shelf.lock()) return shelf;
  }
  std::shared_ptr<pool::Shelf> shelf = parts_.find_shelf(shelf_key);
  if (shelf == nullptr) return Error(Code::kNotFound, "the shelf has been erased");
  remember(by_key_, shelf_key, shelf, epoch);
  return shelf;
}

}  // namespace pmshelf::dataplane
