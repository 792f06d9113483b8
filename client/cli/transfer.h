// Values between regions and elsewhere, in bounded memory.
#pragma once

#include <functional>
#include <string>

#include "client/cli/pump.h"
#include "pmshelf/client.h"

namespace pmshelf::cli {

// Called after every chunk with how many bytes of how many are done; an error stops the transfer.
using OnProgress = std::function<Status(uint64_t done_bytes, uint64_t total_bytes)>;

struct NewValue {
  std::string region;
  Attributes attributes;
  bool must_be_new = false;
};

// A value that is read in order. `read` fills its whole span.
struct ValueSource {
  uint64_t bytes = 0;
  std::function<std::future<Status>(uint64_t offset, std::span<std::byte>)> read;
};

// Puts a value under its name, durably and as a whole: the old value, if any, stays what the name
// means until the new one is complete. Up to kPumpChunkBytes in one exchange; larger ones are
// staged and committed; after an error, the staged bytes are gone with the session. Errors: those
// of the source, of Shelf::put, stage and commit.
Status store_value(const Shelf& shelf, const NewValue& value, const ValueSource& source,
                   const OnProgress& on_progress);

// Hands the region's bytes to `sink` in order; one value, never a mix: kStaleGrant when it was
// replaced while it was read. Returns its length.
Result<uint64_t> fetch_value(
    const Shelf& shelf, const std::string& region,
    const std::function<std::future<Status>(uint64_t, std::span<const std::byte>)>& sink,
    const OnProgress& on_progress);

}  // namespace pmshelf::cli
