// Telling a forked child from the process that made a client.
#pragma once

#include <cstdint>

namespace pmshelf::client {

// Rises in the child of every fork(). Thread-safe. A client remembers the value at its making:
// another value means that its threads, locks and sockets belong to the parent.
uint64_t fork_generation();

}  // namespace pmshelf::client
