// pmshelf_bench GROUP [--name value ...]: see bench/README.md.
#include <cstring>

#include "bench/samples.h"

int main(int argc, char** argv) {
  using namespace pmshelf::bench;
  Arguments arguments;
  for (int at = 2; at + 1 < argc; at += 2) {
    if (std::strncmp(argv[at], "--", 2) != 0) give_up(std::string("not an option: ") + argv[at]);
    arguments[argv[at] + 2] = argv[at + 1];
  }
  const std::string group = argc > 1 ? argv[1] : "";
  if (group == "local") return run_local(arguments);
  if (group == "tcp") return run_tcp(arguments);
  if (group == "small") return run_small(arguments);
  if (group == "redis") return run_redis(arguments);
  if (group == "lmdb") return run_lmdb(arguments);
  give_up("usage: pmshelf_bench local|tcp|small|redis|lmdb [--name value ...]");
}
