#include "server/pool/zeroing.h"

namespace pmshelf::pool {

Result<Reservation> reserve_pinned(store::Store& store, store::ShelfId shelf, uint64_t bytes) {
  PMSHELF_TRY_ASSIGN(const store::Staged staged, store.reserve(shelf, bytes, /*zero=*/false));
  return Reservation{staged, store.pin_staged(staged.id)};
}

Status zero_durably(StoreHost& host, const store::Staged& staged) {
  media::Media& data = host.data();
  PMSHELF_TRY(data.zero(staged.offset, staged.bytes));
  Status done = data.flush(staged.offset, staged.bytes);
  if (done.ok()) done = data.drain();
  if (!done.ok()) host.fail(done.error());
  return done;
}

}  // namespace pmshelf::pool
