#include "pmshelf/error.h"

static_assert(pmshelf::kCodeMax == static_cast<unsigned>(pmshelf::Code::kInternal));
