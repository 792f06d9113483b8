#include "client/src/work.h"

#include "client/src/retry.h"

namespace pmshelf::client {
namespace {

// After a failed attempt: whether there is another one.
bool again(Holding& holding, Work& work, Retry& retry, const Attachment& attachment, Error& error,
           uint64_t acknowledged, uint64_t& first) {
  if (acknowledged > first) retry.progressed();
  first = acknowledged;
  if (!retry.again(error, attachment.generation)) return false;
  if (Retry::means_stale(error.code())) {
    holding.invalidate(attachment.id);
    work.stale();
  }
  return true;
}

// A Work in the background. Owner: the attempt in progress (its completion or its job).
class BackgroundWork : public std::enable_shared_from_this<BackgroundWork> {
 public:
  BackgroundWork(std::shared_ptr<Holding> holding, std::unique_ptr<Work> work,
                 std::function<void(Status)> done)
      : holding_(std::move(holding)),
        work_(std::move(work)),
        done_(std::move(done)),
        retry_(holding_->core(), work_->repeat()) {}

  void start() {
    if (holding_->attach_now(attachment_)) {
      attempt();
    } else {
      later([self = shared_from_this()] { self->attach(); });
    }
  }

 private:
  void later(Upkeep::Job job) {
    if (holding_->core().upkeep().post(std::move(job))) return;
    finish(retry_.attach_error(
        Error(Code::kUnavailable, "this client is closed, or too many calls wait for the daemon")));
  }

  // Upkeep thread.
  void attach() {
    auto attached = holding_->attach(retry_.deadline());
    if (!attached.ok()) return finish(retry_.attach_error(std::move(attached).error()));
    attachment_ = *std::move(attached);
    attempt();
  }

  void attempt() {
    Status prepared = work_->prepare(attachment_, first_);
    if (!prepared.ok()) {
      const Error error = retry_.attach_error(std::move(prepared).error());
      return later([self = shared_from_this(), error] { self->finish(error); });
    }
    pump_ = std::make_unique<Pump>(*work_, *attachment_.channel, attachment_.id, first_,
                                   [self = shared_from_this()] { self->answered(); });
    pump_->start();
  }

  // The pump's last act.
  void answered() {
    const Status status = pump_->status();
    if (status.ok()) {
      work_->succeeded(attachment_);
      return finish({});
    }
    // Pausing and reconnecting block: not here.
    later([self = shared_from_this(), error = status.error()] { self->try_again(error); });
  }

  // Upkeep thread.
  void try_again(Error error) {
    const uint64_t acknowledged = pump_->first_unacknowledged();
    if (again(*holding_, *work_, retry_, attachment_, error, acknowledged, first_)) {
      attach();
    } else {
      finish(retry_.call_error(std::move(error)));
    }
  }

  void finish(Status status) {
    const InCompletion scope;  // also on the upkeep thread, which the user must not block either
    const std::function<void(Status)> done = std::move(done_);
    const std::unique_ptr<Pump> pump = std::move(pump_);  // it holds us
    done(std::move(status));
  }

  const std::shared_ptr<Holding> holding_;
  const std::unique_ptr<Work> work_;
  std::function<void(Status)> done_;
  Retry retry_;
  uint64_t first_ = 0;
  Attachment attachment_;
  std::unique_ptr<Pump> pump_;
};

}  // namespace

Status run_work(Holding& holding, Work& work) {
  Status status;
  if (work.at_hand(status)) return status;
  Retry retry(holding.core(), work.repeat());
  uint64_t first = 0;
  for (;;) {
    auto attached = holding.attach(retry.deadline());
    if (!attached.ok()) return retry.attach_error(std::move(attached).error());
    if (work.at_hand_through(*attached, status)) return status;
    status = work.prepare(*attached, first);
    if (!status.ok()) return retry.attach_error(std::move(status).error());
    Pump pump(work, *attached->channel, attached->id, first);
    status = run_pump(pump, *attached->channel, holding.core().options().call_timeout);
    if (status.ok()) {
      work.succeeded(*attached);
      return {};
    }
    Error error = std::move(status).error();
    if (!again(holding, work, retry, *attached, error, pump.first_unacknowledged(), first)) {
      return retry.call_error(std::move(error));
    }
  }
}

void start_work(std::shared_ptr<Holding> holding, std::unique_ptr<Work> work, bool inline_done,
                std::function<void(Status)> done) {
  Status status;
  if (!work->at_hand(status)) {
    std::make_shared<BackgroundWork>(std::move(holding), std::move(work), std::move(done))->start();
  } else if (inline_done) {
    done(std::move(status));
  } else {
    complete_later(holding->core(), std::move(done), std::move(status));
  }
}

void complete_later(Core& core, std::function<void(Status)> done, Status status) {
  const bool posted = core.upkeep().post([done, status] {
    const InCompletion scope;
    done(status);
  });
  if (!posted) done(std::move(status));
}

}  // namespace pmshelf::client
