// Requests that name a grant: read, write, flush, atomic write, several ranges.
#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/units.h"
#include "server/dataplane/mutant.h"
#include "server/dataplane/request.h"

namespace pmshelf::dataplane {
namespace {

using transport::Window;

Error bad_field(const char* field, const std::string& what) {
  return Error(Code::kInvalidArgument, std::string(field) + ": " + what);
}

class RegionOperation : public DataOperation {
 public:
  RegionOperation(const Request& request, session::Access access)
      : DataOperation(request), access_(std::move(access)), region_(region_of(access_)) {}

 protected:
  session::Access access_;  // keeps region_ and its bytes
  pool::RegionRef& region_;
};

// One range, in one window.
class ReadOperation final : public RegionOperation {
 public:
  ReadOperation(const Request& request, session::Access access)
      : RegionOperation(request, std::move(access)),
        window_{region_.data() + request.header.offset, request.header.length} {
    if (window_.bytes != 0) windows_ = {&window_, 1};
  }

 private:
  Reply work() override { return {}; }
  Window window_;
};

class WriteOperation final : public RegionOperation {
 public:
  WriteOperation(const Request& request, session::Access access)
      : RegionOperation(request, std::move(access)),
        window_{region_.data() + request.header.offset, request.header.payload_bytes},
        offset_(request.header.offset),
        flush_((request.header.flags & wire::kFlagVisibleOnly) == 0 &&
               !mutant(Mutant::kSkipWriteFlush)) {
    if (window_.bytes != 0) windows_ = {&window_, 1};
    may_block_ = flush_ && window_.bytes != 0 && region_.host().blocking();
  }

 private:
  Reply work() override {
    Reply reply;
    if (flush_) reply.status = region_.flush(offset_, window_.bytes);
    return reply;
  }
  Window window_;
  const uint64_t offset_;
  const bool flush_;
};

class FlushOperation final : public RegionOperation {
 public:
  FlushOperation(const Request& request, session::Access access)
      : RegionOperation(request, std::move(access)),
        range_{request.header.offset, request.header.length} {
    may_block_ = region_.host().blocking();
  }

 private:
  Reply work() override {
    Reply reply;
    reply.status = region_.flush(range_.offset, range_.length);
    return reply;
  }
  const wire::Range range_;
};

class AtomicWrite8Operation final : public RegionOperation {
 public:
  AtomicWrite8Operation(const Request& request, session::Access access)
      : RegionOperation(request, std::move(access)),
        offset_(request.header.offset),
        value_(request.header.length) {
    may_block_ = region_.host().blocking();
  }

 private:
  Reply work() override {
    Reply reply;
    reply.status = region_.store8(offset_, value_);
    if (reply.status.ok()) reply.status = region_.flush(offset_, sizeof value_);
    return reply;
  }
  const uint64_t offset_;
  const uint64_t value_;
};

class RangesOperation final : public RegionOperation {
 public:
  RangesOperation(const Request& request, session::Access access, std::vector<wire::Range> ranges)
      : RegionOperation(request, std::move(access)),
        ranges_(std::move(ranges)),
        flush_(request.header.op == wire::Op::kWriteRanges &&
               (request.header.flags & wire::kFlagVisibleOnly) == 0) {
    for (const wire::Range& range : ranges_) {
      if (range.length != 0) pieces_.push_back({region_.data() + range.offset, range.length});
    }
    windows_ = pieces_;
    may_block_ = flush_ && region_.host().blocking();
  }

 private:
  Reply work() override {
    Reply reply;
    if (flush_) reply.status = flush_all();
    return reply;
  }

  // Ranges that lie close together are flushed as one: on page-cache files every flush is a system
  // call, and the bytes between are at most one page.
  Status flush_all() {
    std::sort(ranges_.begin(), ranges_.end(),
              [](const wire::Range& a, const wire::Range& b) { return a.offset < b.offset; });
    wire::Range joined = ranges_.front();
    for (const wire::Range& next : ranges_) {
      const uint64_t end = joined.offset + joined.length;
      if (next.offset <= end + store::kPageBytes) {
        joined.length = std::max(end, next.offset + next.length) - joined.offset;
      } else {
        PMSHELF_TRY(region_.flush(joined.offset, joined.length));
        joined = next;
      }
    }
    return region_.flush(joined.offset, joined.length);
  }

