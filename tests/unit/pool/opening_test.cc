// Promises of opening a pool: what is one, who may have it, and what is in the way.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "pool_fixture.h"

namespace pmshelf::pool {
namespace {

using Names = std::vector<std::string>;
using OpenPool = PoolTest;
using SecondDaemon = PoolTest;
using ReadOnlyPool = PoolTest;
using Exhaustion = PoolTest;
using ManyShelves = PoolTest;

// Runs `body` in a child of its own; its failures are ours.
template <class F>
void in_child(F&& body) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body();
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "in the child, see above";
}

// Lowers a soft limit for a while.
class LowLimit {
 public:
  LowLimit(__rlimit_resource resource, rlim_t value) : resource_(resource) {
    EXPECT_EQ(::getrlimit(resource_, &before_), 0);
    rlimit low = before_;
    low.rlim_cur = value;
    EXPECT_EQ(::setrlimit(resource_, &low), 0);
  }
  LowLimit(const LowLimit&) = delete;
  LowLimit& operator=(const LowLimit&) = delete;
  ~LowLimit() { EXPECT_EQ(::setrlimit(resource_, &before_), 0); }

 private:
  const __rlimit_resource resource_;
  rlimit before_{};
};

int open_descriptors() {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

TEST_F(OpenPool, RefusesWhatIsNoPoolAndNamesIt) {
  directory_.write("file", "x");
  ASSERT_EQ(::mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink("nowhere", directory_ / "dangling");
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (directory_ / "socket").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  struct Case {
    const char* name;
    const char* says;
    bool device;
  };
  for (const Case& c :
       {Case{"missing", "does not exist", false}, Case{"dangling", "dangling link", false},
        Case{"fifo", "FIFO", false}, Case{"fifo", "FIFO", true}, Case{"socket", "socket", false},
        Case{"file", "plain file", false}, Case{".", "is a directory", true}}) {
    PoolOptions options;
    options.path = directory_ / c.name;
    options.device = c.device;
    const auto refused = Pool::open(options, clock_);
    ASSERT_EQ(refused.code(), Code::kInvalidArgument) << c.name;
    EXPECT_NE(refused.error().message().find(c.says), std::string::npos)
        << refused.error().message();
    EXPECT_NE(refused.error().message().find(options.path), std::string::npos);
  }
  ::close(socket);
}

TEST_F(OpenPool, FollowsALinkToADirectory) {
  std::filesystem::create_directory(directory_ / "real");
  std::filesystem::create_directory_symlink("real", directory_ / "link");
  auto linked = options();
  linked.path = directory_ / "link";
  auto pool = open_pool(linked);
  make_shelf(*pool, "s");
  EXPECT_TRUE(directory_.exists("real/s.map"));
}

TEST_F(OpenPool, MirrorMediaLosesWhatWasNotFlushedAndNothingElse) {
  auto mirrored = options();
  mirrored.mirror_media = true;
  auto pool = open_pool(mirrored);
  make_shelf(*pool, "s");
  put(*get_shelf(*pool, "s"), "w", "hello");
  put(*get_shelf(*pool, "s"), "lost", "12345678");
  {
    const auto region = *get_shelf(*pool, "s")->open("lost");
    ASSERT_TRUE(region->store(0, bytes_of("NOTYETTT")).ok());
    EXPECT_EQ(read_text(*region, 0, 8), "NOTYETTT");
  }
  pool.reset();  // without a flush, as by a kill
  pool = open_pool(mirrored);
  EXPECT_EQ(get(*get_shelf(*pool, "s"), "lost"), "12345678");
  EXPECT_EQ(get(*get_shelf(*pool, "s"), "w"), "hello");
  reopen(pool);  // what is in the files themselves
  EXPECT_EQ(get(*get_shelf(*pool, "s"), "w"), "hello");
}

TEST_F(SecondDaemon, InThisProcessIsRefused) {
  auto pool = open_pool();
  const auto refused = Pool::open(options(), clock_);
  ASSERT_EQ(refused.code(), Code::kBusy);
  EXPECT_NE(refused.error().message().find("pid " + std::to_string(::getpid())), std::string::npos);
  EXPECT_NE(refused.error().message().find("/run/test/data.sock"), std::string::npos);
  pool.reset();
  EXPECT_TRUE(Pool::open(options(), clock_).ok());
}

TEST_F(SecondDaemon, InAnotherProcessIsRefusedWithThePidOfTheFirst) {
  auto pool = open_pool();
  make_shelf(*pool, "s");
  const pid_t owner = ::getpid();
  in_child([&] {
    const auto refused = Pool::open(options(), clock_);
    ASSERT_EQ(refused.code(), Code::kBusy);
    EXPECT_NE(refused.error().message().find("pid " + std::to_string(owner)), std::string::npos);
  });
  put(*get_shelf(*pool, "s"), "w", "works");
}

TEST_F(SecondDaemon, AKilledOneLeavesNoLock) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto pool = open_pool();
    put(*make_shelf(*pool, "s"), "w", "hello");
    (void)!::write(ready[1], "y", 1);
    for (;;) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(Pool::open(options(), clock_).code(), Code::kBusy);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  auto pool = open_pool();
  EXPECT_EQ(get(*get_shelf(*pool, "s"), "w"), "hello");
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(SecondDaemon, AShelfLockedByAnotherProcessIsTroubleOfThatShelfOnly) {
  auto pool = open_pool();
  make_shelf(*pool, "a");
  put(*make_shelf(*pool, "b"), "w", "hello");
  reopen(pool);
  ASSERT_TRUE(pool->close().ok());
  pool.reset();
  // Somebody whose directory is another one, but whose file is ours by a hard link.
  TemporaryDirectory elsewhere;
  std::filesystem::create_hard_link(directory_ / "a.map", elsewhere / "a.map");
  std::filesystem::create_hard_link(directory_ / "a.data", elsewhere / "a.data");
  auto their_options = options();
  their_options.path = elsewhere.path();
  auto theirs = open_pool(their_options);
  pool = open_pool();
  EXPECT_EQ(shelf_names(*pool), Names{"b"});
  EXPECT_NE(only_trouble(*pool).find("a.map is locked by"), std::string::npos);
  EXPECT_EQ(pool->shelf("a").code(), Code::kBusy);
  EXPECT_EQ(get(*get_shelf(*pool, "b"), "w"), "hello");
}

TEST_F(ReadOnlyPool, OnAReadOnlyMountServesReadersAndChangesNothing) {
  auto pool = open_pool();
  put(*make_shelf(*pool, "s"), "w", "hello");
  ASSERT_TRUE(pool->close().ok());
  pool.reset();
  directory_.write("half.map.creating", "x");
  in_child([&] {
    if (::unshare(CLONE_NEWNS) != 0) {
      GTEST_SKIP() << "needs the right to mount";
    }
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    const char* path = directory_.path().c_str();
    ASSERT_EQ(::mount(path, path, nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr), 0);
    auto read_only = open_pool();
    const auto shelf = get_shelf(*read_only, "s");
    EXPECT_TRUE(shelf->read_only());
    EXPECT_NE(shelf->trouble(), "");
    EXPECT_EQ(get(*shelf, "w"), "hello");
    EXPECT_EQ(shelf->create("x", 1, "", {}).code(), Code::kReadOnly);
    EXPECT_EQ((*shelf->open("w"))->store(0, bytes_of("x")).code(), Code::kReadOnly);
    EXPECT_EQ(read_only->create_shelf(shelf_info("n"), {}).code(), Code::kReadOnly);
    EXPECT_EQ(read_only->erase_shelf("s", {}).code(), Code::kReadOnly);
    EXPECT_EQ(read_only->rename_shelf("s", "t", {}).code(), Code::kReadOnly);
    EXPECT_EQ(read_only->resize_shelf("s", 8 * kMiB, {}).code(), Code::kReadOnly);
    EXPECT_EQ(read_only->update_shelf(shelf_info("s"), {}).code(), Code::kReadOnly);
    EXPECT_EQ(Pool::open(options(), clock_).code(), Code::kBusy);
    EXPECT_TRUE(read_only->close().ok());
  });
  EXPECT_EQ(directory_.names(), (Names{"half.map.creating", "s.data", "s.map"}));
}

TEST_F(ReadOnlyPool, OneUnwritableShelfIsReadOnlyTheOthersAreNot) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to change the user";
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0777), 0);
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(::seteuid(kNobody), 0);
  auto pool = open_pool();
  put(*make_shelf(*pool, "a"), "w", "of a");
  put(*make_shelf(*pool, "b"), "w", "of b");
  ASSERT_TRUE(pool->close().ok());
  pool.reset();
  ASSERT_EQ(::chmod((directory_ / "a.map").c_str(), 0400), 0);
  pool = open_pool();
  EXPECT_TRUE(get_shelf(*pool, "a")->read_only());
  EXPECT_EQ(get(*get_shelf(*pool, "a"), "w"), "of a");
  EXPECT_EQ(get_shelf(*pool, "a")->create("x", 1, "", {}).code(), Code::kReadOnly);
  put(*get_shelf(*pool, "b"), "more", "works");
  pool.reset();
  // Not readable at all: trouble of that shelf.
  ASSERT_EQ(::chmod((directory_ / "a.map").c_str(), 0), 0);
  pool = open_pool();
  EXPECT_EQ(shelf_names(*pool), Names{"b"});
  EXPECT_EQ(pool->shelf("a").code(), Code::kPermissionDenied);
  pool.reset();
  ASSERT_EQ(::seteuid(0), 0);
}

