// Damage that no crash makes: bytes on media that are whole by their CRC and wrong all the same.
#pragma once

#include <optional>
#include <string>

namespace pmshelf::crash {

// The promise: damaged metadata is refused or read-only, never served. Makes each kind of damage
// on a small store and opens it; returns the first that was served, or nothing.
std::optional<std::string> find_served_damage();

}  // namespace pmshelf::crash
