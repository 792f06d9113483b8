// Promises of the files of a directory pool: each operation's order, and what recovery makes of
// every state that a crash can leave behind.
#include "server/pool/directory_files.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "temporary_directory.h"

namespace pmshelf::pool {
namespace {

using Names = std::vector<std::string>;

class DirectoryFilesTest : public ::testing::Test {
 protected:
  DirectoryFiles files() {
    auto opened = DirectoryFiles::open(directory_.path());
    EXPECT_TRUE(opened.ok());
    return *std::move(opened);
  }
  DirectoryScan recover(bool writable = true) {
    auto opened = files();
    auto scan = recover_directory(opened, writable);
    EXPECT_TRUE(scan.ok()) << scan.error().to_string();
    return *std::move(scan);
  }
  void link(const std::string& from, const std::string& to) {
    std::filesystem::create_hard_link(directory_ / from, directory_ / to);
  }

  TemporaryDirectory directory_;
};

using ShelfName = DirectoryFilesTest;
using CreateFiles = DirectoryFilesTest;
using EraseFiles = DirectoryFilesTest;
using RenameFiles = DirectoryFilesTest;
using Recovery = DirectoryFilesTest;

TEST_F(ShelfName, AcceptsExactlyTheRule) {
  for (const char* good : {"a", "A-b_c.9", "map", "data.", "-", "a.map", "0"}) {
    EXPECT_TRUE(check_shelf_name(good).ok()) << good;
  }
  EXPECT_TRUE(check_shelf_name(std::string(200, 'x')).ok());
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string(".a"), std::string("a/b"),
        std::string("../a"), std::string("a b"), std::string("a\0b", 3), std::string("\xC3\xA9"),
        std::string("a\n"), std::string("a*"), std::string(201, 'x')}) {
    EXPECT_EQ(check_shelf_name(bad).code(), Code::kInvalidArgument) << bad;
  }
}

TEST_F(CreateFiles, GoesThroughTheMarkerToTheMap) {
  auto opened = files();
  ASSERT_TRUE(opened.begin_create("s", 8192).ok());
  EXPECT_EQ(directory_.names(), Names{"s.map.creating"});
  EXPECT_EQ(std::filesystem::file_size(opened.creating_path("s")), 8192u);
  directory_.write("s.data", "bytes");
  ASSERT_TRUE(opened.commit_create("s").ok());
  EXPECT_EQ(directory_.names(), (Names{"s.data", "s.map"}));
}

TEST_F(CreateFiles, RefusesWhenAnyOfItsFilesIsThere) {
  for (const char* present : {"s.map", "s.data", "s.map.creating", "s.map.erasing"}) {
    directory_.write(present, "not ours");
    const Status refused = files().begin_create("s", 4096);
    ASSERT_EQ(refused.code(), Code::kAlreadyExists) << present;
    EXPECT_NE(refused.error().message().find(present), std::string::npos);
    EXPECT_EQ(directory_.names(), Names{present});
    EXPECT_EQ(directory_.read(present), "not ours");
    std::filesystem::remove(directory_ / present);
  }
}

TEST_F(CreateFiles, WithoutSpaceLeavesNothing) {
  auto opened = files();
  EXPECT_EQ(opened.begin_create("s", uint64_t{1} << 55).code(), Code::kNoSpace);
  EXPECT_EQ(directory_.names(), Names{});
}

TEST_F(CreateFiles, HalfDoneOnesAreUndone) {
  // In the order in which the steps leave them.
  for (const Names& state : {Names{"s.map.creating"}, Names{"s.data", "s.map.creating"}}) {
    for (const auto& name : state) directory_.write(name, "x");
    EXPECT_TRUE(recover().shelves.empty());
    EXPECT_EQ(directory_.names(), Names{});
  }
}

TEST_F(CreateFiles, UndoIsRepeatable) {
  auto opened = files();
  directory_.write("s.map.creating", "x");
  directory_.write("s.data", "x");
  EXPECT_TRUE(opened.undo_create("s").ok());
  EXPECT_TRUE(opened.undo_create("s").ok());
  EXPECT_EQ(directory_.names(), Names{});
}

TEST_F(EraseFiles, GoesThroughTheMarkerToNothing) {
  directory_.write("s.map", "m");
  directory_.write("s.data", "d");
  auto opened = files();
  ASSERT_TRUE(opened.begin_erase("s").ok());
  EXPECT_EQ(directory_.names(), (Names{"s.data", "s.map.erasing"}));
  ASSERT_TRUE(opened.finish_erase("s").ok());
  EXPECT_EQ(directory_.names(), Names{});
}

TEST_F(EraseFiles, HalfDoneOnesAreFinished) {
  for (const Names& state : {Names{"s.data", "s.map.erasing"}, Names{"s.map.erasing"}}) {
    for (const auto& name : state) directory_.write(name, "x");
    EXPECT_TRUE(recover().shelves.empty());
    EXPECT_EQ(directory_.names(), Names{});
  }
}

TEST_F(RenameFiles, GoesThroughTheSecondLink) {
  directory_.write("a.map", "m");
  directory_.write("a.data", "d");
  auto opened = files();
  ASSERT_TRUE(opened.begin_rename("a", "b").ok());
  EXPECT_EQ(directory_.names(), (Names{"a.data", "b.data", "b.map"}));
  ASSERT_TRUE(opened.finish_rename("a").ok());
  EXPECT_EQ(directory_.names(), (Names{"b.data", "b.map"}));
  EXPECT_EQ(directory_.read("b.map") + directory_.read("b.data"), "md");
}

