#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "server/control/convert.h"
#include "server/control/regions_service.h"
#include "server/session/rights.h"

namespace pmshelf::control {
namespace {

constexpr uint32_t kLimitDefault = 1000;
constexpr uint32_t kLimitMax = 10'000;
constexpr size_t kScanStep = 1024;         // names looked at while the store is locked
constexpr size_t kListBytesMax = 3 << 20;  // then `more`; a message is 4 MiB at most

struct Step {
  std::vector<store::RegionInfo> matches;
  std::string last;   // name looked at
  bool more = false;  // the step ended before the shelf did
};

// One short look under the store's lock.
Step scan_step(const pool::Shelf& shelf, const v1::ListRegionsRequest& request,
               const std::string& after, bool from_start, size_t wanted) {
  Step step;
  size_t seen = 0;
  shelf.scan(request.prefix(), after, from_start, [&](const store::RegionInfo& region) {
    if (seen == kScanStep || step.matches.size() == wanted) {
      step.more = true;
      return false;
    }
    ++seen;
    step.last = region.name;
    if (request.match().empty() || session::glob_match(request.match(), region.name)) {
      step.matches.push_back(region);
    }
    return true;
  });
  return step;
}

// False when the region has gone meanwhile.
Result<bool> add_attributes(const pool::Shelf& shelf, store::RegionId id, v1::RegionInfo& out) {
  const auto attributes = shelf.attributes(id);
  if (attributes.code() == Code::kNotFound) return false;
  if (!attributes.ok()) return attributes.error();
  PMSHELF_TRY(decode_map(*attributes, *out.mutable_attributes()));
  return true;
}

}  // namespace

grpc::Status RegionsService::List(grpc::ServerContext* context,
                                  const v1::ListRegionsRequest* request,
                                  v1::ListRegionsResponse* response) {
  return serve_caller(state_, *context, "Regions.List", [&](const Caller& caller) -> Status {
    PMSHELF_TRY(check_glob("match", request->match()));
    if (request->limit() > kLimitMax) {
      return Error(Code::kInvalidArgument, "limit: at most 10000; ask again with `after`");
    }
    for (const auto& [field, name] :
         {std::pair("prefix", &request->prefix()), std::pair("after", &request->after())}) {
      if (name->size() > store::kRegionNameBytesMax) {
        return Error(Code::kInvalidArgument, std::string(field) + ": at most 4096 bytes");
      }
    }
    PMSHELF_TRY_ASSIGN(const ShelfView view,
                       find_shelf(state_, caller, request->shelf(), store::kRead | store::kWrite));
    return list(*context, view, *request, *response);
  });
}

Status RegionsService::list(const grpc::ServerContext& context, const ShelfView& view,
                            const v1::ListRegionsRequest& request,
                            v1::ListRegionsResponse& response) {
  const size_t limit = request.limit() == 0 ? kLimitDefault : request.limit();
  size_t bytes = 0;
  Step step{{}, request.after(), true};
  bool from_start = request.after().empty();
  while (step.more) {
    PMSHELF_TRY(still_wanted(context));
    const size_t wanted = limit - static_cast<size_t>(response.regions_size());
    step = scan_step(*view.shelf, request, std::exchange(step.last, {}), from_start, wanted);
    from_start = false;
    for (const store::RegionInfo& region : step.matches) {
      v1::RegionInfo out;
      fill(state_.parts.registry, *view.shelf, region, out);
      if (request.with_attributes()) {
        PMSHELF_TRY_ASSIGN(const bool there, add_attributes(*view.shelf, region.id, out));
        if (!there) continue;
      }
      bytes += out.ByteSizeLong() + 8;
      if (bytes > kListBytesMax && response.regions_size() > 0) {
        response.set_more(true);
        return {};
      }
      *response.add_regions() = std::move(out);
    }
    if (static_cast<size_t>(response.regions_size()) >= limit) break;
  }
  response.set_more(step.more);
  return {};
}

}  // namespace pmshelf::control
