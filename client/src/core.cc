#include "client/src/core.h"

#include <algorithm>

#include "client/src/grant.h"
#include "client/src/session_open.h"
#include "common/base/utf8.h"
#include "common/media/guard.h"

namespace pmshelf::client {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kCloseTimeout{1000};
constexpr milliseconds kKeepAliveRetry{1000};
constexpr size_t kClientNameBytesMax = 256;

Status check_options(const ConnectOptions& options) {
  const milliseconds none{0};
  if (options.connect_timeout <= none || options.call_timeout <= none ||
      options.reconnect_timeout < none) {
    return Error(Code::kInvalidArgument,
                 "options connect_timeout and call_timeout must be above 0, reconnect_timeout at "
                 "least 0");
  }
  if (options.client_name.size() > kClientNameBytesMax || !is_valid_utf8(options.client_name)) {
    return Error(Code::kInvalidArgument, "option client_name: at most 256 bytes of UTF-8");
  }
  return {};
}

ConnectOptions with_name(ConnectOptions options) {
  if (options.client_name.empty()) options.client_name = usual_client_name();
  return options;
}

}  // namespace

Core::Core(const ConnectOptions& options, Target target, const Environment& environment,
           std::unique_ptr<Dialer> dialer)
    : options_(with_name(options)),
      dialer_(std::move(dialer)),
      session_(options_, std::move(target), environment, *dialer_, lifeline_),
      channels_(options_, *dialer_,
                [this](wire::NoticeKind kind, wire::GrantId grant) { on_notice(kind, grant); }),
      upkeep_(tasks()) {}

Upkeep::Tasks Core::tasks() {
  Upkeep::Tasks tasks;
  tasks.keep_alive = [this] { return keep_alive(); };
  tasks.release = [this](const auto& grants) { release(grants); };
  tasks.tidy = [this] { channels_.empty_trash(); };
  tasks.end = [this] {
    channels_.close(/*keep_local=*/check_mappings(true));
    session_.close(*session_.current(), kCloseTimeout);
  };
  tasks.linger = [this] { return check_mappings(true); };
  return tasks;
}

Result<CoreRef> Core::connect(const ConnectOptions& options, const Environment& environment,
                              std::unique_ptr<Dialer> dialer) {
  PMSHELF_TRY(check_options(options));
  const bool named = !options.target.empty();
  PMSHELF_TRY_ASSIGN(Target target, parse_target(named ? options.target : environment.target));
  media::install_sigbus_guard();
  auto owner = std::make_shared<Core>(options, std::move(target), environment, std::move(dialer));
  PMSHELF_TRY(owner->session_.open(Clock::now() + options.connect_timeout));
  const SessionPtr session = owner->session_.current();
  PMSHELF_TRY(owner->channels_.check(*session));
  const milliseconds first = session->keep_alive / 3;
  owner->keep_alive_due_ = Clock::now() + first;
  owner->upkeep_.start(owner, first);
  return CoreRef(owner.get(), [owner](Core* core) mutable {
    if (core->forked()) {
      // Threads, locks and sockets are the parent's: nothing here can be ended, only left alone.
      new std::shared_ptr<Core>(std::move(owner));
      return;
    }
    core->close();
    owner.reset();
  });
}

Status Core::may_block() const {
  PMSHELF_TRY(usable());
  if (!InCompletion::active()) return {};
  return Error(Code::kInvalidArgument, "a blocking call from a completion: use the async forms");
}

CallPlan Core::plan(milliseconds extra) const {
  CallPlan plan;
  plan.timeout = options_.call_timeout + extra;
  return plan;
}

std::string_view Core::path(SameHostPolicy policy) {
  if (!usable().ok()) return {};
  const SessionPtr session = session_.current();
  if (const ChannelPtr channel = channels_.get_connected(*session, policy)) return channel->path();
  if (InCompletion::active()) return {};
  auto made = channels_.get(*session, policy, Clock::now() + options_.connect_timeout);
  return made.ok() ? (*made)->path() : std::string_view();
}

void Core::close() {
  lifeline_.stop();
  bool lingers = false;
  {
    std::lock_guard lock(mutex_);
    lingers = !mappings_.empty();
  }
  upkeep_.finish(/*wait=*/!lingers);
}

void Core::add_mapping(const std::shared_ptr<WatchedMapping>& mapping) {
  {
    std::lock_guard lock(mutex_);
    mappings_[mapping.get()] = mapping;
  }
  upkeep_.hurry();  // watch more closely from now on
}

void Core::remove_mapping(const WatchedMapping* mapping) {
  {
    std::lock_guard lock(mutex_);
    mappings_.erase(mapping);
  }
  if (lifeline_.stopped()) upkeep_.hurry();
}

void Core::watch(const std::shared_ptr<GrantState>& grant, wire::GrantId id) {
  std::lock_guard lock(mutex_);
  watched_[{id.high, id.low}] = grant;
}

void Core::unwatch(wire::GrantId id) {
  std::lock_guard lock(mutex_);
  watched_.erase({id.high, id.low});
}

void Core::on_notice(wire::NoticeKind kind, wire::GrantId id) {
  if (kind != wire::NoticeKind::kRevoked) return;
  const InCompletion scope;
  std::shared_ptr<GrantState> grant;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = watched_.find({id.high, id.low}); found != watched_.end()) {
      grant = found->second.lock();
    }
  }
  if (grant) grant->invalidate(id);
}

void Core::release(const std::vector<std::pair<uint64_t, wire::GrantId>>& grants) {
  const SessionPtr session = session_.current();
  std::vector<wire::GrantId> ids;
  for (const auto& [generation, id] : grants) {
    if (generation == session->generation) ids.push_back(id);
  }
  if (!ids.empty()) session_.release(*session, ids, options_.call_timeout);
}

void Core::renew_leases() {
  const SessionPtr session = session_.current();
  const milliseconds interval = session->keep_alive / 3;
  auto lost = session_.keep_alive(*session, std::min(interval, options_.call_timeout));
  milliseconds next = interval;
  if (lost.ok()) {
    for (const wire::GrantId grant : *lost) on_notice(wire::NoticeKind::kRevoked, grant);
  } else if (lost.code() == Code::kSessionExpired) {
    // Its failure shows in the next call, or in the next keep-alive.
    (void)session_.renew(session->generation, Clock::now() + options_.connect_timeout).ok();
  } else {
    next = std::min(interval, kKeepAliveRetry);
  }
  keep_alive_due_ = Clock::now() + next;
}

milliseconds Core::keep_alive() {
  if (Clock::now() >= keep_alive_due_) renew_leases();
  const bool mapped = check_mappings(false);
  const auto left = std::chrono::ceil<milliseconds>(keep_alive_due_ - Clock::now());
  return mapped ? std::min(left, kMappingWatch) : left;
}

bool Core::check_mappings(bool closed) {
  std::vector<std::shared_ptr<WatchedMapping>> mappings;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, known] : mappings_) {
      if (auto mapping = known.lock()) mappings.push_back(std::move(mapping));
    }
  }
  for (const auto& mapping : mappings) mapping->check(closed);
  return !mappings.empty();
}

}  // namespace pmshelf::client
