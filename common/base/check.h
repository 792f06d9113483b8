// PMSHELF_CHECK: an always-on check for our own bugs. It stops the process.
// Bytes read from media, network or files must never reach it: those get an Error.
#pragma once

namespace pmshelf {

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace pmshelf

#define PMSHELF_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::pmshelf::check_failed(#condition, __FILE__, __LINE__))
