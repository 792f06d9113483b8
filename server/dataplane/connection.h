// One data connection: handshake, then one operation per frame.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "server/dataplane/connection_link.h"
#include "server/dataplane/request.h"
#include "server/dataplane/shelf_cache.h"

namespace pmshelf::dataplane {

// Owner: the transport's connection; its thread only. The parts and the table outlive it.
class Connection final : public transport::ConnectionHandler {
 public:
  Connection(const DataPlaneParts& parts, ConnectionTable& table, transport::PeerInfo peer,
             std::shared_ptr<transport::ConnectionControl> control);
  ~Connection() override;

  wire::Challenge challenge() override { return challenge_; }
  Result<wire::HelloReply> hello(const wire::Hello& hello) override;
  Result<std::string> peer_token() override;
  Result<OperationPtr> begin(const wire::FrameHeader& header,
                             std::span<const std::byte> meta) override;
  void disconnected() override;

 private:
  Result<OperationPtr> dispatch(const Request& request);
  Result<OperationPtr> begin_map(const Request& request);
  Result<OperationPtr> begin_unmap(const Request& request);
  Result<OperationPtr> begin_ring(const Request& request);
  std::string_view path_name() const { return peer_.local ? "local" : "tcp"; }

  const DataPlaneParts& parts_;
  ConnectionTable& table_;
  const transport::PeerInfo peer_;
  const std::shared_ptr<ConnectionLink> link_;
  wire::Challenge challenge_;
  wire::SessionId session_{};
  bool bound_ = false;
  ShelfCache shelves_;
  MemoryBudget::Share ring_;
  std::chrono::steady_clock::time_point touched_{};
};

}  // namespace pmshelf::dataplane
