#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace pmshelf {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "pmshelf bug: check failed: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace pmshelf
