// Several regions at once: staged ones that get names together, and writes in place.
#include "client/src/convert.h"
#include "client/src/region.h"
#include "client/src/shelf.h"
#include "client/src/work.h"
#include "common/base/units.h"
#include "common/wire/frame.h"

namespace pmshelf {
namespace {

constexpr uint64_t kTransactBytesMax = wire::kFramePayloadBytesMax;
constexpr size_t kTransactRangesMax = wire::kFrameRangesMax;

// Repeated under its request id. The grants are looked up anew for each attempt, the bytes gathered
// once.
class TransactWork final : public client::Work {
 public:
  TransactWork(std::span<const RangeWrite> writes, uint64_t total_bytes) {
    const v1::RequestId id = client::new_request_id();
    meta_.request_high = id.high();
    meta_.request_low = id.low();
    payload_.reserve(total_bytes);
    for (const RangeWrite& write : writes) {
      if (write.bytes.empty()) continue;
      grants_.push_back(client::grant_of(write.region));
      meta_.ranges.push_back({{}, {write.offset, write.bytes.size()}});
      payload_.insert(payload_.end(), write.bytes.begin(), write.bytes.end());
    }
  }

  client::Repeat repeat() const override { return client::Repeat::kByRequestId; }

  Status prepare(const client::Attachment& /*attachment*/, uint64_t& /*first*/) override {
    client::Core& core = grants_.front()->core();
    const client::SessionPtr session = core.session().current();
    const client::Time deadline =
        std::chrono::steady_clock::now() + core.options().reconnect_timeout;
    for (size_t index = 0; index < grants_.size(); ++index) {
      PMSHELF_TRY_ASSIGN(meta_.ranges[index].grant, grants_[index]->id_in(*session, deadline));
    }
    return {};
  }

  void submit(transport::Channel& channel, wire::GrantId /*id*/, uint64_t /*index*/,
              transport::Channel::Done done) override {
    channel.transact(meta_, payload_, std::move(done));
  }

  // Which of the grants is meant is not said.
  void stale() override {
    for (size_t index = 0; index < grants_.size(); ++index) {
      grants_[index]->invalidate(meta_.ranges[index].grant);
    }
  }

 private:
  wire::TransactMeta meta_;
  std::vector<client::GrantPtr> grants_;
  std::vector<std::byte> payload_;
};

Status check_writes(const client::ShelfState& shelf, std::span<const RangeWrite> writes,
                    uint64_t& total_bytes) {
  if (writes.size() > kTransactRangesMax) {
    return Error(Code::kInvalidArgument,
                 std::to_string(writes.size()) + " writes in one transaction: at most 1024");
  }
  total_bytes = 0;
  for (const RangeWrite& write : writes) {
    const client::GrantPtr& grant = client::grant_of(write.region);
    if (&grant->core() != &shelf.core() || grant->shelf() != shelf.name()) {
      return Error(Code::kInvalidArgument,
                   "region '" + grant->name() + "' is not of shelf '" + shelf.name() + "'");
    }
    if (!range_inside(write.offset, write.bytes.size(), grant->bytes())) {
      return Error(Code::kOutOfRange, "offset " + std::to_string(write.offset) + " and length " +
                                          std::to_string(write.bytes.size()) + " in region '" +
                                          grant->name() + "' of " + std::to_string(grant->bytes()) +
                                          " bytes");
    }
    total_bytes += write.bytes.size();  // 1024 buffers that exist do not overflow
  }
  if (total_bytes <= kTransactBytesMax) return {};
  return Error(Code::kInvalidArgument, "a transaction of " + std::to_string(total_bytes) +
                                           " bytes: at most 8 MiB; stage and commit instead");
}

}  // namespace

Status Shelf::transact(std::span<const RangeWrite> writes) const {
  PMSHELF_TRY(impl_->state->core().may_block());
  uint64_t total_bytes = 0;
  PMSHELF_TRY(check_writes(*impl_->state, writes, total_bytes));
  if (total_bytes == 0) return {};
  TransactWork work(writes, total_bytes);
  return client::run_work(*impl_->state, work);
}

Result<Region> Shelf::stage(uint64_t bytes, bool zero) const {
  client::Core& core = impl_->state->core();
  PMSHELF_TRY(core.may_block());
  v1::StageRequest request;
  request.set_shelf(name());
  request.set_bytes(bytes);
  request.set_zero(zero);
  v1::Grant grant;
  uint64_t generation = 0;
  PMSHELF_TRY(core.call(&v1::Regions::Stub::Stage, request, &grant, core.plan(), &generation));
  return client::make_region(impl_->state->core_ref(), name(), {}, grant, generation);
}

Result<std::vector<uint64_t>> Shelf::commit(std::span<const StagedItem> items) const {
  client::Core& core = impl_->state->core();
  PMSHELF_TRY(core.may_block());
  v1::CommitRequest request;
  *request.mutable_request_id() = client::new_request_id();
  request.set_shelf(name());
  const client::SessionPtr session = core.session().current();
  for (const StagedItem& item : items) {
    PMSHELF_TRY(client::check_region_name(item.name));
    PMSHELF_TRY_ASSIGN(const wire::GrantId id,
                       client::grant_of(item.region)->id_in(*session, client::Time::max()));
    v1::CommitItem& added = *request.add_items();
    added.set_staged_grant_id(client::encode_grant_id(id));
    added.set_name(item.name);
    for (const auto& [key, value] : item.attributes) {
      PMSHELF_TRY(client::check_text("attribute key", key));
      (*added.mutable_attributes())[key] = value;
    }
    added.set_must_be_new(item.must_be_new);
    added.set_expected_id(item.expected_id);
  }
  v1::CommitResponse response;
  PMSHELF_TRY(core.call(&v1::Regions::Stub::Commit, request, &response));
  if (static_cast<size_t>(response.ids_size()) != items.size()) {
    return Error(Code::kInternal, "the daemon's answer to Commit has a wrong number of ids");
  }
  std::vector<uint64_t> ids(response.ids().begin(), response.ids().end());
  for (size_t index = 0; index < items.size(); ++index) {
    client::grant_of(items[index].region)->named(items[index].name, ids[index]);
  }
  return ids;
}

}  // namespace pmshelf
