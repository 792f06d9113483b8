// SIGBUS guards: a load or store on a truncated or poisoned mapping becomes an error, not a death.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pmshelf::media {

// Installs the process-wide SIGBUS handler once; faults outside guarded calls keep their default
// effect (core dump), or go to the handler that was installed before. Thread-safe.
void install_sigbus_guard();

// memcpy / memset / 8-byte store that return false when the access raised SIGBUS. After a
// fault each byte is the old or the new one, in any order. Precondition: install_sigbus_guard() was
// called. Thread-safe.
bool guarded_copy(std::byte* target, const std::byte* source, size_t bytes);
bool guarded_fill_zero(std::byte* target, size_t bytes);
bool guarded_store8(std::byte* target, uint64_t value);

// Runs access(context) and returns true, or false when it raised SIGBUS. `access` is left by a
// jump then: it must hold no lock and own nothing that a destructor would have to release.
bool run_guarded(void (*access)(void* context), void* context);

// The same for a callable. Its captures are by reference: state after a fault is unspecified.
template <class Access>
bool guarded(Access access) {
  return run_guarded([](void* context) { (*static_cast<Access*>(context))(); }, &access);
}

}  // namespace pmshelf::media
