#include "server/pool/replace.h"

namespace pmshelf::pool {
namespace {

// Turns "replace whatever is there" into "replace exactly this" for each item that leaves it open.
Status pin_down(const Shelf& shelf, std::span<const store::Publish> items,
                std::vector<store::Publish>& exact) {
  for (size_t index = 0; index < items.size(); ++index) {
    if (!items[index].replace || items[index].expected != 0) continue;
    auto present = shelf.stat(items[index].name);
    if (!present.ok() && present.code() != Code::kNotFound) return std::move(present).error();
    exact[index].replace = present.ok();
    exact[index].expected = present.ok() ? present->id : 0;
  }
  return {};
}

bool has_conditions(std::span<const store::Publish> items) {
  for (const store::Publish& item : items) {
    if (!item.replace || item.expected != 0) return true;
  }
  return false;
}

bool same_conditions(std::span<const store::Publish> a, std::span<const store::Publish> b) {
  for (size_t index = 0; index < a.size(); ++index) {
    if (a[index].expected != b[index].expected || a[index].replace != b[index].replace)
      return false;
  }
  return true;
}

}  // namespace

Result<Published> publish_replacing(Shelf& shelf, std::span<const store::Publish> items,
                                    const store::Request& request) {
  std::vector<store::Publish> exact(items.begin(), items.end());
  PMSHELF_TRY(pin_down(shelf, items, exact));
  for (int attempt = 0; attempt < kReplaceAttempts; ++attempt) {
    auto ids = shelf.publish(exact, request);
    if (ids.ok()) {
      Published published{*std::move(ids), {}};
      for (const store::Publish& item : exact) {
        if (item.expected != 0) published.replaced.push_back(item.expected);
      }
      return published;
    }
    if (ids.code() != Code::kConflict && ids.code() != Code::kAlreadyExists) {
      return std::move(ids).error();
    }
    // The caller's condition or request id, or only one of ours, which has changed by now?
    const std::vector<store::Publish> before = exact;
    PMSHELF_TRY(pin_down(shelf, items, exact));
    const bool callers = has_conditions(items) || shelf.replay(request).code() == Code::kConflict;
    if (callers && same_conditions(before, exact)) return std::move(ids).error();
  }
  return Error(Code::kBusy, "the names are being replaced by others all the time: try again");
}

}  // namespace pmshelf::pool