TEST_F(Exhaustion, NoSpaceForAShelfLeavesNothingOfIt) {
  auto pool = open_pool();
  put(*make_shelf(*pool, "s", 2 * kMiB), "w", "hello");
  struct sigaction ignore{};
  struct sigaction before{};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(::sigaction(SIGXFSZ, &ignore, &before), 0);
  // The map (5 MiB) does not fit; the map fits, the data does not.
  for (const rlim_t limit : {rlim_t{4 * kMiB}, rlim_t{8 * kMiB}}) {
    const LowLimit low(RLIMIT_FSIZE, limit);
    EXPECT_EQ(pool->create_shelf(shelf_info("n", 16 * kMiB), {}).code(), Code::kNoSpace) << limit;
    EXPECT_EQ(directory_.names(), (Names{"s.data", "s.map"})) << limit;
    EXPECT_EQ(pool->resize_shelf("s", 16 * kMiB, {}).code(), Code::kNoSpace);
    EXPECT_EQ(std::filesystem::file_size(directory_ / "s.data"), 4 * kMiB);
  }
  ASSERT_EQ(::sigaction(SIGXFSZ, &before, nullptr), 0);
  make_shelf(*pool, "n", 16 * kMiB);
  ASSERT_TRUE(pool->resize_shelf("s", 16 * kMiB, {}).ok());
  EXPECT_EQ(get(*get_shelf(*pool, "s"), "w"), "hello");
}

