#include "common/media/holes.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace pmshelf::media {

Result<uint64_t> next_data(const std::string& name, int fd, uint64_t offset) {
  if (fd < 0) return offset;
  const off_t at = lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (at >= 0) return static_cast<uint64_t>(at);
  if (errno == ENXIO) return kNoData;
  return Error(Code::kIo, name + ": lseek: " + std::strerror(errno));
}

Extent data_step(uint64_t at, uint64_t end) {
  const uint64_t stop = at - at % kHoleBytesMin + kHoleBytesMin;
  return {at, std::min(stop, end) - at};
}

}  // namespace pmshelf::media
