// Files of mostly zeros as lists of (offset u64, length u64, bytes), all little-endian.
#pragma once

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/base/endian.h"
#include "common/media/media.h"

namespace pmshelf::store {

inline constexpr uint64_t kSparseLineBytes = 64;

// The last entry is empty, at the file's length.
inline bool write_sparse(const media::Media& media, const std::string& path) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  std::string run;
  uint64_t run_offset = 0;
  const auto put_run = [&](uint64_t offset) {
    std::byte header[16];
    store_le<uint64_t>(header, offset);
    store_le<uint64_t>(header + 8, run.size());
    out.write(reinterpret_cast<const char*>(header), sizeof header);
    out << run;
    run.clear();
  };
  for (uint64_t offset = 0; offset < media.bytes(); offset += kSparseLineBytes) {
    std::string line(kSparseLineBytes, '\0');
    if (!media.read(offset, std::as_writable_bytes(std::span(line))).ok()) return false;
    if (line == std::string(kSparseLineBytes, '\0')) {
      if (!run.empty()) put_run(run_offset);
      continue;
    }
    if (run.empty()) run_offset = offset;
    run += line;
  }
  if (!run.empty()) put_run(run_offset);
  put_run(media.bytes());
  return out.good();
}

// Empty when the file is not there or cut off.
inline std::vector<std::byte> read_sparse(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string file{std::istreambuf_iterator<char>(in), {}};
  const auto* bytes = reinterpret_cast<const std::byte*>(file.data());
  std::vector<std::byte> out;
  uint64_t at = 0;
  while (at + 16 <= file.size()) {
    const auto offset = load_le<uint64_t>(bytes + at), length = load_le<uint64_t>(bytes + at + 8);
    at += 16;
    if (length > file.size() - at) return {};
    out.resize(offset + length);
    std::copy_n(bytes + at, length, out.begin() + static_cast<int64_t>(offset));
    at += length;
  }
  return out;
}

}  // namespace pmshelf::store
