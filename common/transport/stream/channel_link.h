// How a mapping that outlives its channel reaches it. Private to the stream transports.
#pragma once

#include <mutex>

#include "common/transport/stream/stream_channel.h"

namespace pmshelf::transport {

// Shared by the channel and its mappings. Any thread.
struct StreamChannel::Link {
  explicit Link(StreamChannel* owner) : channel(owner) {}
  void cut() {
    const std::lock_guard lock(mutex);
    channel = nullptr;
  }
  void unmapped(wire::GrantId grant) {
    const std::lock_guard lock(mutex);
    if (channel != nullptr) channel->unmapped(grant);
  }
  std::mutex mutex;  // held while the channel is called: it cannot go meanwhile
  StreamChannel* channel;
};

}  // namespace pmshelf::transport
