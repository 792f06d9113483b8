// Compiles with the public include folders alone: the header names all that it needs.
#include "pmshelf/client.h"

static_assert(sizeof(pmshelf::ConnectOptions) > 0);
