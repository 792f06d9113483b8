// What both ends need of OpenSSL's error handling. Private to the stream transports.
#pragma once

#include <string>

namespace pmshelf::transport {

// Takes this thread's OpenSSL errors: the reason of the last one, in words.
std::string tls_error_text();

}  // namespace pmshelf::transport
