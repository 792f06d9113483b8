// Same host: an array copied onto a shelf and persisted, against the same memcpy into an mmap of
// the same file system and the same flush (both through Media, so through libpmem2 or msync).
#include <cstring>
#include <string>
#include <vector>

#include "bench/samples.h"
#include "common/media/real_media.h"
#include "pmshelf/client.h"

namespace pmshelf::bench {

int run_local(const Arguments& arguments) {
  const std::string dir = argument(arguments, "dir");
  const uint64_t bytes = number(arguments, "bytes", uint64_t{1} << 30);
  const uint64_t rounds = number(arguments, "rounds", 7);
  const std::vector<std::byte> source(bytes, std::byte{0x5a});

  media::OpenFile file;
  file.path = dir + "/plain.bench";
  file.create = true;
  file.create_bytes = bytes;
  auto plain = must(media::open_file(file), "plain file");

  const Client client = must(Client::connect({.target = "dir:" + dir + "/pool"}), "connect");
  (void)client.erase_shelf("bench");
  const Shelf shelf = must(client.create_shelf("bench", 3 * bytes + (64 << 20)), "create shelf");
  {
    // Their mapping of the region goes before the shelf is erased.
    const Region region = must(shelf.create_region("array", bytes), "create region");
    const std::string suffix = argument(arguments, "suffix");
    const std::string copy = "local_copy" + suffix, assign = "local_assign" + suffix;
    for (uint64_t round = 0; round <= rounds; ++round) {
      const double plain_s = timed([&] {
        must(plain->store(0, source), "store");
        must(plain->flush(0, bytes), "flush");
        must(plain->drain(), "drain");
      });
      const double mapped_s = timed([&] { must(region.write(0, source), "write"); });
      const double put_s = timed([&] { must(shelf.put("value", source), "put"); });
      if (round == 0) continue;  // first touch of the pages
      sample(copy.c_str(), "mmap", bytes, 1, plain_s);
      sample(copy.c_str(), "pmshelf", bytes, 1, mapped_s);
      sample(assign.c_str(), "mmap", bytes, 1, plain_s);
      sample(assign.c_str(), "pmshelf", bytes, 1, put_s);
    }
  }
  must(client.erase_shelf("bench"), "erase shelf");
  return 0;
}

}  // namespace pmshelf::bench
