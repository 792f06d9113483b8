// SIGBUS guards: a load or store on a truncated or poisoned mapping becomes an error, not a death.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pmshelf::media {

// Installs the process-wide SIGBUS handler once; faults outside guarded calls keep their default
// effect (core dump). Thread-safe.
void install_sigbus_guard();

// memcpy / memset / 8-byte store that return false when the access raised SIGBUS. What was copied
// before the fault stays copied. Thread-safe; async-signal-safe inside.
bool guarded_copy(std::byte* target, const std::byte* source, size_t bytes);
bool guarded_fill_zero(std::byte* target, size_t bytes);
bool guarded_store8(std::byte* target, uint64_t value);

}  // namespace pmshelf::media
