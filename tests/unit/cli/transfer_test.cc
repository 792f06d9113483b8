// Promises of moving bytes: all of them, in order, in two buffers; files appear whole or not at
// all.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

#include "client/cli/child.h"
#include "client/cli/local_file.h"
#include "client/cli/pump.h"

namespace pmshelf::cli {
namespace {

namespace fs = std::filesystem;

std::vector<std::byte> pattern(size_t bytes) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(i * 7 + i / 251);
  return data;
}

class Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "pmshelf-cli-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  void TearDown() override { fs::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  static std::string content(const std::string& name) {
    std::ifstream stream(name, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {}));
  }
  fs::path path_;
};

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

struct Ends {
  std::vector<std::byte> source, target;
  std::vector<uint64_t> progress;
  uint64_t fail_read_at = UINT64_MAX, fail_write_at = UINT64_MAX;
  std::atomic<int> running{0};

  PumpEnds ends() {
    PumpEnds made;
    made.read = [this](uint64_t offset, std::span<std::byte> span) {
      ++running;
      return run_aside([this, offset, span]() -> Status {
        const bool fails = offset >= fail_read_at;
        if (!fails) std::memcpy(span.data(), source.data() + offset, span.size());
        --running;
        return fails ? Status(Code::kIo, "read") : Status();
      });
    };
    made.write = [this](uint64_t offset, std::span<const std::byte> span) {
      ++running;
      return run_aside([this, offset, span]() -> Status {
        const bool fails = offset >= fail_write_at;
        if (!fails) std::memcpy(target.data() + offset, span.data(), span.size());
        --running;
        return fails ? Status(Code::kIo, "write") : Status();
      });
    };
    made.progress = [this](uint64_t done) -> Status {
      progress.push_back(done);
      return {};
    };
    return made;
  }
};

TEST(Pump, MovesEveryByteOfAnyLength) {
  for (const size_t bytes : {0, 1, 7, 8, 9, 16, 17, 1000}) {
    Ends ends{pattern(bytes), std::vector<std::byte>(bytes), {}};
    ASSERT_TRUE(pump(bytes, ends.ends(), 8).ok());
    EXPECT_EQ(ends.source, ends.target) << bytes;
    EXPECT_EQ(ends.progress.back(), bytes);
    EXPECT_TRUE(std::is_sorted(ends.progress.begin(), ends.progress.end()));
  }
}

TEST(Pump, FirstErrorEndsItWithNothingOutstanding) {
  for (const uint64_t at : {0, 8, 96}) {
    Ends reads{pattern(100), std::vector<std::byte>(100), {}};
    reads.fail_read_at = at;
    EXPECT_EQ(pump(100, reads.ends(), 8).error().message(), "read");
    EXPECT_EQ(reads.running, 0);
    Ends writes{pattern(100), std::vector<std::byte>(100), {}};
    writes.fail_write_at = at;
    EXPECT_EQ(pump(100, writes.ends(), 8).error().message(), "write");
    EXPECT_EQ(writes.running, 0);
  }
}

TEST(Pump, ProgressCanStopIt) {
  Ends ends{pattern(100), std::vector<std::byte>(100), {}};
  PumpEnds made = ends.ends();
  made.progress = [](uint64_t done) -> Status {
    return done >= 16 ? Status(Code::kUnknownOutcome, "interrupted") : Status();
  };
  EXPECT_EQ(pump(100, made, 8).error().message(), "interrupted");
  EXPECT_EQ(ends.running, 0);
}

TEST(Pump, KeepsTwoChunksInMemoryAtMost) {
  Ends ends{pattern(100), std::vector<std::byte>(100), {}};
  PumpEnds made = ends.ends();
  std::vector<const std::byte*> buffers;
  const auto read = made.read;
  made.read = [&](uint64_t offset, std::span<std::byte> span) {
    buffers.push_back(span.data());
    return read(offset, span);
  };
  ASSERT_TRUE(pump(100, made, 8).ok());
  std::sort(buffers.begin(), buffers.end());
  EXPECT_EQ(std::unique(buffers.begin(), buffers.end()) - buffers.begin(), 2);
}

using FileSinkTest = Folder;

