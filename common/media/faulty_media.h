// Faulty media: a wrapper whose N-th call fails.
#pragma once

#include <memory>

#include "common/media/media.h"

namespace pmshelf::media {

// Shared by the test and the media made with it. Not thread-safe.
struct FaultPlan {
  int64_t fail_at_call = -1;  // 0-based among counted calls; -1: never
  int64_t calls = 0;          // store, store8, zero, read, flush, drain, resize, discard so far
  Code code = Code::kIo;      // what the failing call returns (kIo, kNoSpace)
  bool sticky = false;        // every later call fails as well
};

// A failing store writes nothing; a failing flush or drain persists nothing. `plan` outlives it.
std::unique_ptr<Media> make_faulty_media(std::unique_ptr<Media> inner, FaultPlan& plan);

}  // namespace pmshelf::media
