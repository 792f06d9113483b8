// Conversions between libpmshelf's values and Python's, and errors into exceptions.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "pmshelf/client.h"

namespace pmshelf::python {

namespace py = pybind11;

// Raises the class that pmshelf.errors has for the code. Holds the GIL.
[[noreturn]] void raise(const Error& error);

// Runs `call` without the GIL; raises its error, or returns its value. `call` returns a Result
// and touches no Python object.
template <class F>
auto unlocked(F&& call) {
  auto result = [&] {
    py::gil_scoped_release release;
    return std::forward<F>(call)();
  }();
  if (!result.ok()) raise(result.error());
  if constexpr (!std::is_same_v<decltype(result), Status>) return *std::move(result);
}

// The bytes of any C-contiguous buffer; held (and so not resizable) while this lives.
class BufferView {
 public:
  BufferView(const py::handle& object, bool writable);
  BufferView(const BufferView&) = delete;
  BufferView& operator=(const BufferView&) = delete;
  ~BufferView();
  std::span<std::byte> bytes() const {
    return {static_cast<std::byte*>(view_.buf), static_cast<size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

Attributes to_attributes(const py::dict& attributes);  // str -> bytes
py::dict from_attributes(const Attributes& attributes);
py::dict from_space(const Space& space);
py::dict from_shelf_stat(const ShelfStat& stat);
py::dict from_region_stat(const RegionStat& stat);
py::dict from_pool_stat(const PoolStat& stat);
py::dict from_session_stat(const SessionStat& stat);
py::dict from_status(const DaemonStatus& status);

SameHostPolicy to_same_host(const std::string& text);  // "direct", "copy", "off"
Path to_path(const std::string& text);                 // "auto", "local", "tcp", "rdma"
const char* storage_class_text(StorageClass storage_class);
std::vector<AccessEntry> to_access(const py::dict& access);  // principal -> "r", "rw", "rwa"

}  // namespace pmshelf::python
