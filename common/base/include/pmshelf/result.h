// Result<T>: a value or an Error. std types only; part of the public headers.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "pmshelf/error.h"

#pragma GCC visibility push(default)  // offered by libpmshelf.so
namespace pmshelf {

// Either a T or an Error; reading the wrong side is undefined (debug: std::variant throws).
// Move-friendly value type; thread-compatible.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}   // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit
  Result(Code code, std::string message)
      : state_(std::in_place_index<1>, Error(code, std::move(message))) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }
  Code code() const { return ok() ? Code::kOk : error().code(); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit
  Result(Code code, std::string message) : error_(Error(code, std::move(message))) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }
  Code code() const { return ok() ? Code::kOk : error_->code(); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

// `PMSHELF_TRY(expr);` returns the error of a Result from a function that returns some Result.
// Not for coroutines. `PMSHELF_TRY_ASSIGN(auto x, expr);` also binds the value.
#define PMSHELF_TRY(expr)                                                  \
  do {                                                                     \
    if (auto pmshelf_try_ = (expr); !pmshelf_try_.ok()) {                  \
      return std::move(pmshelf_try_).error();                              \
    }                                                                      \
  } while (false)

#define PMSHELF_CONCAT_INNER_(a, b) a##b
#define PMSHELF_CONCAT_(a, b) PMSHELF_CONCAT_INNER_(a, b)
#define PMSHELF_TRY_ASSIGN(declaration, expr) \
  PMSHELF_TRY_ASSIGN_INNER_(PMSHELF_CONCAT_(pmshelf_try_, __LINE__), declaration, expr)
#define PMSHELF_TRY_ASSIGN_INNER_(temporary, declaration, expr) \
  auto temporary = (expr);                                      \
  if (!temporary.ok()) return std::move(temporary).error();     \
  declaration = *std::move(temporary)

}  // namespace pmshelf
#pragma GCC visibility pop
