#include "test_server.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

namespace pmshelf::control {

TempDir::TempDir() {
  std::string name = "/tmp/pmshelf-control-test-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) std::abort();
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Status from_grpc(const grpc::Status& status) {
  if (status.ok()) return {};
  v1::ErrorDetail detail;
  if (status.error_details().empty() || !detail.ParseFromString(status.error_details())) {
    return Error(Code::kInternal, "no detail: " + std::to_string(status.error_code()) + " " +
                                      status.error_message());
  }
  return Error(static_cast<Code>(detail.code()), detail.message());
}

v1::RequestId new_request_id() {
  static std::atomic<uint64_t> last{0};
  v1::RequestId id;
  id.set_high(77);
  id.set_low(++last);
  return id;
}

TestClient::TestClient(const std::string& target,
                       std::shared_ptr<grpc::ChannelCredentials> credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  if (credentials == nullptr) credentials = grpc::InsecureChannelCredentials();
  channel_ = grpc::CreateCustomChannel(target, credentials, arguments);
  sessions_ = v1::Sessions::NewStub(channel_);
  shelves_ = v1::Shelves::NewStub(channel_);
  regions_ = v1::Regions::NewStub(channel_);
  admin_ = v1::Admin::NewStub(channel_);
}

Status TestClient::open(const std::string& token) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  v1::OpenSessionRequest request;
  request.set_protocol_version(1);
  request.set_client_name("control_test");
  return from_grpc(sessions_->Open(&context, request, &session_));
}

void TestClient::prepare(grpc::ClientContext& context) const {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  if (!session_.ticket().empty()) context.AddMetadata("pmshelf-session-bin", session_.ticket());
}

TestServer::~TestServer() {
  if (server_ != nullptr) server_->shutdown(0);
  if (registry_ == nullptr) return;
  for (const auto& view : registry_->list()) registry_->close(view.id, "the test is over");
}

void TestServer::start() {
  registry_ = std::make_unique<session::Registry>(settings.limits, clock);
  handles_ = std::make_unique<session::Handles>(*registry_);
  if (settings.auth.token_file.empty()) settings.auth.token_file = dir.file("tokens");
  auto authenticator = Authenticator::open(settings.auth, clock);
  ASSERT_TRUE(authenticator.ok()) << authenticator.error().message();
  authenticator_ = *std::move(authenticator);
  ControlOptions options = settings.options;
  options.version = "1.2.3";
  options.boot_epoch = 42;
  options.session_timeout_ms = settings.limits.session_timeout_ms;
  options.listen.insert(options.listen.begin(), {"control.listen", target()});
  const ControlParts parts{*registry_, *handles_, pools, *authenticator_, clock};
  server_ = std::make_unique<ControlServer>(parts, options, settings.hooks);
  const Status started = server_->start();
  ASSERT_TRUE(started.ok()) << started.error().message();
}

std::unique_ptr<TestClient> TestServer::client(uint32_t uid) {
  auto made = std::make_unique<TestClient>(target());
  const Status opened = made->open(authenticator_->issue_peer_token(uid, uid, 1));
  EXPECT_TRUE(opened.ok()) << opened.error().message();
  return made;
}

std::unique_ptr<TestClient> TestServer::admin() { return client(::geteuid()); }

}  // namespace pmshelf::control
