#include "pmshelf/error.h"

#include <array>

namespace pmshelf {

std::string_view code_name(Code code) {
  static constexpr std::array<std::string_view, kCodeMax + 1> kNames = {"ok",
                                                                        "invalid_argument",
                                                                        "not_found",
                                                                        "already_exists",
                                                                        "permission_denied",
                                                                        "unauthenticated",
                                                                        "session_expired",
                                                                        "stale_grant",
                                                                        "locked",
                                                                        "busy",
                                                                        "no_space",
                                                                        "resource_exhausted",
                                                                        "out_of_range",
                                                                        "corrupt",
                                                                        "io",
                                                                        "read_only",
                                                                        "unavailable",
                                                                        "unknown_outcome",
                                                                        "deadline_exceeded",
                                                                        "unsupported",
                                                                        "conflict",
                                                                        "internal"};
  const auto index = static_cast<uint16_t>(code);
  return index <= kCodeMax ? kNames[index] : std::string_view("unknown_code");
}

std::string Error::to_string() const {
  std::string text(code_name(code_));
  text += ": ";
  text += message_;
  return text;
}

Error Error::with_context(std::string_view prefix) const {
  std::string text(prefix);
  text += ": ";
  text += message_;
  return Error(code_, std::move(text));
}

}  // namespace pmshelf
