#include "server/app/tls_reloader.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <utility>

namespace pmshelf::app {

TlsReloader::TlsReloader(transport::ServerTlsFiles files,
                         std::shared_ptr<asio::ssl::context> context)
    : files_(std::move(files)), context_(std::move(context)) {}

Result<std::unique_ptr<TlsReloader>> TlsReloader::open(transport::ServerTlsFiles files) {
  PMSHELF_TRY_ASSIGN(auto context, transport::make_server_tls_context(files));
  std::unique_ptr<TlsReloader> made(new TlsReloader(std::move(files), std::move(context)));
  made->seen_ = made->fingerprint();
  return made;
}

std::shared_ptr<asio::ssl::context> TlsReloader::current() const {
  std::lock_guard lock(mutex_);
  return context_;
}

void TlsReloader::check() {
  std::string now = fingerprint();
  if (now == seen_) return;
  seen_ = std::move(now);
  Result<std::shared_ptr<asio::ssl::context>> fresh = transport::make_server_tls_context(files_);
  if (!fresh.ok()) {
    return spdlog::error("[tls] the new certificate is not used, the old one stays: {}",
                         fresh.error().message());
  }
  spdlog::info("[tls] certificate '{}' read again for data connections", files_.certificate_file);
  std::lock_guard lock(mutex_);
  context_ = *std::move(fresh);
}

std::string TlsReloader::fingerprint() const {
  std::string text;
  for (const std::string* file :
       {&files_.certificate_file, &files_.key_file, &files_.client_ca_file}) {
    struct stat status{};
    if (file->empty() || ::stat(file->c_str(), &status) != 0) continue;
    for (const uint64_t number :
         {static_cast<uint64_t>(status.st_ino), static_cast<uint64_t>(status.st_size),
          static_cast<uint64_t>(status.st_mtim.tv_sec),
          static_cast<uint64_t>(status.st_mtim.tv_nsec)}) {
      text += std::to_string(number) + "/";
    }
  }
  return text;
}

}  // namespace pmshelf::app
