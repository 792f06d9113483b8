#include "server/pool/shelf_impl.h"

#include <fcntl.h>

#include <atomic>

#include "server/pool/zeroing.h"

namespace pmshelf::pool {

namespace {

constexpr size_t kScanChunk = 256;  // regions copied per hold of the store's lock

uint64_t next_key() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

// A store's pin that also counts as an open region of its shelf.
struct CountedPin {
  CountedPin(std::shared_ptr<Gate> shelf_gate, store::Pin store_pin)
      : gate(std::move(shelf_gate)), pin(std::move(store_pin)) {
    gate->hold();
  }
  CountedPin(const CountedPin&) = delete;
  CountedPin& operator=(const CountedPin&) = delete;
  ~CountedPin() {
    pin = store::Pin();
    gate->drop();
  }
  const std::shared_ptr<Gate> gate;
  store::Pin pin;
};

// Ids are unique within a store, and a store may hold many shelves.
Status on_shelf(const store::Store& store, store::ShelfId shelf, store::RegionId id) {
  PMSHELF_TRY_ASSIGN(const store::RegionInfo region, store.region(id));
  if (region.shelf == shelf) return {};
  return Error(Code::kNotFound, "no region " + std::to_string(id) + " on this shelf");
}

}  // namespace

Result<std::optional<store::RequestOutcome>> find_replay(const store::Store& store,
                                                         const store::Request& request) {
  if (!request.id) return std::optional<store::RequestOutcome>();
  std::optional<store::RequestOutcome> outcome = store.find_request(request.id);
  if (outcome && outcome->digest != request.digest) {
    return Error(Code::kConflict, "this request id was used before with another body");
  }
  return outcome;
}

// Keeps the shelf from being removed, and its store alive, for the length of one call.
class ShelfImpl::Call {
 public:
  explicit Call(const ShelfImpl& shelf) : gate_(shelf.gate_), host_(shelf.host_) {}
  Call(Call&& other) noexcept : gate_(std::move(other.gate_)), host_(std::move(other.host_)) {}
  Call& operator=(Call&&) = delete;
  ~Call() {
    host_.reset();
    if (gate_ != nullptr) gate_->leave();
  }
  const std::shared_ptr<StoreHost>& shared() const { return host_; }
  StoreHost& host() const { return *host_; }
  StoreHost* operator->() const { return host_.get(); }

