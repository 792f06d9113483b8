// The crash explorer: a script on a recorded store, every crash on the way recovered and judged.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/media/recording_media.h"
#include "tests/crash/model.h"
#include "tests/crash/persistence.h"
#include "tests/crash/scratch.h"

namespace pmshelf::crash {

struct ExplorerOptions {
  uint64_t seed = 1;
  uint64_t states = 1'000'000;      // stop after so many crash states
  uint64_t states_per_fence = 512;  // all subsets up to this many, a sample above
  uint64_t nested_every = 20'000;   // one state in so many is explored again inside recovery
  uint64_t check_every = 64;        // one state in so many gets Store::check and a second recovery
  double seconds_max = 1e9;
};

// The promise that it checks: a recovered state is the model's state k with
// acknowledged <= k <= acknowledged + in flight; recovering twice gives the same; the store's own
// check finds nothing; acknowledged request ids are remembered.
class Explorer {
 public:
  explicit Explorer(const ExplorerOptions& options);

  // Runs scripts on fresh stores until the number of states is reached. Returns the first broken
  // promise, with the seed and the place, or nothing.
  std::optional<std::string> run();
  uint64_t states() const { return states_; }
  uint64_t nested_states() const { return nested_states_; }
  uint64_t fences() const { return fences_; }

 private:
  friend class Script;

  void start_store();
  void finish_store();
  // What is right after a crash now: `acknowledged_`, or the state in flight.
  void set_in_flight(Model next);
  void acknowledge(Model now, const store::RequestId& request);
  void set_in_place(std::string name, uint64_t offset, std::string bytes);

  void on_fence(const media::Event& fence);
  // One crash state for each choice; `thorough` ones are recovered twice and checked.
  void explore(const std::vector<PendingWord>& pending, Scratch& scratch, uint64_t limit,
               bool nested);
  std::string judge_crash(Scratch& scratch, bool thorough);
  std::string judge(store::Store& store) const;
  // Recovers a crash state on recording media of its own and explores the crashes on the way.
  void explore_recovery(const Scratch& crashed);
  bool acceptable(const Model& found) const;
  // States worth making at this fence: fewer where each costs more.
  uint64_t states_at_fence() const;
  void fail(const std::string& what);

  ExplorerOptions options_;
  std::mt19937_64 random_;
  ManualClock clock_;
  uint64_t states_ = 0, nested_states_ = 0, fences_ = 0;
  std::string failure_;

  // One store's run.
  std::unique_ptr<media::Recorder> recorder_;
  std::unique_ptr<Persistence> persistence_;
  std::unique_ptr<Scratch> scratch_;
  std::unique_ptr<store::Store> store_;
  size_t events_applied_ = 0;
  Model acknowledged_;
  std::optional<Model> in_flight_;
  uint64_t acknowledged_digest_ = 0, in_flight_digest_ = 0;
  bool device_ = false;
  bool at_rest_ = false;  // the crash is at an acknowledgement
  store::RequestId last_request_;
  // A direct write that is under way: any mixture of old and new words is right.
  struct InPlace {
    std::string name;
    uint64_t offset = 0;
    std::string bytes;
  };
  std::optional<InPlace> in_place_;
};

}  // namespace pmshelf::crash