TEST_F(Exhaustion, AFullFileSystemRefusesShelvesAndServesOn) {
  in_child([&] {
    if (::unshare(CLONE_NEWNS) != 0) {
      GTEST_SKIP() << "needs the right to mount";
    }
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=32m"), 0);
    auto pool = open_pool();
    put(*make_shelf(*pool, "s", 8 * kMiB), "w", "hello");
    EXPECT_EQ(pool->stat().total_bytes, 32 * kMiB);
    const auto refused = pool->create_shelf(shelf_info("n", 24 * kMiB), {});
    ASSERT_EQ(refused.code(), Code::kNoSpace);
    EXPECT_EQ(directory_.names(), (Names{"s.data", "s.map"}));
    EXPECT_EQ(pool->resize_shelf("s", 28 * kMiB, {}).code(), Code::kNoSpace);
    // Not one page left: what is allocated goes on.
    std::ofstream filler(directory_ / "filler");
    const std::string chunk(1 * kMiB, 'f');
    while (filler.write(chunk.data(), static_cast<std::streamsize>(chunk.size())).flush()) {
    }
    put(*get_shelf(*pool, "s"), "more", std::string(1 * kMiB, 'x'));
    EXPECT_EQ(pool->create_shelf(shelf_info("n", 2 * kMiB), {}).code(), Code::kNoSpace);
    reopen(pool);
    EXPECT_EQ(get(*get_shelf(*pool, "s"), "more"), std::string(1 * kMiB, 'x'));
    EXPECT_TRUE(pool->erase_shelf("s", {}).ok());
    pool.reset();
    ::umount2(directory_.path().c_str(), MNT_DETACH);
  });
}

TEST_F(Exhaustion, NoDescriptorsLeftIsSaidAndLosesNothing) {
  auto pool = open_pool();
  put(*make_shelf(*pool, "a"), "w", "of a");
  put(*make_shelf(*pool, "b"), "w", "of b");
  ASSERT_TRUE(pool->close().ok());
  pool.reset();
  {
    // Enough for the directory, its lock and the first shelf.
    const LowLimit low(RLIMIT_NOFILE, static_cast<rlim_t>(open_descriptors()) + 6);
    auto starved = open_pool();
    ASSERT_NE(starved, nullptr);
    EXPECT_FALSE(starved->stat().trouble.empty());
    for (const auto& line : starved->stat().trouble) {
      EXPECT_NE(line.find("Too many open files"), std::string::npos) << line;
    }
    const auto refused = starved->create_shelf(shelf_info("n"), {});
    EXPECT_EQ(refused.code(), Code::kResourceExhausted) << refused.error().to_string();
  }
  pool = open_pool();
  EXPECT_EQ(get(*get_shelf(*pool, "a"), "w"), "of a");
  EXPECT_EQ(get(*get_shelf(*pool, "b"), "w"), "of b");
  EXPECT_EQ(shelf_names(*pool), (Names{"a", "b"}));
}

TEST_F(ManyShelves, TwoHundredOpenAndServe) {
  auto sparse = options();
  sparse.preallocate = false;
  auto pool = open_pool(sparse);
  for (int index = 0; index < 200; ++index) {
    put(*make_shelf(*pool, "s" + std::to_string(1000 + index), 2 * kMiB), "w",
        std::to_string(index));
  }
  reopen(pool, sparse);
  const auto shelves = pool->shelves();
  ASSERT_EQ(shelves.size(), 200u);
  for (int index = 0; index < 200; ++index) {
    EXPECT_EQ(shelves[index]->info().name, "s" + std::to_string(1000 + index));
    EXPECT_EQ(get(*shelves[index], "w"), std::to_string(index));
  }
  for (int index = 0; index < 200; ++index) {
    ASSERT_TRUE(pool->erase_shelf("s" + std::to_string(1000 + index), {}).ok());
  }
  EXPECT_EQ(directory_.names(), Names{});
}

}  // namespace
}  // namespace pmshelf::pool