 private:
  std::shared_ptr<Gate> gate_;
  std::shared_ptr<StoreHost> host_;
};

ShelfImpl::ShelfImpl(std::shared_ptr<StoreHost> host, store::ShelfInfo info, ShelfPlace place)
    : host_(std::move(host)),
      id_(info.id),
      key_(next_key()),
      storage_class_(host_->data().storage_class()),
      blocking_(host_->blocking()),
      recovery_(host_->query([](const store::Store& s) { return s.recovery(); })),
      place_(std::move(place)),
      last_info_(std::move(info)) {}

Result<ShelfImpl::Call> ShelfImpl::enter() const {
  PMSHELF_TRY(named(gate_->enter()));
  Call call(*this);
  if (const auto failure = call->failure()) return named(*failure);
  return call;
}

Error ShelfImpl::named(Error error) const {
  switch (error.code()) {
    case Code::kIo:
    case Code::kCorrupt:
    case Code::kReadOnly:
    case Code::kNotFound:
    case Code::kUnavailable:
      return error.with_context("shelf '" + name() + "'");
    default:
      return error;
  }
}

std::string ShelfImpl::name() const {
  std::lock_guard lock(mutex_);
  return last_info_.name;
}

void ShelfImpl::moved_to(std::string name, std::string data_path) {
  std::lock_guard lock(mutex_);
  last_info_.name = std::move(name);
  place_.data_path = std::move(data_path);
}

void ShelfImpl::remove() {
  auto last = host_->query([this](const store::Store& s) { return s.shelf(id_); });
  {
    std::lock_guard lock(mutex_);
    if (last.ok()) last_info_ = *std::move(last);
    read_only_fd_.reset();
  }
  host_.reset();
  gate_->shut();
}

// ---- queries

store::ShelfInfo ShelfImpl::info() const {
  // Also while the gate is closed or the store offline: what was there last.
  if (Status entered = gate_->enter(); entered.ok()) {
    const Call call(*this);
    auto current = call->query([this](const store::Store& s) { return s.shelf(id_); });
    if (current.ok()) {
      current->name = name();  // what the pool knows it by
      return *std::move(current);
    }
  }
  std::lock_guard lock(mutex_);
  return last_info_;
}

store::SpaceInfo ShelfImpl::space() const {
  if (Status entered = gate_->enter(); !entered.ok()) return {};
  const Call call(*this);
  return call->query([this](const store::Store& s) { return s.space(id_); });
}

std::string ShelfImpl::trouble() const {
  if (Status entered = gate_->enter(); !entered.ok()) return entered.error().message();
  const Call call(*this);
  if (const auto failure = call->failure()) return failure->message();
  if (!recovery_.damage.empty()) return recovery_.damage;
  std::lock_guard lock(mutex_);
  return place_.note;
}

bool ShelfImpl::offline() const {
  if (Status entered = gate_->enter(); !entered.ok()) return true;
  const Call call(*this);
  return call->offline();
}

int ShelfImpl::data_fd() const {
  if (!place_.hand_over) return -1;
  if (Status entered = gate_->enter(); !entered.ok()) return -1;
  const Call call(*this);
  return call->data().fd();
}

int ShelfImpl::data_fd_read_only() const {
  if (!place_.hand_over) return -1;
  if (Status entered = gate_->enter(); !entered.ok()) return -1;
  const Call call(*this);
  std::lock_guard lock(mutex_);
  if (!read_only_fd_ && call->data().fd() >= 0) {
    const std::string link = "/proc/self/fd/" + std::to_string(call->data().fd());
    read_only_fd_.reset(::open(link.c_str(), O_RDONLY | O_CLOEXEC));
  }
  return read_only_fd_.get();
}

std::string ShelfImpl::data_path() const {
  std::lock_guard lock(mutex_);
  return place_.data_path;
}

Result<store::RegionInfo> ShelfImpl::stat(std::string_view name) const {
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  return call->query([&](const store::Store& s) { return s.find(id_, name); });
}

Result<std::string> ShelfImpl::attributes(store::RegionId id) const {
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  auto bytes = call->query([&](const store::Store& s) -> Result<std::string> {
    PMSHELF_TRY(on_shelf(s, id_, id));
    return s.attributes(id);
  });
  return named(std::move(bytes));
}

void ShelfImpl::scan(std::string_view prefix, std::string_view after, bool from_start,
                     const std::function<bool(const store::RegionInfo&)>& visit) const {
  std::string last(after);
  bool first = from_start;
  for (;;) {  // ends with the names: each round goes past `last`
    std::vector<store::RegionInfo> chunk;
    {
      auto call = enter();
      if (!call.ok()) return;
      (*call)->query([&](const store::Store& s) {
        s.scan(id_, prefix, last, first, [&chunk](const store::RegionInfo& region) {
          chunk.push_back(region);
          return chunk.size() < kScanChunk;
        });
      });
    }
    for (const auto& region : chunk) {
      if (!visit(region)) return;
    }
    if (chunk.size() < kScanChunk) return;
    last = chunk.back().name;
    first = false;
  }
}

std::shared_ptr<RegionRef> ShelfImpl::make_ref(const std::shared_ptr<StoreHost>& host,
                                               store::Pin pin, uint64_t offset, uint64_t bytes,
                                               store::RegionId id) const {
  store::Pin counted(std::make_shared<CountedPin>(gate_, std::move(pin)));
  return std::make_shared<RegionRef>(host, std::move(counted), offset, bytes, id);
}

Result<std::shared_ptr<RegionRef>> ShelfImpl::open(std::string_view name) {
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  using Found = std::pair<store::RegionInfo, store::Pin>;
  auto found = call->adjust([&](store::Store& s) -> Result<Found> {
    PMSHELF_TRY_ASSIGN(store::RegionInfo region, s.find(id_, name));
    PMSHELF_TRY_ASSIGN(store::Pin pin, s.pin(region.id));
    return Found(std::move(region), std::move(pin));
  });
  if (!found.ok()) return std::move(found).error();
  auto& [region, pin] = *found;
  return make_ref(call.shared(), std::move(pin), region.offset, region.bytes, region.id);
}

// ---- mutations

Status ShelfImpl::mutate_region(store::RegionId id, const store::Request& request,
                                const std::function<Status(store::Store&)>& stage) {
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  return named(call->mutate([&](store::Store& s) -> Status {
    PMSHELF_TRY_ASSIGN(const auto done, find_replay(s, request));
    if (done) return {};
    PMSHELF_TRY(on_shelf(s, id_, id));
    return stage(s);
  }));
}

Result<store::RegionId> ShelfImpl::create(std::string_view name, uint64_t bytes,
                                          std::string_view attributes,
                                          const store::Request& request) {
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  if (bytes >= kZeroUnderLockBytesMax) {
    return named(create_staged(call.host(), name, bytes, attributes, request));
  }
  return named(call->mutate([&](store::Store& s) -> Result<store::RegionId> {
    PMSHELF_TRY_ASSIGN(const auto done, find_replay(s, request));
    if (done) return done->result;
    return s.create(id_, name, bytes, attributes, request);
  }));
}

// As Store::create, with the zeroing outside of the lock.
Result<store::RegionId> ShelfImpl::create_staged(StoreHost& host, std::string_view name,
                                                 uint64_t bytes, std::string_view attributes,
                                                 const store::Request& request) {
  std::optional<store::RequestOutcome> done;
  auto reserved = host.adjust([&](store::Store& s) -> Result<Reservation> {
    PMSHELF_TRY_ASSIGN(done, find_replay(s, request));
    if (done) return Reservation();
    if (s.find(id_, name).ok()) {
      return Error(Code::kAlreadyExists, "region '" + std::string(name) + "' exists");
    }
    return reserve_pinned(s, id_, bytes);
  });
  if (!reserved.ok()) return std::move(reserved).error();
  Status zeroed;
  if (!done) zeroed = zero_durably(host, reserved->staged);
  const store::Publish item{reserved->staged.id, std::string(name), std::string(attributes),
                            /*replace=*/false, /*expected=*/0};
  auto made = !zeroed.ok()
                  ? Result<store::RegionId>(zeroed.error())
                  : host.mutate([&](store::Store& s) -> Result<store::RegionId> {
                      PMSHELF_TRY_ASSIGN(done, find_replay(s, request));
                      if (done) return done->result;
                      PMSHELF_TRY_ASSIGN(const auto ids, s.publish(id_, {&item, 1}, request));
                      return ids.front();
                    });
  // Published it is no longer staged; otherwise (failed, or a replay after all) it goes.
  if (item.staged != 0) host.adjust([&](store::Store& s) { s.release(item.staged); });
  return made;
}

Status ShelfImpl::erase(store::RegionId id, const store::Request& request) {
  return mutate_region(id, request, [&](store::Store& s) { return s.erase(id, request); });
}

Status ShelfImpl::rename(store::RegionId id, std::string_view new_name, bool replace,
                         const store::Request& request) {
  return mutate_region(id, request,
                       [&](store::Store& s) { return s.rename(id, new_name, replace, request); });
}

Status ShelfImpl::swap(store::RegionId a, store::RegionId b, const store::Request& request) {
  return mutate_region(a, request, [&](store::Store& s) -> Status {
    PMSHELF_TRY(on_shelf(s, id_, b));
    return s.swap(a, b, request);
  });
}

Status ShelfImpl::resize(store::RegionId id, uint64_t bytes, const store::Request& request) {
  return mutate_region(id, request, [&](store::Store& s) { return s.resize(id, bytes, request); });
}

Status ShelfImpl::set_attributes(store::RegionId id, std::string_view attributes,
                                 const store::Request& request) {
  return mutate_region(id, request,
                       [&](store::Store& s) { return s.set_attributes(id, attributes, request); });
}

Result<StagedRegion> ShelfImpl::reserve(uint64_t bytes, bool zero) {
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  auto reserved = call->adjust([&](store::Store& s) { return reserve_pinned(s, id_, bytes); });
  if (!reserved.ok()) return named(std::move(reserved).error());
  const store::Staged staged = reserved->staged;
  if (zero) {
    if (Status zeroed = zero_durably(call.host(), staged); !zeroed.ok()) {
      call->adjust([&](store::Store& s) { s.release(staged.id); });
      return named(std::move(zeroed).error());
    }
  }
  return StagedRegion{
      staged.id, make_ref(call.shared(), std::move(reserved->pin), staged.offset, staged.bytes, 0)};
}

void ShelfImpl::release(store::StagedId id) {
  if (Status entered = gate_->enter(); !entered.ok()) return;
  const Call call(*this);
  call->adjust([id](store::Store& s) { s.release(id); });
}

Result<std::vector<store::RegionId>> ShelfImpl::publish(std::span<const store::Publish> items,
                                                        const store::Request& request) {
  using Ids = std::vector<store::RegionId>;
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  return named(call->mutate([&](store::Store& s) -> Result<Ids> {
    PMSHELF_TRY_ASSIGN(const auto done, find_replay(s, request));
    if (!done) return s.publish(id_, items, request);
    Ids ids;
    for (size_t index = 0; index < items.size(); ++index) ids.push_back(done->result + index);
    return ids;
  }));
}

Status ShelfImpl::transact(std::span<const store::WriteRange> ranges,
                           const store::Request& request) {
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  return named(call->exclusive([&](store::Store& s) -> Status {
    PMSHELF_TRY_ASSIGN(const auto done, find_replay(s, request));
    if (done) return {};
    for (const auto& range : ranges) PMSHELF_TRY(on_shelf(s, id_, range.region));
    return s.transact(ranges, request);
  }));
}

Result<std::optional<store::RequestOutcome>> ShelfImpl::replay(
    const store::Request& request) const {
  using Outcome = std::optional<store::RequestOutcome>;
  if (!request.id) return Outcome();
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  auto done = call->query([&](const store::Store& s) { return find_replay(s, request); });
  if (!done.ok() || !*done) return done;
  // It may be staged only: answer when it is durable.
  return named(call->mutate([&](store::Store&) -> Result<Outcome> { return *done; }));
}

Result<store::CheckReport> ShelfImpl::check() {
  PMSHELF_TRY_ASSIGN(const Call call, enter());
  Result<store::CheckReport> report = store::CheckReport();
  PMSHELF_TRY(named(call->exclusive([&](store::Store& s) -> Status {
    report = s.check();
    return {};
  })));
  return named(std::move(report));
}

}  // namespace pmshelf::pool
