#include "client/src/channels.h"

#include <algorithm>

namespace pmshelf::client {
namespace {

constexpr size_t kLocalSlot = 0;
constexpr std::array<Path, 2> kPathOfSlot = {Path::kLocal, Path::kTcp};

thread_local bool in_completion = false;

std::chrono::milliseconds shorter(std::chrono::milliseconds timeout, Time deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::clamp(left, std::chrono::milliseconds(1), timeout);
}

const Endpoint* endpoint_of(const SessionState& session, Path path) {
  for (const Endpoint& endpoint : session.endpoints) {
    if (endpoint.path == path) return &endpoint;
  }
  return nullptr;
}

}  // namespace

InCompletion::InCompletion() : outer_(in_completion) { in_completion = true; }
InCompletion::~InCompletion() { in_completion = outer_; }
bool InCompletion::active() { return in_completion; }

void ChannelTrash::add(std::unique_ptr<transport::Channel> channel) {
  std::lock_guard lock(mutex_);
  channels_.push_back(std::move(channel));
}

void ChannelTrash::empty() {
  std::vector<std::unique_ptr<transport::Channel>> channels;
  std::lock_guard lock(mutex_);
  channels.swap(channels_);
}

Channels::Channels(const ConnectOptions& options, Dialer& dialer, NoticeHandler on_notice)
    : options_(options), dialer_(dialer), on_notice_(std::move(on_notice)) {}

Channels::~Channels() { close(/*keep_local=*/true); }

std::vector<size_t> Channels::candidates(const SessionState& session, SameHostPolicy policy) const {
  std::vector<size_t> found;
  for (size_t index = 0; index < kPaths; ++index) {
    const Path path = kPathOfSlot[index];
    if (options_.path != Path::kAuto && options_.path != path) continue;
    if (index == kLocalSlot && policy == SameHostPolicy::kOff) continue;
    if (endpoint_of(session, path) == nullptr) continue;
    found.push_back(index);
  }
  return found;
}

ChannelPtr Channels::connected(size_t index, uint64_t generation) const {
  std::lock_guard lock(mutex_);
  const Slot& slot = slots_[index];
  if (slot.generation != generation || !slot.channel || !slot.channel->connected()) return nullptr;
  return slot.channel;
}

ChannelPtr Channels::get_connected(const SessionState& session, SameHostPolicy policy) {
  std::lock_guard lock(mutex_);
  for (size_t index = 0; index < kPaths; ++index) {
    if (index == kLocalSlot && policy == SameHostPolicy::kOff) continue;
    const Slot& slot = slots_[index];
    if (slot.generation == session.generation && slot.channel && slot.channel->connected()) {
      return slot.channel;
    }
  }
  return nullptr;
}

Result<ChannelPtr> Channels::get(const SessionState& session, SameHostPolicy policy,
                                 Time deadline) {
  if (ChannelPtr channel = get_connected(session, policy)) return channel;
  const std::vector<size_t> paths = candidates(session, policy);
  if (paths.empty()) return no_path(session, policy);
  for (const size_t index : paths) {
    const bool last = index == paths.back();
    {
      std::lock_guard lock(mutex_);
      if (!last && slots_[index].foreign_generation == session.generation) continue;
    }
    auto made = connect(index, session, deadline);
    if (made.ok() || last) return made;
    if (made.code() == Code::kSessionExpired || made.code() == Code::kUnauthenticated) {
      // Somebody else's daemon listens there: the one that we talk to is on another host.
      std::lock_guard lock(mutex_);
      slots_[index].foreign_generation = session.generation;
    }
  }
  return no_path(session, policy);
}

Status Channels::check(const SessionState& session) const {
  if (!candidates(session, SameHostPolicy::kDirect).empty()) return {};
  return no_path(session, SameHostPolicy::kDirect);
}

Error Channels::no_path(const SessionState& session, SameHostPolicy policy) const {
  std::string why = session.site.text + ": ";
  if (options_.path == Path::kRdma) {
    why += "this version has no rdma path";
  } else if (policy == SameHostPolicy::kOff && options_.path == Path::kLocal) {
    why += "the shelf's same-host policy is off: use path tcp";
  } else if (policy == SameHostPolicy::kOff) {
    why += "the shelf's same-host policy is off, and the daemon offers no tcp path";
  } else if (options_.path == Path::kLocal) {
    why += "the daemon offers no local path";
  } else {
    why += "the daemon offers no tcp path";
  }
  return Error(Code::kUnsupported, std::move(why));
}

Result<DataAddress> Channels::address_of(size_t index, const SessionState& session) const {
  const Endpoint& endpoint = *endpoint_of(session, kPathOfSlot[index]);
  DataAddress address;
  if (index == kLocalSlot) {
    address.socket_path = endpoint.address;
    return address;
  }
  PMSHELF_TRY_ASSIGN(HostPort parsed, parse_host_port(endpoint.address, 0));
  address.host = parsed.host.empty() ? session.site.host : parsed.host;
  address.port = parsed.port;
  address.tls = endpoint.tls;
  if (!address.tls && !is_loopback_host(address.host)) {
    return Error(Code::kUnsupported, session.site.text + ": its tcp path to " + address.host +
                                         " has no TLS, which only loopback may do without");
  }
  return address;
}

Result<ChannelPtr> Channels::connect(size_t index, const SessionState& session, Time deadline) {
  PMSHELF_TRY_ASSIGN(const DataAddress address, address_of(index, session));
  std::unique_lock lock(slots_[index].connecting, std::defer_lock);
  if (!lock.try_lock_for(shorter(options_.connect_timeout, deadline))) {
    return Error(Code::kUnavailable, session.site.text + ": the data path did not connect in time");
  }
  if (ChannelPtr channel = connected(index, session.generation)) return channel;
  PMSHELF_TRY_ASSIGN(auto made, dialer_.dial(address, session.id, session.data_secret,
                                             shorter(options_.connect_timeout, deadline)));
  return install(index, std::move(made), session.generation);
}

Result<ChannelPtr> Channels::install(size_t index, std::unique_ptr<transport::Channel> made,
                                     uint64_t generation) {
  made->on_notice = on_notice_;
  ChannelPtr channel(made.release(), [trash = trash_](transport::Channel* raw) {
    std::unique_ptr<transport::Channel> owned(raw);
    if (InCompletion::active()) trash->add(std::move(owned));
  });
  ChannelPtr old = channel;  // dropped after the lock is
  std::lock_guard lock(mutex_);
  if (closed_) return Error(Code::kUnavailable, "this client is closed");
  Slot& slot = slots_[index];
  old.swap(slot.channel);
  slot.generation = generation;
  return channel;
}

void Channels::close(bool keep_local) {
  std::array<ChannelPtr, kPaths> open;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    for (size_t index = 0; index < kPaths; ++index) open[index].swap(slots_[index].channel);
  }
  for (size_t index = 0; index < kPaths; ++index) {
    if (open[index] && !(keep_local && index == kLocalSlot)) open[index]->close();
  }
}

}  // namespace pmshelf::client
