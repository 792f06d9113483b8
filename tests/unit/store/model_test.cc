// The store against a model that is a map: random operations, kills at random points, and media
// that fail at every call. What was acknowledged is there; what is there was asked for.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <string>

#include "server/store/store.h"
#include "tests/unit/store/store_fixture.h"

namespace pmshelf::store {
namespace {

struct ModelRegion {
  RegionId id = 0;
  std::string bytes;
  std::string attributes;
  bool operator==(const ModelRegion&) const = default;
};
using Model = std::map<std::string, ModelRegion>;

// Drives a store and a model alike. A step returns false when the store refused.
class Driver {
 public:
  Driver(StoreBox& box, uint64_t seed) : box_(box), random_(seed) {}

  Model staged;   // after all calls that returned ok
  Model durable;  // after all that a sync acknowledged

  void sync() {
    const Status synced = box_.store->sync();
    if (synced.ok()) durable = staged;
    last_ = synced.code();
  }
  Code last() const { return last_; }

  void step() {
    const std::string name = "n" + std::to_string(random_() % 40);
    switch (random_() % 12) {
      case 0:
      case 1:
      case 2:
        return create(name);
      case 3:
        return erase(name);
      case 4:
        return rename(name);
      case 5:
        return swap(name);
      case 6:
      case 7:
        return resize(name);
      case 8:
        return attributes(name);
      case 9:
        return publish();
      case 10:
        return transact(name);
      default:
        return sync();
    }
  }

  void pin_something() {
    if (staged.empty()) return;
    const auto it = std::next(staged.begin(), static_cast<int64_t>(random_() % staged.size()));
    if (auto pin = box_.store->pin(it->second.id); pin.ok()) pins_.push_back(*std::move(pin));
    if (pins_.size() > 5) pins_.pop_front();
  }
  void drop_pins() { pins_.clear(); }

  void expect_equal(const Model& model) {
    uint64_t seen = 0;
    box_.store->scan(box_.shelf, "", "", true, [&](const RegionInfo& info) {
      ++seen;
      const auto it = model.find(info.name);
      EXPECT_NE(it, model.end()) << info.name << " should not be there";
      if (it == model.end()) return true;
      EXPECT_EQ(info.id, it->second.id) << info.name;
      EXPECT_EQ(box_.read(info.id), it->second.bytes) << info.name;
      const auto attributes = box_.store->attributes(info.id);
      EXPECT_TRUE(attributes.ok() && *attributes == it->second.attributes) << info.name;
      return true;
    });
    EXPECT_EQ(seen, model.size());
  }
  // Equal without a failure: for "one or the other".
  bool equals(const Model& model) {
    Model found;
    box_.store->scan(box_.shelf, "", "", true, [&](const RegionInfo& info) {
      const auto attributes = box_.store->attributes(info.id);
      found[info.name] = {info.id, box_.read(info.id), attributes.ok() ? *attributes : "?"};
      return true;
    });
    return found == model;
  }

 private:
  uint64_t some_length() {
    switch (random_() % 8) {
      case 0:
        return 0;
      case 1:
      case 2:
      case 3:
        return random_() % 600;
      case 4:
        return random_() % 5000;
      case 5:
      case 6:
        return random_() % 60'000;
      default:
        return random_() % (2 * kExtentBytes);
    }
  }
  std::string some_attributes() {
    if (random_() % 3 == 0) return "";
    return encoded_attributes({{"k", std::string(random_() % 60, 'v')}});
  }
  bool took(Code code) {
    last_ = code;
    return code == Code::kOk;
  }
  // Content is a client's business: written and flushed at once, so durable in itself.
  void scribble(ModelRegion& region) {
    if (region.bytes.empty()) return;
    const uint64_t at = random_() % region.bytes.size();
    const std::string text(std::min<uint64_t>(region.bytes.size() - at, 1 + random_() % 30),
                           static_cast<char>('a' + random_() % 26));
    const auto info = box_.store->region(region.id);
    if (!info.ok()) return;
    ASSERT_TRUE(box_.bytes_media().store(info->offset + at, bytes_of(text)).ok());
    region.bytes.replace(at, text.size(), text);
  }

