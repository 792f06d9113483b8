// Whole values by name: put and get.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/base/attributes.h"
#include "server/dataplane/dram_buffer.h"
#include "server/dataplane/mutant.h"
#include "server/dataplane/request.h"
#include "server/dataplane/request_digest.h"
#include "server/dataplane/shelf_cache.h"
#include "server/pool/replace.h"

namespace pmshelf::dataplane {
namespace {

using transport::Window;
using ShelfPtr = std::shared_ptr<pool::Shelf>;

constexpr int kGetAttempts = 16;  // when values are replaced between look-up and attributes

store::RequestId request_id_of(const wire::PutMeta& meta) {
  return {meta.request_high, meta.request_low};
}

// Receives the value straight into reserved space of the shelf, makes it durable, then names it.
// Whatever ends the operation before that gives the space back.
class PutOperation final : public DataOperation {
 public:
  PutOperation(const Request& request, const wire::PutMeta& meta, ShelfPtr shelf,
               pool::StagedRegion staged)
      : DataOperation(request),
        shelf_(std::move(shelf)),
        staged_(std::move(staged)),
        request_id_(request_id_of(meta)),
        window_{staged_.ref->data(), staged_.ref->bytes()} {
    item_.staged = staged_.id;
    item_.name = meta.name;
    item_.attributes = meta.attributes;
    item_.replace = (request.header.flags & wire::kFlagIfAbsent) == 0;
    if (window_.bytes != 0) windows_ = {&window_, 1};
    may_block_ = shelf_->blocking();
  }
  ~PutOperation() override {
    if (staged_.id == 0 || mutant(Mutant::kLeakAbandonedPut)) return;
    staged_.ref.reset();
    shelf_->release(staged_.id);
  }

 private:
  Reply work() override {
    Reply reply;
    Result<store::RegionId> id = put();
    if (id.ok()) {
      reply.header.offset = *id;
    } else {
      reply.status = std::move(id).error();
    }
    return reply;
  }

  Result<store::RegionId> put() {
    store::Request request{request_id_, 0};
    if (mutant(Mutant::kApplyRetryAgain)) request.id = {};
    if (request.id) {
      const PutBody body{item_.name, item_.attributes, !item_.replace};
      PMSHELF_TRY_ASSIGN(request.digest, put_digest(body, *staged_.ref));
    }
    if (!mutant(Mutant::kSkipPutFlush)) PMSHELF_TRY(staged_.ref->flush(0, window_.bytes));
    PMSHELF_TRY_ASSIGN(const pool::Published published,
                       pool::publish_replacing(*shelf_, {&item_, 1}, request));
    staged_.id = 0;
    for (const store::RegionId old : published.replaced) {
      if (mutant(Mutant::kKeepOldGrants)) break;
      // kBusy while somebody still reaches the old bytes: they stay until then.
      (void)parts_.registry.revoke({shelf_->key(), old, false}, 0);
    }
    return published.ids.front();
  }

  const ShelfPtr shelf_;
  pool::StagedRegion staged_;
  const store::RequestId request_id_;
  store::Publish item_;
  Window window_;
};

// A put whose request id is known: nothing is stored, the outcome is told again (or the conflict).
// It takes no space on the shelf, so that a retry works on a shelf that is full by now.
class RepeatedPutOperation final : public DataOperation {
 public:
  RepeatedPutOperation(const Request& request, const wire::PutMeta& meta, ShelfPtr shelf,
                       DramBuffer value)
      : DataOperation(request),
        shelf_(std::move(shelf)),
        value_(std::move(value)),
        request_id_(request_id_of(meta)),
        name_(meta.name),
        attributes_(meta.attributes),
        if_absent_((request.header.flags & wire::kFlagIfAbsent) != 0),
        window_{value_.data(), request.header.payload_bytes} {
    if (window_.bytes != 0) windows_ = {&window_, 1};
  }

