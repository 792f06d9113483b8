// The files of this host that regions are put from and got into.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "pmshelf/result.h"

namespace pmshelf::cli {

// A descriptor that is closed with its owner (0, 1 and 2 never are).
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  File& operator=(File&& other) noexcept;
  ~File();
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// Bytes in order, from a file or standard input ("-"). One thread at a time. Waiting for a pipe
// ends when the process is interrupted (interrupt.h). Every error is kIo and names the file.
class FileSource {
 public:
  static Result<FileSource> open(const std::string& path);
  // What is left to read of a regular file; nothing for pipes and devices.
  std::optional<uint64_t> known_bytes() const { return known_bytes_; }
  // Fills `target` unless the input ends before; returns how many bytes there were.
  Result<size_t> read_up_to(std::span<std::byte> target);
  // Fills `target`; kIo when the input ends before.
  Status read_exactly(std::span<std::byte> target);
  const std::string& name() const { return name_; }

 private:
  friend Result<FileSource> spool(FileSource& rest, std::span<const std::byte> head);
  File file_;
  std::string name_;
  std::optional<uint64_t> known_bytes_;
};

// Copies `head` and all that `rest` still has into an unnamed file in $TMPDIR (else /var/tmp, which
// survives big inputs where /tmp is memory) and returns it, at its start, with its length known.
Result<FileSource> spool(FileSource& rest, std::span<const std::byte> head);

// A file that appears whole or not at all: bytes go to an unnamed neighbour's place and take the
// name in commit(); what is not committed is removed. An existing file keeps its mode, a link
// its target. Pipes, devices and standard output ("-") are written straight. One thread at a time.
class FileSink {
 public:
  static Result<FileSink> open(const std::string& path);
  FileSink(FileSink&& other) noexcept;
  FileSink& operator=(FileSink&&) = delete;
  ~FileSink();

  Status write(std::span<const std::byte> bytes);
  // Durable under its name when it returns ok (regular files).
  Status commit();

 private:
  FileSink() = default;
  File file_;
  std::string name_;       // for messages
  std::string path_;       // what commit() renames to; empty: nothing to rename
  std::string temporary_;  // exists while not empty
};

}  // namespace pmshelf::cli
