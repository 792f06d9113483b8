// Blocking sockets: the raw limit, and what Redis is spoken to with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/base/unique_fd.h"

namespace pmshelf::bench {

// Each ends the program with a message when the operating system says no.
UniqueFd connect_to(const std::string& host, uint16_t port);
UniqueFd listen_on_loopback(uint16_t* port);
UniqueFd accept_from(const UniqueFd& listener);
void send_all(const UniqueFd& socket, std::span<const std::byte> bytes);
void receive_all(const UniqueFd& socket, std::span<std::byte> bytes);

}  // namespace pmshelf::bench
