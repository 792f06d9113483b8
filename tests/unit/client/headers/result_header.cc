#include "pmshelf/result.h"

static_assert(sizeof(pmshelf::Status) > 0);
