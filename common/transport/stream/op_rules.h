// What each op may carry, for the checks that are the same for every handler. Private to the
// stream transports.
#pragma once

#include <cstdint>

#include "common/wire/frame.h"

namespace pmshelf::transport {

struct OpRules {
  bool request = false;        // a client may send it once it said Hello
  bool takes_payload = false;  // the request carries payload, into the operation's windows
  bool gives_payload = false;  // the answer carries payload, from the operation's windows
  bool local_only = false;
  uint16_t flags = 0;  // allowed ones
};

constexpr OpRules rules_of(wire::Op op) {
  using wire::Op;
  constexpr OpRules kPlain{.request = true};
  constexpr OpRules kLocal{.request = true, .local_only = true};
  constexpr OpRules kGives{.request = true, .gives_payload = true, .flags = wire::kFlagInRing};
  constexpr OpRules kTakes{.request = true, .takes_payload = true, .flags = wire::kFlagInRing};
  constexpr OpRules kWrites{
      .request = true, .takes_payload = true, .flags = wire::kFlagInRing | wire::kFlagVisibleOnly};
  constexpr OpRules kPuts{
      .request = true, .takes_payload = true, .flags = wire::kFlagInRing | wire::kFlagIfAbsent};
  switch (op) {
    case Op::kPing:
    case Op::kFlush:
    case Op::kAtomicWrite8:
      return kPlain;
    case Op::kRead:
    case Op::kReadRanges:
    case Op::kGet:
      return kGives;
    case Op::kWrite:
    case Op::kWriteRanges:
      return kWrites;
    case Op::kPut:
      return kPuts;
    case Op::kTransact:
      return kTakes;
    case Op::kMap:
    case Op::kUnmap:
    case Op::kRing:
      return kLocal;
    case Op::kChallenge:
    case Op::kHello:
    case Op::kPeerToken:
    case Op::kNotice:
      return {};
  }
  return {};
}

}  // namespace pmshelf::transport
