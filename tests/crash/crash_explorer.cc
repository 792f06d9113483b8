// Runs the explorer, or with --mutants each seeded bug through it.
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "server/store/mutant.h"
#include "tests/crash/damage.h"
#include "tests/crash/explorer.h"

namespace pmshelf::crash {
namespace {

constexpr double kMutantSeconds = 60;

int explore(const ExplorerOptions& options) {
  std::printf("exploring %llu crash states, seed %llu\n",
              static_cast<unsigned long long>(options.states),
              static_cast<unsigned long long>(options.seed));
  Explorer explorer(options);
  auto failure = find_served_damage();
  if (!failure) failure = explorer.run();
  if (failure) std::printf("FAILED: %s\n", failure->c_str());
  std::printf("%llu crash states recovered at %llu fences, %llu of them inside recovery\n",
              static_cast<unsigned long long>(explorer.states()),
              static_cast<unsigned long long>(explorer.fences()),
              static_cast<unsigned long long>(explorer.nested_states()));
  std::printf("%d passed, %d failed\n", failure ? 0 : 1, failure ? 1 : 0);
  return failure ? 1 : 0;
}

// A mutant is killed when the explorer finds a broken promise within a minute.
int kill_mutants(ExplorerOptions options) {
  options.states = ~uint64_t{0};
  options.seconds_max = kMutantSeconds;
  options.nested_every = 500;
  options.check_every = 4;
  options.states_per_fence = 128;
  int killed = 0, survived = 0;
  for (const auto& [mutant, name] : store::kMutants) {
    store::active_mutant = mutant;
    Explorer explorer(options);
    auto found = find_served_damage();
    if (!found) found = explorer.run();
    store::active_mutant = store::Mutant::kNone;
    std::printf("mutant %2d %-24s %s after %llu states: %s\n", static_cast<int>(mutant),
                std::string(name).c_str(), found ? "killed" : "SURVIVED",
                static_cast<unsigned long long>(explorer.states()),
                found ? found->c_str() : "nothing was noticed");
    (found ? killed : survived) += 1;
  }
  std::printf("%d passed, %d failed\n", killed, survived);
  return survived == 0 ? 0 : 1;
}

int usage() {
  std::fprintf(stderr, "usage: crash_explorer [--states N] [--seed S] [--mutants]\n");
  return 2;
}

int run(int argc, char** argv) {
  ExplorerOptions options;
  bool mutants = false;
  for (int at = 1; at < argc; ++at) {
    const std::string word = argv[at];
    if (word == "--mutants") {
      mutants = true;
    } else if (word == "--states" && at + 1 < argc) {
      options.states = std::stoull(argv[++at]);
    } else if (word == "--seed" && at + 1 < argc) {
      options.seed = std::stoull(argv[++at]);
    } else {
      return usage();
    }
  }
  return mutants ? kill_mutants(options) : explore(options);
}

}  // namespace
}  // namespace pmshelf::crash

int main(int argc, char** argv) { return pmshelf::crash::run(argc, argv); }