  std::vector<wire::Range> ranges_;
  std::vector<Window> pieces_;
  const bool flush_;
};

Status check_payload_size(uint64_t bytes) {
  if (bytes <= wire::kFramePayloadBytesMax) return {};
  return bad_field("length", std::to_string(bytes) + " bytes; one frame carries at most 8 MiB");
}

// Decodes the ranges, adds them up, and gets access to the smallest range that holds them all: one
// check for all of them, since a grant is for a whole region.
Result<OperationPtr> begin_ranges(const Request& request, uint8_t right, uint64_t* total_bytes) {
  PMSHELF_TRY_ASSIGN(std::vector<wire::Range> ranges, wire::decode_ranges(request.meta));
  if (ranges.empty()) return bad_field("meta", "no ranges");
  uint64_t begin = UINT64_MAX;
  uint64_t end = 0;
  *total_bytes = 0;
  for (const wire::Range& range : ranges) {
    if (range.length > UINT64_MAX - range.offset || range.length > UINT64_MAX - *total_bytes) {
      return Error(Code::kOutOfRange, "a range ends beyond 2^64");
    }
    begin = std::min(begin, range.offset);
    end = std::max(end, range.offset + range.length);
    *total_bytes += range.length;
  }
  PMSHELF_TRY(check_payload_size(*total_bytes));
  PMSHELF_TRY_ASSIGN(session::Access access,
                     begin_access(request, request.header.grant, right, begin, end - begin));
  return OperationPtr(
      std::make_unique<RangesOperation>(request, std::move(access), std::move(ranges)));
}

}  // namespace

Result<OperationPtr> begin_read(const Request& request) {
  const wire::FrameHeader& header = request.header;
  PMSHELF_TRY(check_payload_size(header.length));
  PMSHELF_TRY_ASSIGN(session::Access access, begin_access(request, header.grant, store::kRead,
                                                          header.offset, header.length));
  return OperationPtr(std::make_unique<ReadOperation>(request, std::move(access)));
}

Result<OperationPtr> begin_write(const Request& request) {
  const wire::FrameHeader& header = request.header;
  const uint64_t bytes = header.payload_bytes - (mutant(Mutant::kRangeOneOver) ? 1 : 0);
  PMSHELF_TRY_ASSIGN(session::Access access,
                     begin_access(request, header.grant, store::kWrite, header.offset, bytes));
  return OperationPtr(std::make_unique<WriteOperation>(request, std::move(access)));
}

Result<OperationPtr> begin_flush(const Request& request) {
  const wire::FrameHeader& header = request.header;
  PMSHELF_TRY_ASSIGN(session::Access access, begin_access(request, header.grant, store::kWrite,
                                                          header.offset, header.length));
  return OperationPtr(std::make_unique<FlushOperation>(request, std::move(access)));
}

Result<OperationPtr> begin_atomic_write8(const Request& request) {
  const wire::FrameHeader& header = request.header;
  if (header.offset % sizeof(uint64_t) != 0) {
    return bad_field("offset", std::to_string(header.offset) + " is not a multiple of 8");
  }
  PMSHELF_TRY_ASSIGN(session::Access access, begin_access(request, header.grant, store::kWrite,
                                                          header.offset, sizeof(uint64_t)));
  return OperationPtr(std::make_unique<AtomicWrite8Operation>(request, std::move(access)));
}

Result<OperationPtr> begin_read_ranges(const Request& request) {
  uint64_t total_bytes = 0;
  return begin_ranges(request, store::kRead, &total_bytes);
}

Result<OperationPtr> begin_write_ranges(const Request& request) {
  uint64_t total_bytes = 0;
  PMSHELF_TRY_ASSIGN(OperationPtr operation, begin_ranges(request, store::kWrite, &total_bytes));
  if (total_bytes != request.header.payload_bytes) {
    return bad_field("payload_bytes", "the ranges hold " + std::to_string(total_bytes) +
                                          " bytes, the payload " +
                                          std::to_string(request.header.payload_bytes));
  }
  return operation;
}

}  // namespace pmshelf::dataplane
