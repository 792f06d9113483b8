// Promises of the hand-over of data files: only to peers who gain nothing by it that they could not
// have anyway.
#include "server/dataplane/same_host.h"

#include <gtest/gtest.h>

namespace pmshelf::dataplane {
namespace {

MapQuestion stranger() {
  MapQuestion question;
  question.peer.local = true;
  question.peer.uid = 1000;
  question.peer.gid = 100;
  question.principal.name = "unix:alice";
  question.principal.uid = 1000;
  question.shelf_owner = "unix:bob";
  question.daemon_uid = 998;
  question.file_mode = 0600;
  question.file_gid = 998;
  question.writable = true;
  return question;
}

TEST(SameHost, StrangersGetNothing) { EXPECT_FALSE(may_map(stranger())); }

TEST(SameHost, RootTheDaemonsUserAndTheOwnerMap) {
  MapQuestion root = stranger();
  root.peer.uid = 0;
  EXPECT_TRUE(may_map(root));
  MapQuestion daemon = stranger();
  daemon.peer.uid = 998;
  EXPECT_TRUE(may_map(daemon));
  MapQuestion owner = stranger();
  owner.shelf_owner = "unix:alice";
  EXPECT_TRUE(may_map(owner));
}

TEST(SameHost, OwnersNameWithoutTheKernelsWordIsNotEnough) {
  MapQuestion borrowed = stranger();
  borrowed.shelf_owner = "unix:alice";
  borrowed.peer.uid = 1001;  // a session of alice's, used by another uid
  EXPECT_FALSE(may_map(borrowed));
  MapQuestion token = stranger();
  token.shelf_owner = "unix:alice";
  token.principal.uid = 0xffffffff;  // a token that acts as alice
  EXPECT_FALSE(may_map(token));
}

TEST(SameHost, GroupMapsOnlyWhatTheFilesModeGivesIt) {
  MapQuestion member = stranger();
  member.peer.gid = 998;
  EXPECT_FALSE(may_map(member));
  member.file_mode = 0640;
  EXPECT_FALSE(may_map(member));
  member.writable = false;
  EXPECT_TRUE(may_map(member));
  member.file_mode = 0660;
  member.writable = true;
  EXPECT_TRUE(may_map(member));
  member.peer.gid = 100;
  EXPECT_FALSE(may_map(member));
}

TEST(SameHost, RemotePeersNeverMap) {
  MapQuestion remote = stranger();
  remote.peer.uid = 0;
  remote.peer.local = false;
  EXPECT_FALSE(may_map(remote));
}

}  // namespace
}  // namespace pmshelf::dataplane
