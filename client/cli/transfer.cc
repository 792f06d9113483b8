#include "client/cli/transfer.h"

#include <vector>

namespace pmshelf::cli {
namespace {

Status store_small(const Shelf& shelf, const NewValue& value, const ValueSource& source) {
  std::vector<std::byte> bytes(source.bytes);
  PMSHELF_TRY(source.read(0, bytes).get());
  return shelf.put(value.region, bytes, value.attributes, value.must_be_new);
}

}  // namespace

Status store_value(const Shelf& shelf, const NewValue& value, const ValueSource& source,
                   const OnProgress& on_progress) {
  if (source.bytes <= kPumpChunkBytes) return store_small(shelf, value, source);
  PMSHELF_TRY_ASSIGN(const Region staged, shelf.stage(source.bytes));
  PumpEnds ends;
  ends.read = source.read;
  ends.write = [&](uint64_t offset, std::span<const std::byte> bytes) {
    return staged.write_async(offset, bytes, Durability::kDurable);
  };
  ends.progress = [&](uint64_t done) { return on_progress(done, source.bytes); };
  PMSHELF_TRY(pump(source.bytes, ends));
  StagedItem item{staged, value.region, value.attributes, value.must_be_new, 0};
  const auto committed = shelf.commit({&item, 1});
  if (!committed) return committed.error();
  return {};
}

Result<uint64_t> fetch_value(
    const Shelf& shelf, const std::string& region,
    const std::function<std::future<Status>(uint64_t, std::span<const std::byte>)>& sink,
    const OnProgress& on_progress) {
  {
    std::vector<std::byte> value(kPumpChunkBytes);
    const auto got = shelf.get_into(region, value);
    if (got) {
      PMSHELF_TRY(sink(0, std::span(value).first(*got)).get());
      return *got;
    }
    if (got.code() != Code::kOutOfRange) return got.error();
  }
  PMSHELF_TRY_ASSIGN(const Region open, shelf.open_region(region, kRead));
  PumpEnds ends;
  ends.read = [&](uint64_t offset, std::span<std::byte> bytes) {
    return open.read_async(offset, bytes);
  };
  ends.write = sink;
  ends.progress = [&](uint64_t done) { return on_progress(done, open.bytes()); };
  PMSHELF_TRY(pump(open.bytes(), ends));
  return open.bytes();
}

}  // namespace pmshelf::cli
