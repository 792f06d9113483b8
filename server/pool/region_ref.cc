#include <sys/stat.h>

#include "common/base/units.h"
#include "server/pool/pool.h"

namespace pmshelf::pool {

namespace {

Error out_of_range(uint64_t offset, uint64_t length, uint64_t bytes) {
  return Error(Code::kOutOfRange, "offset " + std::to_string(offset) + " + length " +
                                      std::to_string(length) + " is beyond the region's " +
                                      std::to_string(bytes) + " bytes");
}

// The file behind was cut by somebody (a same-host client may hold a writable descriptor).
bool truncated(const media::Media& media) {
  struct stat facts{};
  return media.fd() >= 0 && ::fstat(media.fd(), &facts) == 0 && S_ISREG(facts.st_mode) &&
         static_cast<uint64_t>(facts.st_size) < media.bytes();
}

}  // namespace

RegionRef::RegionRef(std::shared_ptr<StoreHost> host, store::Pin pin, uint64_t offset,
                     uint64_t bytes, store::RegionId id)
    : host_(std::move(host)),
      pin_(std::move(pin)),
      mapping_(host_->data().mapping()),
      offset_(offset),
      bytes_(bytes),
      id_(id) {}

Status RegionRef::flush(uint64_t offset, uint64_t bytes) const {
  if (!range_inside(offset, bytes, bytes_)) return out_of_range(offset, bytes, bytes_);
  if (host_->offline()) return *host_->failure();
  Status flushed = host_->data().flush(offset_ + offset, bytes);
  if (flushed.ok()) flushed = host_->data().drain();
  // What became durable since the last good drain is unknown now: nothing more is acknowledged.
  if (!flushed.ok()) host_->fail(flushed.error());
  return flushed;
}

Status RegionRef::store(uint64_t offset, std::span<const std::byte> source) const {
  if (!range_inside(offset, source.size(), bytes_)) {
    return out_of_range(offset, source.size(), bytes_);
  }
  Status stored = host_->data().store(offset_ + offset, source);
  if (stored.code() == Code::kIo && truncated(host_->data())) host_->fail(stored.error());
  return stored;
}

Status RegionRef::store8(uint64_t offset, uint64_t value) const {
  if (!range_inside(offset, sizeof value, bytes_)) {
    return out_of_range(offset, sizeof value, bytes_);
  }
  if (offset % 8 != 0) {
    return Error(Code::kInvalidArgument, "offset " + std::to_string(offset) + " of an 8-byte " +
                                             "atomic write is not a multiple of 8");
  }
  Status stored = host_->data().store8(offset_ + offset, value);
  if (stored.code() == Code::kIo && truncated(host_->data())) host_->fail(stored.error());
  return stored;
}

Status RegionRef::read(uint64_t offset, std::span<std::byte> target) const {
  if (!range_inside(offset, target.size(), bytes_)) {
    return out_of_range(offset, target.size(), bytes_);
  }
  Status done = host_->data().read(offset_ + offset, target);
  if (done.code() == Code::kIo) host_->fail(done.error());
  return done;
}

}  // namespace pmshelf::pool
