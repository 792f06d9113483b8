// Seeded bugs of the data plane: the tests must notice each of them (tests/unit/dataplane, and the
// kills of tests/system). In builds without PMSHELF_TEST_HOOKS nothing of this is left.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

namespace pmshelf::dataplane {

enum class Mutant : uint8_t {
  kNone,
  kSkipPutFlush,        // value_ops.cc: the value is named before it is durable
  kSkipWriteFlush,      // region_ops.cc: a write is answered before it is durable
  kRangeOneOver,        // region_ops.cc: a write may end one byte after its grant
  kRememberRights,      // shelf_cache.cc: rights are looked at once per connection
  kKeepOldGrants,       // value_ops.cc: grants of a replaced value go on
  kLeakAbandonedPut,    // value_ops.cc: an abandoned put keeps its space
  kApplyRetryAgain,     // value_ops.cc: a repeated put is stored again
  kUnmapAtSessionEnd,   // connection_link.cc: a session's end closes connections with mappings
  kMapForEverybody,     // same_host.cc: every local peer gets the data file
  kWritableForReaders,  // connection.cc: a grant without WRITE gets a writable descriptor
  kAcceptAnyProof,      // connection.cc: the proof of a Hello is not compared
};

inline constexpr std::pair<Mutant, std::string_view> kMutants[] = {
    {Mutant::kSkipPutFlush, "skip_put_flush"},
    {Mutant::kSkipWriteFlush, "skip_write_flush"},
    {Mutant::kRangeOneOver, "range_one_over"},
    {Mutant::kRememberRights, "remember_rights"},
    {Mutant::kKeepOldGrants, "keep_old_grants"},
    {Mutant::kLeakAbandonedPut, "leak_abandoned_put"},
    {Mutant::kApplyRetryAgain, "apply_retry_again"},
    {Mutant::kUnmapAtSessionEnd, "unmap_at_session_end"},
    {Mutant::kMapForEverybody, "map_for_everybody"},
    {Mutant::kWritableForReaders, "writable_for_readers"},
    {Mutant::kAcceptAnyProof, "accept_any_proof"},
};

#ifdef PMSHELF_TEST_HOOKS
inline Mutant active_mutant = Mutant::kNone;  // set before any thread
inline bool mutant(Mutant which) { return active_mutant == which; }
#else
constexpr bool mutant(Mutant) { return false; }
#endif

}  // namespace pmshelf::dataplane
