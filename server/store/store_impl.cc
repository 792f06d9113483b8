#include "server/store/store_impl.h"

#include "server/store/attributes.h"

namespace pmshelf::store {

void BatchDeleter::operator()(Batch* batch) const { delete batch; }

Status Store::sync() {
  PMSHELF_TRY_ASSIGN(BatchPtr batch, take_batch());
  if (!batch) return {};
  PMSHELF_TRY(write_batch(*batch));
  finish_batch(std::move(batch));
  return {};
}

Status StoreImpl::usable() const {
  if (!offline()) return {};
  return Error(Code::kIo, map_.name() + ": offline after a failed write; open it again");
}

Status StoreImpl::writable() const {
  PMSHELF_TRY(usable());
  if (!read_only_) return {};
  return Error(Code::kReadOnly, map_.name() + ": open read-only" +
                                    (report_.damage.empty() ? "" : ": " + report_.damage));
}

Status StoreImpl::go_offline(Error error) {
  offline_.store(true, std::memory_order_release);
  return error;
}

Result<ShelfEntry*> StoreImpl::shelf_entry(ShelfId id) const {
  ShelfEntry* shelf = state_->catalogue.shelf(id);
  if (shelf == nullptr) return Error(Code::kNotFound, "no shelf " + std::to_string(id));
  return shelf;
}

Result<RegionEntry*> StoreImpl::region_entry(RegionId id) const {
  RegionEntry* region = state_->catalogue.region(id);
  if (region == nullptr) return Error(Code::kNotFound, "no region " + std::to_string(id));
  return region;
}

Result<std::optional<uint64_t>> StoreImpl::applied(const Request& request) const {
  if (!request.id) return std::optional<uint64_t>();
  const RememberedRequest* earlier = state_->requests.find(request.id);
  if (earlier == nullptr) return std::optional<uint64_t>();
  if (earlier->outcome.digest != request.digest) {
    return Error(Code::kConflict, "request id was already used for a different request");
  }
  return std::optional<uint64_t>(earlier->outcome.result);
}

Status StoreImpl::room_for(uint64_t op_count, uint64_t op_bytes, int64_t growth,
                           const Request& request) {
  if (request.id) {
    op_bytes += kOperationRequestBytes;
    growth += kRequestKeptBytes;
  }
  if (pending_count_ + op_count > kBatchOpsMax ||
      pending_op_bytes() + op_bytes > kRecordOpBytesMax) {
    return Error(Code::kResourceExhausted,
                 "one batch holds at most 4096 operations and 1 MiB of them: try again when this "
                 "one is written, with less at once");
  }
  if (growth <= 0) return {};
  return make_metadata_room(static_cast<uint64_t>(growth));
}

Status StoreImpl::check_attributes(std::string_view attributes) const {
  if (attributes.empty()) return {};
  const auto decoded = decode_attributes(attributes);
  if (decoded.ok()) return {};
  return Error(Code::kInvalidArgument, decoded.error().message());
}

}  // namespace pmshelf::store
