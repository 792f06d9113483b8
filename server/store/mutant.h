// Seeded bugs for the crash tests: the suite must notice each of them (tests/crash).
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

namespace pmshelf::store {

// What each one breaks, and where it bites.
enum class Mutant : uint8_t {
  kNone,
  kSkipFlushPrimary,      // log.cc, write: the record's first copy is stored but not flushed
  kSkipFlushMirror,       // log.cc, write: the same for the second copy
  kSkipRecordDrain,       // log.cc, write: acknowledged without the fence after the record
  kSkipDataDrain,         // commit.cc, write_batch: no fence between new bytes and their record
  kFlipBeforeSnapshot,    // compaction.cc, replace_log: superblock written before the snapshot's
                          // fence
  kSuperblockOverNewer,   // superblocks.cc, write_one: the newer copy is overwritten, not the older
  kIgnoreRecordCrc,       // format.cc, decode_record: a record with a wrong CRC is taken
  kIgnoreSequence,        // format.cc, decode_record: a record with any sequence is taken
  kAcceptBeyondEnd,       // replay.cc, holds: a region may be one byte longer than its footprint
  kFreeBeforeDurable,     // limbo.cc, free_later: space is reused before its DEL is durable
  kSkipZeroOfReusedSlot,  // bytes.cc, zero_placed: used bytes are handed out as they are
  kRedoDoneBeforeFlush,   // transaction.cc, apply_redo: REDO_DONE written before the copied bytes
                          // are durable
  kSkipTornTailZeroing,   // log.cc, repair_log: torn bytes stay behind the log's end
  kSkipSecondSuperblock,  // superblocks.cc, write_both: one copy keeps naming the old log
};

// All of them, for tests that go through the list.
inline constexpr std::pair<Mutant, std::string_view> kMutants[] = {
    {Mutant::kSkipFlushPrimary, "skip_flush_primary"},
    {Mutant::kSkipFlushMirror, "skip_flush_mirror"},
    {Mutant::kSkipRecordDrain, "skip_record_drain"},
    {Mutant::kSkipDataDrain, "skip_data_drain"},
    {Mutant::kFlipBeforeSnapshot, "flip_before_snapshot"},
    {Mutant::kSuperblockOverNewer, "superblock_over_newer"},
    {Mutant::kIgnoreRecordCrc, "ignore_record_crc"},
    {Mutant::kIgnoreSequence, "ignore_sequence"},
    {Mutant::kAcceptBeyondEnd, "accept_beyond_end"},
    {Mutant::kFreeBeforeDurable, "free_before_durable"},
    {Mutant::kSkipZeroOfReusedSlot, "skip_zero_of_reused_slot"},
    {Mutant::kRedoDoneBeforeFlush, "redo_done_before_flush"},
    {Mutant::kSkipTornTailZeroing, "skip_torn_tail_zeroing"},
    {Mutant::kSkipSecondSuperblock, "skip_second_superblock"},
};

#ifdef PMSHELF_TEST_HOOKS
inline Mutant active_mutant = Mutant::kNone;  // set by one test thread before the store is used
inline bool mutant(Mutant which) { return active_mutant == which; }
#else
constexpr bool mutant(Mutant) { return false; }
#endif

}  // namespace pmshelf::store
