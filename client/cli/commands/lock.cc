// pmshelf region lock
#include <algorithm>
#include <memory>

#include "client/cli/child.h"
#include "client/cli/commands/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kWaitPiece{60'000};  // the longest wait that a daemon takes

constexpr uint64_t kWaitMaxMs = 7 * 86'400'000;

struct LockArguments {
  std::string path;
  bool shared = false;
  uint64_t wait_ms = 0;
};

// kLocked when the wait is over.
Result<Lock> lock_within(const Shelf& shelf, const std::string& region, bool exclusive,
                         milliseconds wait) {
  const auto end = std::chrono::steady_clock::now() + wait;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
    const milliseconds piece = std::clamp(left, milliseconds(0), kWaitPiece);
    auto lock = shelf.lock(region, exclusive, piece);
    if (lock.code() != Code::kLocked || left <= kWaitPiece) return lock;
  }
}

Result<int> run_locked(Context& context, const LockArguments& arguments,
                       const std::vector<std::string>& words) {
  PMSHELF_TRY(refuse_json(context, "standard output is the command's"));
  PMSHELF_TRY_ASSIGN(const RegionPath path, parse_region_path(arguments.path));
  if (words.empty()) {
    return Error(Code::kInvalidArgument, "there is no COMMAND to run after SHELF/REGION --");
  }
  PMSHELF_TRY_ASSIGN(const Client client, context.connect());
  PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(path.shelf));
  PMSHELF_TRY_ASSIGN(Lock lock, lock_within(shelf, path.region, !arguments.shared,
                                            milliseconds(arguments.wait_ms)));
  PMSHELF_TRY_ASSIGN(const int exit_code, run_child(words));
  if (const Status unlocked = lock.unlock(); !unlocked.ok()) {
    context.warn("region lock: the lock was lost while the command ran: " +
                 escape(unlocked.error().message()));
    return exit_code == kExitOk ? kExitFailed : exit_code;
  }
  return exit_code;
}

}  // namespace

void add_lock_command(CLI::App& region, Chosen& chosen) {
  const auto arguments = std::make_shared<LockArguments>();
  CLI::App& command = add_command(
      region, chosen, "lock",
      "Hold the lock of a region while the command after -- runs, as flock(1) does with files. The "
      "exit code is the command's. Locks are advisory: they keep out only those who also lock",
      "  pmshelf region lock train/w -- ./retrain.sh\n"
      "  pmshelf region lock train/w --shared --wait 10m -- rsync -a /data/ /copy/",
      [arguments, &chosen](Context& context) {
        return run_locked(context, *arguments, chosen.trailing);
      });
  command.prefix_command();
  add_argument(command, "SHELF/REGION", arguments->path, "The region; it must exist");
  command.add_flag("--shared,-s", arguments->shared,
                   "Together with others who lock it shared; default: exclusive");
  command
      .add_option("--wait,-w", arguments->wait_ms,
                  "How long to wait for others, e.g. 30s; default: exit with 6 at once")
      ->transform(duration_value(0, kWaitMaxMs))
      ->type_name("DURATION");
}

}  // namespace pmshelf::cli
