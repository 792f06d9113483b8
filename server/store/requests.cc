#include "server/store/requests.h"

namespace pmshelf::store {

const RememberedRequest* Requests::find(const RequestId& id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &it->second;
}

void Requests::remember(const Request& request, uint64_t result, uint64_t unix_ms) {
  const auto [it, is_new] = by_id_.try_emplace(request.id);
  it->second = {{request.digest, result}, unix_ms};
  if (!is_new) return;
  order_.push_back(request.id);
  forget_down_to(limit_);
}

void Requests::forget_down_to(size_t count_max) {
  while (order_.size() > count_max) {
    by_id_.erase(order_.front());
    order_.pop_front();
  }
}

void Requests::forget_old(uint64_t now_unix_ms) {
  while (order_.size() > kRequestsKeptMin) {
    const uint64_t then = by_id_.find(order_.front())->second.unix_ms;
    if (now_unix_ms <= then || now_unix_ms - then <= kRequestKeepMs) return;
    forget_down_to(order_.size() - 1);
  }
}

}  // namespace pmshelf::store
