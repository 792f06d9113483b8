// The store engine against LMDB: create + erase of a small region against a synchronous put +
// delete, both in this process, on the same file system.
#include <lmdb.h>
#include <sys/stat.h>

#include <string>

#include "bench/samples.h"
#include "common/base/clock.h"
#include "server/pool/pool.h"

namespace pmshelf::bench {
namespace {

void check(int code, const char* what) {
  if (code != 0) give_up(std::string(what) + ": " + mdb_strerror(code));
}

class Lmdb {
 public:
  explicit Lmdb(const std::string& dir) {
    ::mkdir(dir.c_str(), 0700);
    check(mdb_env_create(&env_), "mdb_env_create");
    check(mdb_env_set_mapsize(env_, size_t{1} << 30), "mdb_env_set_mapsize");
    check(mdb_env_open(env_, dir.c_str(), 0, 0600), "mdb_env_open");
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn), "mdb_txn_begin");
    check(mdb_dbi_open(txn, nullptr, 0, &db_), "mdb_dbi_open");
    check(mdb_txn_commit(txn), "mdb_txn_commit");
  }
  ~Lmdb() { mdb_env_close(env_); }
  Lmdb(const Lmdb&) = delete;
  Lmdb& operator=(const Lmdb&) = delete;

  void put_and_delete(std::string name, std::string value) {
    MDB_val key{name.size(), name.data()}, data{value.size(), value.data()};
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn), "mdb_txn_begin");
    check(mdb_put(txn, db_, &key, &data, 0), "mdb_put");
    check(mdb_txn_commit(txn), "mdb_txn_commit");
    check(mdb_txn_begin(env_, nullptr, 0, &txn), "mdb_txn_begin");
    check(mdb_del(txn, db_, &key, nullptr), "mdb_del");
    check(mdb_txn_commit(txn), "mdb_txn_commit");
  }

 private:
  MDB_env* env_ = nullptr;
  MDB_dbi db_ = 0;
};

}  // namespace

int run_lmdb(const Arguments& arguments) {
  const std::string dir = argument(arguments, "dir");
  const uint64_t operations = number(arguments, "operations", 20000);
  const uint64_t rounds = number(arguments, "rounds", 7);
  const std::string name = "lmdb_create_erase" + argument(arguments, "suffix");
  Lmdb lmdb(dir + "/lmdb");
  ::mkdir((dir + "/pool").c_str(), 0700);
  SystemClock clock;
  pool::PoolOptions options;
  options.path = dir + "/pool";
  auto pool = must(pool::Pool::open(options, clock), "open pool");
  store::ShelfInfo info;
  info.name = "bench";
  info.owner = "unix:bench";
  info.capacity_bytes = 64 << 20;
  const auto shelf = must(pool->create_shelf(info, {}), "create shelf");
  const std::string value(100, 'v');
  for (uint64_t round = 0; round <= rounds; ++round) {
    const double theirs = timed([&] {
      for (uint64_t n = 0; n < operations; ++n) {
        lmdb.put_and_delete("region-" + std::to_string(n), value);
      }
    });
    const double ours = timed([&] {
      for (uint64_t n = 0; n < operations; ++n) {
        const auto id =
            must(shelf->create("region-" + std::to_string(n), value.size(), "", {}), "create");
        must(shelf->erase(id, {}), "erase");
      }
    });
    if (round == 0) continue;
    sample(name.c_str(), "lmdb", value.size(), operations, theirs);
    sample(name.c_str(), "pmshelf", value.size(), operations, ours);
  }
  must(pool->close(), "close pool");
  return 0;
}

}  // namespace pmshelf::bench
