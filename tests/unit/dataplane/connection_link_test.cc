// Promises about connections and the end of their session: closed at once, unless mappings are out.
#include "server/dataplane/connection_link.h"

#include <gtest/gtest.h>

#include <string>

namespace pmshelf::dataplane {
namespace {

class FakeControl final : public transport::ConnectionControl {
 public:
  void notify(wire::NoticeKind kind, wire::GrantId) override { notices.push_back(kind); }
  void close(std::string reason) override { reasons.push_back(reason); }
  std::vector<wire::NoticeKind> notices;
  std::vector<std::string> reasons;
};

class ConnectionTableTest : public ::testing::Test {
 protected:
  wire::SessionId open_session() { return registry_.open({.name = "unix:a"}, "test", "peer")->id; }
  ManualClock clock_;
  session::Registry registry_{{}, clock_};
  ConnectionTable table_{registry_};
  std::shared_ptr<FakeControl> control_ = std::make_shared<FakeControl>();
  std::shared_ptr<ConnectionLink> link_ = std::make_shared<ConnectionLink>(control_);
};

TEST_F(ConnectionTableTest, SessionsEndClosesItsConnections) {
  const wire::SessionId session = open_session();
  auto other_control = std::make_shared<FakeControl>();
  auto other = std::make_shared<ConnectionLink>(other_control);
  ASSERT_TRUE(table_.add(session, "tcp", link_).ok());
  ASSERT_TRUE(table_.add(open_session(), "tcp", other).ok());
  EXPECT_EQ(registry_.list().size(), 2U);
  registry_.close(session, "test");
  EXPECT_EQ(control_->reasons.size(), 1U);
  EXPECT_TRUE(link_->session_over());
  EXPECT_TRUE(other_control->reasons.empty());
}

TEST_F(ConnectionTableTest, ConnectionWithMappingsOutlivesItsSessionUntilTheLastIsGone) {
  const wire::SessionId session = open_session();
  ASSERT_TRUE(table_.add(session, "local", link_).ok());
  EXPECT_TRUE(*link_->add_mapping({1, 1}));
  EXPECT_TRUE(*link_->add_mapping({1, 2}));
  EXPECT_FALSE(*link_->add_mapping({1, 2}));
  registry_.close(session, "test");
  EXPECT_TRUE(control_->reasons.empty());
  EXPECT_EQ(link_->add_mapping({1, 3}).code(), Code::kSessionExpired);
  link_->drop_mapping({1, 1});
  EXPECT_TRUE(control_->reasons.empty());
  link_->drop_mapping({1, 2});
  EXPECT_EQ(control_->reasons.size(), 1U);
}

TEST_F(ConnectionTableTest, EndedAndUnknownSessionsAreNotAdded) {
  const wire::SessionId session = open_session();
  registry_.close(session, "test");
  EXPECT_EQ(table_.add(session, "tcp", link_).code(), Code::kSessionExpired);
}

TEST_F(ConnectionTableTest, ManyConnectionsInTurnUseUpNothing) {
  const wire::SessionId session = open_session();
  for (int round = 0; round < 5000; ++round) {
    auto link = std::make_shared<ConnectionLink>(control_);
    ASSERT_TRUE(table_.add(session, "tcp", link).ok()) << round;
    table_.remove(session, "tcp", link);
    EXPECT_EQ(link.use_count(), 1);
  }
}

TEST_F(ConnectionTableTest, DrainNoticeReachesEveryConnection) {
  ASSERT_TRUE(table_.add(open_session(), "tcp", link_).ok());
  table_.notify_all(wire::NoticeKind::kDraining);
  ASSERT_EQ(control_->notices.size(), 1U);
  EXPECT_EQ(control_->notices[0], wire::NoticeKind::kDraining);
}

}  // namespace
}  // namespace pmshelf::dataplane
