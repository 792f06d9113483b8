#include "server/dataplane/data_plane.h"

#include <utility>

#include "server/dataplane/connection.h"

namespace pmshelf::dataplane {

DataPlane::DataPlane(DataPlaneParts parts)
    : parts_(std::move(parts)), connections_(parts_.registry) {}

DataPlane::~DataPlane() = default;

transport::HandlerFactory DataPlane::factory() {
  return
      [this](const transport::PeerInfo& peer, std::shared_ptr<transport::ConnectionControl> control)
          -> std::unique_ptr<transport::ConnectionHandler> {
        return std::make_unique<Connection>(parts_, connections_, peer, std::move(control));
      };
}

void DataPlane::notify_drain() { connections_.notify_all(wire::NoticeKind::kDraining); }

}  // namespace pmshelf::dataplane