  void create(const std::string& name) {
    const uint64_t bytes = some_length();
    const std::string attributes = some_attributes();
    const auto made = box_.store->create(box_.shelf, name, bytes, attributes, {});
    if (!took(made.code())) return;
    ASSERT_FALSE(staged.contains(name));
    staged[name] = {*made, std::string(bytes, '\0'), attributes};
    scribble(staged[name]);
  }
  void erase(const std::string& name) {
    const auto it = staged.find(name);
    if (it == staged.end() || !took(box_.store->erase(it->second.id, {}).code())) return;
    staged.erase(it);
  }
  void rename(const std::string& name) {
    const auto it = staged.find(name);
    if (it == staged.end()) return;
    const std::string to = "n" + std::to_string(random_() % 40);
    const bool replace = random_() % 2 == 0;
    const Status done = box_.store->rename(it->second.id, to, replace, {});
    if (!took(done.code())) return;
    ASSERT_TRUE(replace || to == name || !staged.contains(to));
    ModelRegion region = it->second;
    staged.erase(it);
    staged[to] = std::move(region);
  }
  void swap(const std::string& name) {
    const auto a = staged.find(name), b = staged.find("n" + std::to_string(random_() % 40));
    if (a == staged.end() || b == staged.end()) return;
    if (!took(box_.store->swap(a->second.id, b->second.id, {}).code())) return;
    std::swap(a->second, b->second);
  }
  void resize(const std::string& name) {
    const auto it = staged.find(name);
    if (it == staged.end()) return;
    const uint64_t bytes = some_length();
    if (!took(box_.store->resize(it->second.id, bytes, {}).code())) return;
    it->second.bytes.resize(bytes, '\0');
  }
  void attributes(const std::string& name) {
    const auto it = staged.find(name);
    if (it == staged.end()) return;
    const std::string attributes = some_attributes();
    if (!took(box_.store->set_attributes(it->second.id, attributes, {}).code())) return;
    it->second.attributes = attributes;
  }
  void publish() {
    std::vector<Publish> items;
    Model changed = staged;
    const int count = 1 + static_cast<int>(random_() % 3);
    for (int i = 0; i < count; ++i) {
      const uint64_t bytes = some_length();
      const auto reserved = box_.store->reserve(box_.shelf, bytes, true);
      if (!took(reserved.code())) break;
      const std::string name = "n" + std::to_string(random_() % 20 + 20 * (i % 2));
      if (i == 2) {  // sometimes one is given up
        box_.store->release(reserved->id);
        break;
      }
      items.push_back({reserved->id, name, some_attributes(), true, 0});
      changed[name] = {0, std::string(bytes, '\0'), items.back().attributes};
    }
    if (items.empty()) return;
    const auto ids = box_.store->publish(box_.shelf, items, {});
    if (!took(ids.code())) {
      for (const Publish& item : items) box_.store->release(item.staged);
      return;
    }
    staged = std::move(changed);
    for (size_t i = 0; i < items.size(); ++i) staged[items[i].name].id = (*ids)[i];
  }
  void transact(const std::string& name) {
    const auto it = staged.find(name);
    if (it == staged.end() || it->second.bytes.size() < 10) return;
    const uint64_t half = it->second.bytes.size() / 2;
    const std::string text(1 + random_() % half, static_cast<char>('A' + random_() % 26));
    const std::vector<WriteRange> ranges = {{it->second.id, 0, bytes_of(text)},
                                            {it->second.id, half, bytes_of(text)}};
    before_transaction = staged;
    Model after = staged;
    after[name].bytes.replace(0, text.size(), text).replace(half, text.size(), text);
    after_transaction = after;
    if (!took(box_.store->transact(ranges, {}).code())) return sync();  // it may have synced
    staged = durable = std::move(after);
  }

 public:
  Model before_transaction, after_transaction;