 private:
  Reply work() override {
    Reply reply;
    const PutBody body{name_, attributes_, if_absent_};
    const auto outcome = shelf_->replay({request_id_, put_digest(body, value_.span())});
    if (!outcome.ok()) {
      reply.status = outcome.error();
    } else if (!outcome->has_value()) {
      // Forgotten since begin(): the client sends it again, as new.
      reply.status = Error(Code::kUnavailable, "the request id has just expired: try again");
    } else {
      reply.header.offset = (*outcome)->result;
    }
    return reply;
  }

  const ShelfPtr shelf_;
  DramBuffer value_;
  const store::RequestId request_id_;
  const std::string name_, attributes_;
  const bool if_absent_;
  Window window_;
};

class GetOperation final : public DataOperation {
 public:
  GetOperation(const Request& request, std::shared_ptr<pool::RegionRef> region,
               std::string attributes)
      : DataOperation(request), region_(std::move(region)), attributes_(std::move(attributes)) {
    const uint64_t wanted_bytes =
        std::min<uint64_t>(request.header.length, wire::kFramePayloadBytesMax);
    window_ = {region_->data(), std::min(wanted_bytes, region_->bytes())};
    if (window_.bytes != 0) windows_ = {&window_, 1};
  }

 private:
  Reply work() override {
    Reply reply;
    wire::GetMeta meta;
    meta.region_id = region_->id();
    meta.total_bytes = region_->bytes();
    meta.attributes = attributes_;
    reply.meta = wire::encode_get_meta(meta);
    return reply;
  }

  const std::shared_ptr<pool::RegionRef> region_;  // the bytes stay until they are sent
  const std::string attributes_;
  Window window_;
};

}  // namespace

Result<OperationPtr> begin_put(const Request& request) {
  PMSHELF_TRY_ASSIGN(const wire::PutMeta meta, wire::decode_put_meta(request.meta));
  if (!meta.attributes.empty()) PMSHELF_TRY(decode_attributes(meta.attributes));
  const bool local = request.path == Path::kLocal;
  PMSHELF_TRY_ASSIGN(ShelfPtr shelf,
                     request.shelves.by_handle(request.header.grant.low, store::kWrite, local));
  const uint64_t value_bytes = request.header.payload_bytes;
  const store::RequestId id = request_id_of(meta);
  if (id && !mutant(Mutant::kApplyRetryAgain)) {
    const auto known = shelf->replay({id, 0});
    if (!known.ok() || known->has_value()) {
      PMSHELF_TRY_ASSIGN(DramBuffer value, DramBuffer::make(request.parts.memory, value_bytes));
      return OperationPtr(std::make_unique<RepeatedPutOperation>(request, meta, std::move(shelf),
                                                                 std::move(value)));
    }
  }
  PMSHELF_TRY_ASSIGN(pool::StagedRegion staged, shelf->reserve(value_bytes, false));
  return OperationPtr(
      std::make_unique<PutOperation>(request, meta, std::move(shelf), std::move(staged)));
}

Result<OperationPtr> begin_get(const Request& request) {
  const std::string_view name(reinterpret_cast<const char*>(request.meta.data()),
                              request.meta.size());
  const bool local = request.path == Path::kLocal;
  PMSHELF_TRY_ASSIGN(const ShelfPtr shelf,
                     request.shelves.by_handle(request.header.grant.low, store::kRead, local));
  for (int attempt = 0; attempt < kGetAttempts; ++attempt) {
    PMSHELF_TRY_ASSIGN(std::shared_ptr<pool::RegionRef> region, shelf->open(name));
    Result<std::string> attributes = shelf->attributes(region->id());
    if (attributes.ok()) {
      return OperationPtr(
          std::make_unique<GetOperation>(request, std::move(region), *std::move(attributes)));
    }
    // Replaced or erased since: what bears the name now is the value.
    if (attributes.code() != Code::kNotFound) return std::move(attributes).error();
  }
  return Error(Code::kBusy, "the value is being replaced all the time: try again");
}

}  // namespace pmshelf::dataplane