TEST_F(FileSinkTest, FileAppearsAtCommitOnly) {
  const std::string name = file("out");
  {
    auto sink = FileSink::open(name);
    ASSERT_TRUE(sink.ok());
    ASSERT_TRUE(sink->write(as_bytes("hello")).ok());
    EXPECT_FALSE(fs::exists(name));
    ASSERT_TRUE(sink->commit().ok());
  }
  EXPECT_EQ(content(name), "hello");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileSinkTest, WithoutCommitNothingIsLeftAndTheOldFileStays) {
  const std::string name = file("out");
  std::ofstream(name) << "old";
  {
    auto sink = FileSink::open(name);
    ASSERT_TRUE(sink.ok());
    ASSERT_TRUE(sink->write(as_bytes("new")).ok());
  }
  EXPECT_EQ(content(name), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileSinkTest, ReplacedFileKeepsItsModeAndALinkItsTarget) {
  const std::string name = file("out"), link = file("link");
  std::ofstream(name) << "old";
  ASSERT_EQ(::chmod(name.c_str(), 0640), 0);
  fs::create_symlink("out", link);
  auto sink = FileSink::open(link);
  ASSERT_TRUE(sink.ok());
  ASSERT_TRUE(sink->write(as_bytes("new")).ok());
  ASSERT_TRUE(sink->commit().ok());
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(content(name), "new");
  struct stat status = {};
  ASSERT_EQ(::stat(name.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST_F(FileSinkTest, UnwritableFolderIsAnErrorThatNamesTheFile) {
  const auto sink = FileSink::open(file("none/out"));
  ASSERT_EQ(sink.code(), Code::kIo);
  EXPECT_THAT(sink.error().message(), ::testing::HasSubstr("none/out"));
}

TEST_F(FileSinkTest, DevicesAreWrittenStraight) {
  auto sink = FileSink::open("/dev/null");
  ASSERT_TRUE(sink.ok());
  EXPECT_TRUE(sink->write(as_bytes("x")).ok());
  EXPECT_TRUE(sink->commit().ok());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(FileSinkTest, FullDeviceIsAnError) {
  auto sink = FileSink::open("/dev/full");
  ASSERT_TRUE(sink.ok());
  EXPECT_EQ(sink->write(as_bytes("x")).code(), Code::kIo);
}

using FileSourceTest = Folder;

TEST_F(FileSourceTest, KnowsTheLengthOfFilesButNotOfPipes) {
  std::ofstream(file("in")) << "12345";
  auto source = FileSource::open(file("in"));
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(source->known_bytes(), 5u);
  ASSERT_EQ(::mkfifo(file("pipe").c_str(), 0600), 0);
  const int writer = ::open(file("pipe").c_str(), O_RDWR);
  ASSERT_GE(writer, 0);
  auto pipe = FileSource::open(file("pipe"));
  ASSERT_TRUE(pipe.ok());
  EXPECT_FALSE(pipe->known_bytes());
  ::close(writer);
}

TEST_F(FileSourceTest, EarlyEndIsAnError) {
  std::ofstream(file("in")) << "123";
  auto source = FileSource::open(file("in"));
  std::byte buffer[4];
  EXPECT_EQ(source->read_exactly(buffer).code(), Code::kIo);
}

TEST_F(FileSourceTest, FoldersAndMissingFilesAreNamed) {
  EXPECT_THAT(FileSource::open(file("gone")).error().message(), ::testing::HasSubstr("gone"));
  EXPECT_THAT(FileSource::open(path_.string()).error().message(),
              ::testing::HasSubstr("Is a directory"));
}

TEST_F(FileSourceTest, SpoolKeepsEveryByteAndLeavesNoFile) {
  ASSERT_EQ(::setenv("TMPDIR", path_.c_str(), 1), 0);
  const auto data = pattern((3 << 20) + 17);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::thread writer([&] {
    size_t done = 0;
    while (done < data.size()) {
      const ssize_t n = ::write(ends[1], data.data() + done, data.size() - done);
      ASSERT_GT(n, 0);
      done += static_cast<size_t>(n);
    }
    ::close(ends[1]);
  });
  auto source = FileSource::open("/dev/fd/" + std::to_string(ends[0]));
  ASSERT_TRUE(source.ok());
  std::vector<std::byte> head(1000);
  ASSERT_EQ(*source->read_up_to(head), head.size());
  auto spooled = spool(*source, head);
  writer.join();
  ::close(ends[0]);
  ASSERT_EQ(::unsetenv("TMPDIR"), 0);
  ASSERT_TRUE(spooled.ok()) << spooled.error().message();
  ASSERT_EQ(spooled->known_bytes(), data.size());
  std::vector<std::byte> back(data.size());
  ASSERT_TRUE(spooled->read_exactly(back).ok());
  EXPECT_EQ(back, data);
  EXPECT_EQ(entries(), 0u);
}

TEST(RunChild, ExitCodeIsTheCommands) {
  EXPECT_EQ(*run_child({"sh", "-c", "exit 7"}), 7);
  EXPECT_EQ(*run_child({"sh", "-c", "kill -9 $$"}), 128 + 9);
  EXPECT_EQ(*run_child({"/nonexistent/program"}), 127);
  EXPECT_EQ(*run_child({"/etc/passwd"}), 126);
}

TEST(RunChild, SignalsAreTheDefaultOnes) {
  // A shell cannot un-ignore SIGINT that it inherited ignored: the trap would not run.
  EXPECT_EQ(*run_child({"sh", "-c", "trap 'exit 5' INT; kill -INT $$; exit 1"}), 5);
}

}  // namespace
}  // namespace pmshelf::cli
