// Whole values: put and get.
#include <algorithm>
#include <system_error>
#include <thread>

#include "client/src/convert.h"
#include "client/src/region.h"
#include "client/src/shelf.h"
#include "client/src/work.h"
#include "common/base/attributes.h"
#include "common/wire/frame.h"

namespace pmshelf {
namespace {

constexpr uint64_t kOneExchangeBytesMax = wire::kFramePayloadBytesMax;
// What get() asks for before it knows the length.
constexpr size_t kFirstGuessBytes = 4096;
// How often one get or put accepts that a large value is replaced, or its session ends, under it.
constexpr int kLargeAttemptsMax = 8;

class PutWork final : public client::Work {
 public:
  PutWork(std::string_view name, std::string attributes, std::span<const std::byte> value,
          bool must_be_new)
      : name_(name),
        attributes_(std::move(attributes)),
        value_(value),
        must_be_new_(must_be_new),
        id_(client::new_request_id()) {}

  client::Repeat repeat() const override { return client::Repeat::kByRequestId; }

  void submit(transport::Channel& channel, wire::GrantId id, uint64_t /*index*/,
              transport::Channel::Done done) override {
    wire::PutMeta meta;
    meta.request_high = id_.high();
    meta.request_low = id_.low();
    meta.name = name_;
    meta.attributes = attributes_;
    channel.put(id.low, meta, must_be_new_, value_, std::move(done));
  }

 private:
  const std::string name_, attributes_;
  const std::span<const std::byte> value_;
  const bool must_be_new_;
  const v1::RequestId id_;
};

class GetWork final : public client::Work {
 public:
  GetWork(std::string_view name, std::span<std::byte> target) : name_(name), target_(target) {}

  void submit(transport::Channel& channel, wire::GrantId id, uint64_t /*index*/,
              transport::Channel::Done done) override {
    const std::span<std::byte> asked =
        target_.first(std::min<uint64_t>(target_.size(), kOneExchangeBytesMax));
    channel.get(id.low, name_, asked, [this, done](Result<transport::GetResult> result) {
      if (!result.ok()) return done(std::move(result).error());
      result_ = *std::move(result);
      done({});
    });
  }
  const transport::GetResult& result() const { return result_; }

