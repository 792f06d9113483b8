// Reserving new bytes under the store's lock, zeroing them outside of it.
#pragma once

#include "server/pool/store_host.h"

namespace pmshelf::pool {

// Smaller regions are zeroed under the lock, which takes less time than taking it twice; on
// page-cache files the kernel is waited for outside of it all the same, once for a whole batch.
inline constexpr uint64_t kZeroUnderLockBytesMax = 256 * 1024;

struct Reservation {
  store::Staged staged;
  store::Pin pin;
};

// Reserves without zeroing. Errors of Store::reserve.
Result<Reservation> reserve_pinned(store::Store& store, store::ShelfId shelf, uint64_t bytes);

// The bytes read as zeros, durably, when ok. After a failed flush the store is offline, as after
// any other.
Status zero_durably(StoreHost& host, const store::Staged& staged);

}  // namespace pmshelf::pool