 private:
  StoreBox& box_;
  std::mt19937_64 random_;
  std::deque<Pin> pins_;
  Code last_ = Code::kOk;
};

class ModelTest : public testing::TestWithParam<int> {};

// Contents that a client writes after a sync are durable by themselves and, for regions that a
// staged operation changed, belong to no durable state: those are compared only after a sync.
TEST_P(ModelTest, RandomOperationsWithKillsAreTheModel) {
  const uint64_t seed = test_seed() + static_cast<uint64_t>(GetParam());
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const bool device = GetParam() % 2 == 1;
  StoreBox box = device ? StoreBox::device(12) : StoreBox::directory(12);
  box.open_with_shelf();
  Driver driver(box, seed);
  for (int step = 0; step < 3000; ++step) {
    driver.step();
    if (random() % 5 == 0) driver.pin_something();
    if (random() % 60 == 0) {
      driver.expect_equal(driver.staged);
      box.expect_clean();
    }
    if (random() % 100 == 0) {
      driver.drop_pins();
      switch (random() % 3) {
        case 0: {  // killed with operations staged
          box.reopen();
          driver.staged = driver.durable;
          driver.expect_equal(driver.durable);
          break;
        }
        case 1:
          driver.sync();
          ASSERT_TRUE(box.store->close().ok());
          box.reopen();
          EXPECT_TRUE(box.store->recovery().was_clean);
          break;
        default:
          ASSERT_TRUE(box.store->compact().ok());
          driver.durable = driver.staged;
      }
      box.expect_clean();
    }
    if (testing::Test::HasFailure()) return;
  }
  driver.sync();
  driver.drop_pins();
  box.reopen();
  driver.expect_equal(driver.durable);
  box.expect_clean();
}

INSTANTIATE_TEST_SUITE_P(Runs, ModelTest, testing::Range(0, 8));

// One call of the media fails, and in the sticky case every later one: the store says kIo (or
// goes on, where nothing was lost), and re-opening gives what was acknowledged.
class FaultTest : public testing::TestWithParam<bool> {};

TEST_P(FaultTest, AfterAFailedCallReopeningGivesTheAcknowledgedState) {
  const bool sticky = GetParam();
  const uint64_t seed = test_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  int64_t calls_without_fault = 0;
  for (int64_t fail_at = -1; fail_at < calls_without_fault || fail_at < 0; ++fail_at) {
    StoreBox box = StoreBox::directory(6);
    box.open_with_shelf();
    box.kill();
    media::FaultPlan plan;
    plan.sticky = sticky;
    const auto faulty = [&](const std::shared_ptr<media::Media>& inner) {
      return media::make_faulty_media(std::make_unique<SharedMedia>(inner), plan);
    };
    plan.fail_at_call = fail_at;
    auto opened = Store::open(faulty(box.map), faulty(box.data), {}, box.clock());
    Driver driver(box, seed);
    if (opened.ok()) {
      box.store = *std::move(opened);
      for (int step = 0; step < 150 && !box.store->offline(); ++step) {
        driver.step();
        if (step == 75) {
          if (box.store->compact().ok()) driver.durable = driver.staged;
        }
      }
      if (box.store->offline()) {
        EXPECT_EQ(box.store->find(box.shelf, "n0").code(), Code::kIo);
        EXPECT_EQ(box.store->create(box.shelf, "n0", 1, "", {}).code(), Code::kIo);
        EXPECT_EQ(box.store->sync().code(), Code::kIo);
        EXPECT_EQ(box.store->close().code(), Code::kIo);
        EXPECT_EQ(box.store->check().code(), Code::kIo);
      }
    }
    if (fail_at == -1) {
      calls_without_fault = plan.calls;
      ASSERT_GT(calls_without_fault, 60);
    }
    plan.fail_at_call = -1;
    plan.sticky = false;
    box.reopen();
    ASSERT_NE(box.store, nullptr);
    EXPECT_EQ(box.store->recovery().damage, "");
    const bool as_acknowledged = driver.equals(driver.durable);
    const bool as_asked = driver.equals(driver.staged) ||
                          driver.equals(driver.before_transaction) ||
                          driver.equals(driver.after_transaction);
    EXPECT_TRUE(as_acknowledged || as_asked) << "call " << fail_at;
    box.expect_clean();
    if (testing::Test::HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, FaultTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Sticky" : "Once"; });

}  // namespace
}  // namespace pmshelf::store
