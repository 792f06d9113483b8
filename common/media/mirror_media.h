// Mirror media: a DRAM image in front of a file, so that kill -9 really loses what was not flushed.
#pragma once

#include <memory>

#include "common/media/media.h"

namespace pmshelf::media {

struct MirrorOptions {
  // Chance, per store and in parts per million, that some already stored but un-flushed cache
  // line reaches the file by itself, as real caches evict.
  uint32_t evict_ppm = 2000;
  uint64_t seed = 1;
};

// Stores and the receive path go to DRAM; flush + drain copies the flushed lines (64 B, or 4 KiB
// pages where `file` has page granularity) to the file behind, which a process kill cannot undo.
// The file's contents at open are the DRAM image's. Reports the class and granularity of `file`.
// Test tool: memory use is the size of the file. Thread-safe as Media says.
Result<std::unique_ptr<Media>> open_mirror(std::unique_ptr<Media> file, const MirrorOptions& options);

}  // namespace pmshelf::media
