// Appends little-endian fields to a string: how every meta is made. Private to common/wire.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "common/base/endian.h"

namespace pmshelf::wire {

class Writer {
 public:
  explicit Writer(size_t bytes) { out_.reserve(bytes); }

  template <class T>
    requires std::is_unsigned_v<T>
  void put(T value) {
    std::byte field[sizeof(T)];
    store_le(field, value);
    put_bytes(field);
  }
  void put_bytes(std::span<const std::byte> bytes) {
    out_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void put_text(std::string_view text) { out_.append(text); }
  std::string take() && { return std::move(out_); }

 private:
  std::string out_;
};

}  // namespace pmshelf::wire
