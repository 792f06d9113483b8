#include "tests/conformance/stream_world.h"

#include <stdlib.h>

#include <cstdlib>
#include <fstream>

#include "common/base/check.h"

namespace pmshelf::transport {
namespace {

void run(const std::string& command) { PMSHELF_CHECK(std::system(command.c_str()) == 0); }

}  // namespace

TempDirectory::TempDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "pmshelf-XXXXXX").string();
  PMSHELF_CHECK(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

DataThreads::DataThreads(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    contexts_.push_back(std::make_unique<asio::io_context>(1));
    guards_.push_back(asio::make_work_guard(*contexts_.back()));
    threads_.emplace_back([context = contexts_.back().get()] { context->run(); });
  }
}

DataThreads::~DataThreads() {
  guards_.clear();  // run() returns when nothing is left to do: a leak would hang here
  for (std::thread& thread : threads_) thread.join();
}

std::vector<asio::io_context*> DataThreads::pool() {
  std::vector<asio::io_context*> result;
  for (const auto& context : contexts_) result.push_back(context.get());
  return result;
}

Certificates::Certificates(const TempDirectory& directory, const std::string& prefix) {
  const auto path = [&](const std::string& name) { return directory.file(prefix + name); };
  ca = path("ca.pem");
  server_cert = path("server.pem");
  server_key = path("server.key");
  client_cert = path("client.pem");
  client_key = path("client.key");
  const std::string quiet = " >/dev/null 2>&1";
  const std::string new_key = " -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes ";
  const std::string ca_key = path("ca.key");
  run("openssl req -x509" + new_key + "-days 2 -subj /CN=test-ca -keyout " + ca_key + " -out " +
      ca + quiet);
  std::ofstream(path("server.ext")) << "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
  const auto sign = [&](const std::string& name, const std::string& key, const std::string& cert,
                        const std::string& extra) {
    const std::string request = path(name + ".csr");
    run("openssl req" + new_key + "-subj /CN=" + name + " -keyout " + key + " -out " + request +
        quiet);
    run("openssl x509 -req -days 2 -in " + request + " -CA " + ca + " -CAkey " + ca_key +
        " -CAcreateserial -out " + cert + extra + quiet);
  };
  sign("server", server_key, server_cert, " -extfile " + path("server.ext"));
  sign("client", client_key, client_cert, "");
}

StreamServer::StreamServer(StreamKind kind, StreamLimits limits, bool client_certs) {
  ListenOptions options;
  options.limits = limits;
  if (kind == StreamKind::kUnix) {
    options.unix_path = socket_path();
  } else {
    options.address = "127.0.0.1";
  }
  if (kind == StreamKind::kTls) {
    certificates_ = std::make_unique<Certificates>(directory_);
    ServerTlsFiles files{certificates_->server_cert, certificates_->server_key, ""};
    if (client_certs) files.client_ca_file = certificates_->ca;
    auto context = make_server_tls_context(files);
    PMSHELF_CHECK(context.ok());
    options.tls_context = [held = *context] { return held; };
  }
  auto listener = StreamListener::open(threads_.pool(), options, service_.factory());
  PMSHELF_CHECK(listener.ok());
  listener_ = *std::move(listener);
}

StreamServer::~StreamServer() {
  listener_->stop(0);
  service_.hold = false;
  service_.release_held();
}

}  // namespace pmshelf::transport
