// One record on its way to the log; see Store::take_batch.
#pragma once

#include <cstdint>

#include "server/store/operations.h"

namespace pmshelf::store {

// Made by take_batch under the owner's lock; constant while write_batch runs without it, but for
// `written`.
class Batch {
 public:
  OpBuffer record;  // header, operations, padding
  uint32_t op_count = 0;
  uint32_t op_bytes = 0;
  uint64_t position = 0;         // in the log
  bool drain_data = false;       // new bytes were written: fence before the record
  bool already_durable = false;  // compaction wrote everything: nothing left to do
  bool written = false;
};

}  // namespace pmshelf::store
