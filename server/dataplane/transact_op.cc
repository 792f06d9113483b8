// In-place writes of several ranges, all or nothing.
#include <utility>
#include <vector>

#include "server/dataplane/dram_buffer.h"
#include "server/dataplane/request.h"
#include "server/dataplane/request_digest.h"
#include "server/dataplane/shelf_cache.h"

namespace pmshelf::dataplane {
namespace {

using transport::Window;

// Transactions up to this size run on the data thread when the medium does not block.
constexpr uint64_t kInlineTransactBytesMax = 64 * 1024;

// The payload waits in DRAM: no byte may be seen in its place before all of them are safe.
class TransactOperation final : public DataOperation {
 public:
  TransactOperation(const Request& request, wire::TransactMeta meta,
                    std::shared_ptr<pool::Shelf> shelf, std::vector<session::Access> accesses,
                    DramBuffer payload)
      : DataOperation(request),
        meta_(std::move(meta)),
        shelf_(std::move(shelf)),
        accesses_(std::move(accesses)),
        payload_(std::move(payload)),
        window_{payload_.data(), request.header.payload_bytes} {
    if (window_.bytes != 0) windows_ = {&window_, 1};
    may_block_ = shelf_->blocking() || window_.bytes > kInlineTransactBytesMax;
  }

 private:
  Reply work() override {
    Reply reply;
    reply.status = transact();
    return reply;
  }

  Status transact() {
    std::vector<store::WriteRange> writes;
    writes.reserve(meta_.ranges.size());
    uint64_t position = 0;
    for (size_t index = 0; index < meta_.ranges.size(); ++index) {
      const wire::Range& range = meta_.ranges[index].range;
      writes.push_back({accesses_[index].region().region, range.offset,
                        payload_.span().subspan(position, range.length)});
      position += range.length;
    }
    const store::RequestId id{meta_.request_high, meta_.request_low};
    const store::Request request{id, id ? transact_digest(writes) : 0};
    if (id) {
      PMSHELF_TRY_ASSIGN(const auto outcome, shelf_->replay(request));
      if (outcome.has_value()) return {};
    }
    return shelf_->transact(writes, request);
  }

  const wire::TransactMeta meta_;
  const std::shared_ptr<pool::Shelf> shelf_;
  const std::vector<session::Access> accesses_;  // one a range
  DramBuffer payload_;
  Window window_;
};

Status check_sum(const wire::TransactMeta& meta, uint64_t payload_bytes) {
  uint64_t left_bytes = payload_bytes;
  for (const wire::GrantRange& item : meta.ranges) {
    if (item.range.length > left_bytes) {
      return Error(Code::kInvalidArgument, "payload_bytes: less than the ranges hold");
    }
    left_bytes -= item.range.length;
  }
  if (left_bytes == 0) return {};
  return Error(Code::kInvalidArgument, "payload_bytes: more than the ranges hold");
}

}  // namespace

Result<OperationPtr> begin_transact(const Request& request) {
  PMSHELF_TRY_ASSIGN(wire::TransactMeta meta, wire::decode_transact_meta(request.meta));
  if (meta.ranges.empty()) return Error(Code::kInvalidArgument, "meta: no ranges");
  PMSHELF_TRY(check_sum(meta, request.header.payload_bytes));
  std::vector<session::Access> accesses;
  accesses.reserve(meta.ranges.size());
  for (const wire::GrantRange& item : meta.ranges) {
    PMSHELF_TRY_ASSIGN(session::Access access, begin_access(request, item.grant, store::kWrite,
                                                            item.range.offset, item.range.length));
    if (access.region().staged) {
      return Error(Code::kInvalidArgument, "meta: a staged region: commit it first");
    }
    if (access.region().shelf != (accesses.empty() ? access : accesses.front()).region().shelf) {
      return Error(Code::kInvalidArgument, "meta: the regions are on different shelves");
    }
    accesses.push_back(std::move(access));
  }
  PMSHELF_TRY_ASSIGN(std::shared_ptr<pool::Shelf> shelf,
                     request.shelves.by_key(accesses.front().region().shelf));
  PMSHELF_TRY_ASSIGN(DramBuffer payload,
                     DramBuffer::make(request.parts.memory, request.header.payload_bytes));
  return OperationPtr(std::make_unique<TransactOperation>(
      request, std::move(meta), std::move(shelf), std::move(accesses), std::move(payload)));
}

}  // namespace pmshelf::dataplane
