// Bounds of one connection that nobody configures. Private to the stream library.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/wire/frame.h"

namespace pmshelf::transport {

// Holds any header with its meta.
inline constexpr size_t kReceiveBufferBytes = wire::kFrameHeaderBytes + wire::kFrameMetaBytesMax;
// Payloads up to this many bytes are copied into the send queue: cheaper than sending in place,
// and the operation ends at once.
inline constexpr size_t kCopiedPayloadBytesMax = 4096;
// What a frame, or the answers in a full queue, must move within a progress timeout, if it does
// not end in it.
inline constexpr uint64_t kProgressBytesMin = 64 * 1024;

// How long a driving thread waits in recv() before it looks at its deadline again.
inline constexpr int kWaitMs = 500;

}  // namespace pmshelf::transport
