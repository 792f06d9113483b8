#include "common/media/media.h"

#include <cstring>

#include "common/media/range.h"

namespace pmshelf::media {

std::string_view storage_class_name(StorageClass storage_class) {
  switch (storage_class) {
    case StorageClass::kPersistent:
      return "persistent";
    case StorageClass::kFile:
      return "file";
    case StorageClass::kVolatile:
      return "volatile";
  }
  return "unknown";
}

Status check_range(const std::string& name, uint64_t offset, uint64_t bytes, uint64_t limit) {
  if (offset <= limit && bytes <= limit - offset) return {};
  return Error(Code::kOutOfRange, name + ": " + std::to_string(bytes) + " bytes at offset " +
                                      std::to_string(offset) + " are outside its " +
                                      std::to_string(limit) + " bytes");
}

Status check_word(const std::string& name, uint64_t offset, uint64_t limit) {
  if (offset % kWordBytes != 0) {
    return Error(Code::kInvalidArgument, name + ": offset " + std::to_string(offset) +
                                             " of an 8-byte store is not a multiple of 8");
  }
  return check_range(name, offset, kWordBytes, limit);
}

bool is_zero(const std::byte* data, size_t bytes) {
  return bytes == 0 || (data[0] == std::byte{0} && std::memcmp(data, data + 1, bytes - 1) == 0);
}

Error bus_error(const std::string& name, uint64_t offset, uint64_t bytes) {
  return Error(Code::kIo, name + ": access to " + std::to_string(bytes) + " bytes at offset " +
                              std::to_string(offset) +
                              " raised SIGBUS: the file was truncated, its file system is full, "
                              "or the page is damaged");
}

}  // namespace pmshelf::media
