// A bound on calls that wait for other clients.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "pmshelf/result.h"

namespace pmshelf::control {

inline constexpr uint32_t kWaitPlacesPerPrincipal = 4;

// Calls that hold a gRPC thread until somebody else lets go (erase of a region that is in use,
// drain, check) take a place, so that such calls never use up all threads and one principal never
// all places. Any thread.
class WaitPlaces {
 public:
  explicit WaitPlaces(uint32_t places_max) : places_max_(places_max) {}

  class Place {
   public:
    Place(Place&& other) noexcept
        : places_(std::exchange(other.places_, nullptr)), principal_(std::move(other.principal_)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (places_ != nullptr) places_->leave(principal_);
    }

   private:
    friend class WaitPlaces;
    Place(WaitPlaces* places, std::string principal)
        : places_(places), principal_(std::move(principal)) {}
    WaitPlaces* places_;
    std::string principal_;
  };

  // kResourceExhausted when there is no place left, for all or for this principal.
  Result<Place> take(const std::string& principal) {
    std::lock_guard lock(mutex_);
    uint32_t& mine = taken_[principal];
    if (mine < kWaitPlacesPerPrincipal && taken_count_ < places_max_) {
      ++mine;
      ++taken_count_;
      return Place(this, principal);
    }
    if (mine == 0) taken_.erase(principal);
    return Error(Code::kResourceExhausted,
                 "too many calls wait for other clients to let go: try later");
  }

 private:
  void leave(const std::string& principal) {
    std::lock_guard lock(mutex_);
    --taken_count_;
    if (const auto at = taken_.find(principal); --at->second == 0) taken_.erase(at);
  }

  const uint32_t places_max_;
  std::mutex mutex_;
  std::map<std::string, uint32_t> taken_;  // by principal
  uint32_t taken_count_ = 0;
};

}  // namespace pmshelf::control
