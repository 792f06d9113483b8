// Timing and output shared by the benchmark groups.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "pmshelf/result.h"

namespace pmshelf::bench {

// Seconds that `work` takes.
inline double timed(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// One measurement: `operations` operations of `bytes` bytes each took `seconds`.
inline void sample(const char* name, const char* side, uint64_t bytes, uint64_t operations,
                   double seconds) {
  std::printf(
      "{\"name\": \"%s\", \"side\": \"%s\", \"bytes\": %llu, \"operations\": %llu, "
      "\"seconds\": %.9f}\n",
      name, side, static_cast<unsigned long long>(bytes),
      static_cast<unsigned long long>(operations), seconds);
  std::fflush(stdout);
}

// A benchmark that cannot do its work says why and ends.
[[noreturn]] inline void give_up(const std::string& what) {
  std::fprintf(stderr, "pmshelf_bench: %s\n", what.c_str());
  std::exit(1);
}

inline void must(const Status& status, const char* what) {
  if (!status.ok()) give_up(std::string(what) + ": " + status.error().to_string());
}

template <class T>
T must(Result<T> result, const char* what) {
  if (!result.ok()) give_up(std::string(what) + ": " + result.error().to_string());
  return *std::move(result);
}

// --name value pairs of the command line.
using Arguments = std::map<std::string, std::string>;
inline std::string argument(const Arguments& arguments, const std::string& name,
                            const std::string& fallback = "") {
  const auto found = arguments.find(name);
  if (found != arguments.end()) return found->second;
  return fallback;
}
inline uint64_t number(const Arguments& arguments, const std::string& name, uint64_t fallback) {
  const auto found = arguments.find(name);
  return found == arguments.end() ? fallback : std::stoull(found->second);
}

int run_local(const Arguments& arguments);
int run_tcp(const Arguments& arguments);
int run_small(const Arguments& arguments);
int run_redis(const Arguments& arguments);
int run_lmdb(const Arguments& arguments);

}  // namespace pmshelf::bench