 private:
  const std::string name_;
  const std::span<std::byte> target_;
  transport::GetResult result_;
};

Error does_not_fit(std::string_view name, uint64_t total_bytes, uint64_t target_bytes) {
  return Error(Code::kOutOfRange, "value '" + std::string(name) + "' has " +
                                      std::to_string(total_bytes) + " bytes, the buffer " +
                                      std::to_string(target_bytes));
}

Result<std::string> checked_attributes(std::string_view name, const Attributes& attributes) {
  PMSHELF_TRY(client::check_region_name(name));
  return encode_attributes(attributes);
}

Status decode_into(const std::string& encoded, Attributes* attributes) {
  if (attributes == nullptr) return {};
  PMSHELF_TRY_ASSIGN(*attributes, decode_attributes(encoded));
  return {};
}

// What may be tried again from the start: the value, the staged region or the session went away.
bool went_away(Code code) { return code == Code::kStaleGrant; }

Error replaced_all_the_time(std::string_view name) {
  return Error(Code::kBusy,
               "value '" + std::string(name) + "' is being replaced all the time: try again");
}

// Large values take several exchanges that wait for one another; in the background a thread of
// their own does that, one a value.
template <class Task, class Done>
void on_own_thread(Task task, Done done) {
  try {
    std::thread([task, done] { done(task()); }).detach();
  } catch (const std::system_error& error) {
    done(Error(Code::kResourceExhausted,
               std::string("no thread for a large value: ") + error.what()));
  }
}

// Staged, written in requests, then named in one step.
Status put_large(const Shelf& shelf, std::string_view name, std::span<const std::byte> value,
                 const Attributes& attributes, bool must_be_new) {
  Status outcome;
  for (int attempt = 0; attempt < kLargeAttemptsMax; ++attempt) {
    PMSHELF_TRY_ASSIGN(Region staged, shelf.stage(value.size()));
    outcome = staged.write(0, value);
    if (outcome.ok()) {
      const StagedItem item{std::move(staged), std::string(name), attributes, must_be_new, 0};
      auto committed = shelf.commit({&item, 1});
      if (committed.ok()) return {};
      outcome = std::move(committed).error();
    }
    if (!went_away(outcome.code())) return outcome;
  }
  return outcome;
}

// Reads the rest of a value of which the first exchange brought `result`. kStaleGrant: it is
// another value by now.
Status fetch_rest(const Shelf& shelf, std::string_view name, const transport::GetResult& result,
                  std::span<std::byte> target) {
  PMSHELF_TRY_ASSIGN(const Region region, shelf.open_region(name, kRead));
  if (region.id() != result.region_id) return Error(Code::kStaleGrant, "replaced");
  return region.read(result.copied_bytes, target.subspan(result.copied_bytes));
}

// Returns the value's length; longer than the target: nothing of use is in it. A grant names one
// version of a large value: when that goes while it is read, everything is read again.
Result<uint64_t> fetch(const Shelf& shelf, const client::ShelfPtr& state, std::string_view name,
                       std::span<std::byte> target, Attributes* attributes) {
  PMSHELF_TRY(state->core().may_block());
  PMSHELF_TRY(client::check_region_name(name));
  for (int attempt = 0; attempt < kLargeAttemptsMax; ++attempt) {
    GetWork work(name, target);
    PMSHELF_TRY(client::run_work(*state, work));
    const transport::GetResult& result = work.result();
    if (result.total_bytes > target.size()) return result.total_bytes;
    Status rest;
    if (result.copied_bytes < result.total_bytes) {
      rest = fetch_rest(shelf, name, result, target.first(result.total_bytes));
    }
    if (rest.ok()) {
      PMSHELF_TRY(decode_into(result.attributes, attributes));
      return result.total_bytes;
    }
    if (!went_away(rest.code())) return std::move(rest).error();
  }
  return replaced_all_the_time(name);
}

}  // namespace

Status Shelf::put(std::string_view name, std::span<const std::byte> value,
                  const Attributes& attributes, bool must_be_new) const {
  PMSHELF_TRY(impl_->state->core().may_block());
  PMSHELF_TRY_ASSIGN(std::string encoded, checked_attributes(name, attributes));
  if (value.size() > kOneExchangeBytesMax) {
    return put_large(*this, name, value, attributes, must_be_new);
  }
  PutWork work(name, std::move(encoded), value, must_be_new);
  return client::run_work(*impl_->state, work);
}

Result<uint64_t> Shelf::get_into(std::string_view name, std::span<std::byte> target,
                                 Attributes* attributes) const {
  PMSHELF_TRY_ASSIGN(const uint64_t bytes, fetch(*this, impl_->state, name, target, attributes));
  if (bytes > target.size()) return does_not_fit(name, bytes, target.size());
  return bytes;
}

Result<std::vector<std::byte>> Shelf::get(std::string_view name, Attributes* attributes) const {
  std::vector<std::byte> value(kFirstGuessBytes);
  for (int attempt = 0; attempt < kLargeAttemptsMax; ++attempt) {
    PMSHELF_TRY_ASSIGN(const uint64_t bytes, fetch(*this, impl_->state, name, value, attributes));
    const bool fits = bytes <= value.size();
    value.resize(bytes);
    if (fits) return value;
  }
  return replaced_all_the_time(name);
}

std::future<Status> Shelf::put_async(std::string_view name, std::span<const std::byte> value,
                                     const Attributes& attributes) const {
  auto promise = std::make_shared<std::promise<Status>>();
  std::future<Status> future = promise->get_future();
  const auto done = [promise](Status status) { promise->set_value(std::move(status)); };
  const Status usable = impl_->state->core().usable();
  auto encoded = checked_attributes(name, attributes);
  if (!usable.ok() || !encoded.ok()) {
    done(usable.ok() ? Status(encoded.error()) : usable);
  } else if (value.size() > kOneExchangeBytesMax) {
    on_own_thread(
        [shelf = *this, name = std::string(name), value, attributes] {
          return put_large(shelf, name, value, attributes, /*must_be_new=*/false);
        },
        done);
  } else {
    auto work = std::make_unique<PutWork>(name, *std::move(encoded), value, /*must_be_new=*/false);
    client::start_work(impl_->state, std::move(work), /*inline_done=*/true, done);
  }
  return future;
}

std::future<Result<uint64_t>> Shelf::get_into_async(std::string_view name,
                                                    std::span<std::byte> target) const {
  auto promise = std::make_shared<std::promise<Result<uint64_t>>>();
  auto future = promise->get_future();
  Status checked = impl_->state->core().usable();
  if (checked.ok()) checked = client::check_region_name(name);
  if (!checked.ok()) {
    promise->set_value(std::move(checked).error());
    return future;
  }
  auto work = std::make_unique<GetWork>(name, target);
  const GetWork* const got = work.get();  // lives until `done` has returned
  auto done = [promise, got, target, shelf = *this, name = std::string(name)](Status status) {
    const transport::GetResult& result = got->result();
    if (!status.ok()) {
      promise->set_value(std::move(status).error());
    } else if (result.total_bytes > target.size()) {
      promise->set_value(does_not_fit(name, result.total_bytes, target.size()));
    } else if (result.copied_bytes == result.total_bytes) {
      promise->set_value(result.total_bytes);
    } else {
      on_own_thread([shelf, name, target] { return shelf.get_into(name, target); },
                    [promise](Result<uint64_t> bytes) { promise->set_value(std::move(bytes)); });
    }
  };
  client::start_work(impl_->state, std::move(work), /*inline_done=*/true, std::move(done));
  return future;
}

}  // namespace pmshelf