TEST_F(RenameFiles, RefusesWhenTheNewNameIsTakenAndChangesNothing) {
  directory_.write("a.map", "m");
  directory_.write("a.data", "d");
  for (const char* present : {"b.map", "b.data", "b.map.creating", "b.map.erasing"}) {
    directory_.write(present, "other");
    EXPECT_EQ(files().begin_rename("a", "b").code(), Code::kAlreadyExists) << present;
    EXPECT_EQ(directory_.names(), (Names{"a.data", "a.map", present}));
    EXPECT_EQ(directory_.read(present), "other");
    std::filesystem::remove(directory_ / present);
  }
}

TEST_F(RenameFiles, BeforeTheCommitPointIsUndone) {
  directory_.write("a.map", "m");
  directory_.write("a.data", "d");
  link("a.data", "b.data");
  EXPECT_EQ(recover().shelves, Names{"a"});
  EXPECT_EQ(directory_.names(), (Names{"a.data", "a.map"}));
}

TEST_F(RenameFiles, AfterTheCommitPointIsFinished) {
  directory_.write("a.data", "d");
  link("a.data", "b.data");
  directory_.write("b.map", "m");
  EXPECT_EQ(recover().shelves, Names{"b"});
  EXPECT_EQ(directory_.names(), (Names{"b.data", "b.map"}));
}

TEST_F(Recovery, LeavesForeignFilesAlone) {
  const Names foreign = {"README",    "a.map.bak",  "b.data.old",          "lost+found",
                         "notes.txt", "x.creating", ".hidden.map.erasing", "a b.map.creating"};
  for (const auto& name : foreign) directory_.write(name, "keep me");
  const auto scan = recover();
  EXPECT_TRUE(scan.shelves.empty());
  EXPECT_TRUE(scan.notes.empty());
  for (const auto& name : foreign) EXPECT_EQ(directory_.read(name), "keep me") << name;
}

TEST_F(Recovery, ReportsDataWithoutMapAndLeavesItAlone) {
  directory_.write("orphan.data", "precious");
  directory_.write("s.map", "m");
  directory_.write("s.data", "d");
  const auto scan = recover();
  EXPECT_EQ(scan.shelves, Names{"s"});
  ASSERT_EQ(scan.notes.size(), 1u);
  EXPECT_NE(scan.notes[0].find("orphan.data"), std::string::npos);
  EXPECT_EQ(directory_.read("orphan.data"), "precious");
}

TEST_F(Recovery, ReportsMapsThatAreNotNamedAsAShelf) {
  directory_.write("a b.map", "m");
  const auto scan = recover();
  EXPECT_TRUE(scan.shelves.empty());
  ASSERT_EQ(scan.notes.size(), 1u);
  EXPECT_NE(scan.notes[0].find("a b.map"), std::string::npos);
}

TEST_F(Recovery, AMarkerBesideAFinishedShelfNeverCostsItsData) {
  for (const char* marker : {"s.map.creating", "s.map.erasing"}) {
    directory_.write("s.map", "m");
    directory_.write("s.data", "d");
    directory_.write(marker, "stray");
    EXPECT_EQ(recover().shelves, Names{"s"});
    EXPECT_EQ(directory_.names(), (Names{"s.data", "s.map"})) << marker;
    EXPECT_EQ(directory_.read("s.data"), "d");
  }
}

TEST_F(Recovery, MarkersThatAreNotFilesAreLeftAlone) {
  std::filesystem::create_directory(directory_ / "d.map.erasing");
  std::filesystem::create_symlink("s.map", directory_ / "l.map.creating");
  directory_.write("l.data", "keep");
  recover();
  EXPECT_EQ(directory_.names(), (Names{"d.map.erasing", "l.data", "l.map.creating"}));
}

TEST_F(Recovery, ReadOnlyChangesNothing) {
  directory_.write("c.map.creating", "x");
  directory_.write("e.map.erasing", "x");
  directory_.write("s.map", "m");
  directory_.write("s.data", "d");
  link("s.data", "t.data");
  const Names before = directory_.names();
  EXPECT_EQ(recover(/*writable=*/false).shelves, Names{"s"});
  EXPECT_EQ(directory_.names(), before);
}

TEST_F(Recovery, TwiceIsOnce) {
  directory_.write("a.data", "d");
  link("a.data", "b.data");
  directory_.write("b.map", "m");
  directory_.write("c.map.creating", "x");
  const auto first = recover();
  const Names after = directory_.names();
  const auto second = recover();
  EXPECT_EQ(first.shelves, second.shelves);
  EXPECT_EQ(directory_.names(), after);
}

TEST_F(Recovery, ListsManyInOrder) {
  for (int index = 0; index < 300; ++index) {
    directory_.write("s" + std::to_string(1000 + index) + ".map", "m");
  }
  directory_.write("s1000-a.map", "m");  // sorts before "s1000.map" as a file, after as a name
  const auto shelves = recover().shelves;
  ASSERT_EQ(shelves.size(), 301u);
  EXPECT_TRUE(std::is_sorted(shelves.begin(), shelves.end()));
}

}  // namespace
}  // namespace pmshelf::pool
