#include "convert.h"

namespace pmshelf::python {

void raise(const Error& error) {
  const py::module_ errors = py::module_::import("pmshelf.errors");
  const py::object exception = errors.attr("make")(static_cast<int>(error.code()), error.message());
  PyErr_SetObject(py::type::handle_of(exception).ptr(), exception.ptr());
  throw py::error_already_set();
}

BufferView::BufferView(const py::handle& object, bool writable) {
  const int flags = PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
  if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw py::error_already_set();
}

BufferView::~BufferView() { PyBuffer_Release(&view_); }

Attributes to_attributes(const py::dict& attributes) {
  Attributes result;
  for (const auto& [key, value] : attributes) {
    if (!py::isinstance<py::bytes>(value)) {
      throw py::type_error("attribute values are bytes");
    }
    result[py::cast<std::string>(key)] = py::cast<std::string>(value);
  }
  return result;
}

py::dict from_attributes(const Attributes& attributes) {
  py::dict result;
  for (const auto& [key, value] : attributes) result[py::str(key)] = py::bytes(value);
  return result;
}

py::dict from_space(const Space& space) {
  py::dict result;
  result["capacity_bytes"] = space.capacity_bytes;
  result["used_bytes"] = space.used_bytes;
  result["free_bytes"] = space.free_bytes;
  result["metadata_bytes"] = space.metadata_bytes;
  result["held_bytes"] = space.held_bytes;
  result["largest_free_bytes"] = space.largest_free_bytes;
  result["region_count"] = space.region_count;
  return result;
}

py::dict from_shelf_stat(const ShelfStat& stat) {
  py::dict result = from_space(stat.space);
  result["name"] = stat.name;
  result["pool"] = stat.pool;
  result["owner"] = stat.owner;
  py::dict access;
  for (const AccessEntry& entry : stat.access) {
    std::string rights;
    if (entry.rights & kRead) rights += 'r';
    if (entry.rights & kWrite) rights += 'w';
    if (entry.rights & kAdmin) rights += 'a';
    access[py::str(entry.principal)] = rights;
  }
  result["access"] = access;
  result["storage_class"] = storage_class_text(stat.storage_class);
  result["same_host"] = stat.same_host == SameHostPolicy::kDirect ? "direct"
                        : stat.same_host == SameHostPolicy::kCopy ? "copy"
                                                                  : "off";
  result["created_unix_ms"] = stat.created_unix_ms;
  result["read_only"] = stat.read_only;
  result["offline"] = stat.offline;
  result["trouble"] = stat.trouble;
  return result;
}

py::dict from_region_stat(const RegionStat& stat) {
  py::dict result;
  result["id"] = stat.id;
  PyObject* name = PyUnicode_DecodeUTF8(stat.name.data(), static_cast<Py_ssize_t>(stat.name.size()),
                                        "surrogateescape");
  if (name == nullptr) throw py::error_already_set();
  result["name"] = py::reinterpret_steal<py::str>(name);
  result["bytes"] = stat.bytes;
  result["footprint_bytes"] = stat.footprint_bytes;
  result["modified_unix_ms"] = stat.modified_unix_ms;
  result["attributes"] = from_attributes(stat.attributes);
  result["grants"] = stat.grants;
  result["locks"] = stat.locks;
  return result;
}

py::dict from_pool_stat(const PoolStat& stat) {
  py::dict result;
  result["name"] = stat.name;
  result["path"] = stat.path;
  result["kind"] = stat.kind;
  result["storage_class"] = storage_class_text(stat.storage_class);
  result["total_bytes"] = stat.total_bytes;
  result["available_bytes"] = stat.available_bytes;
  result["shelf_count"] = stat.shelf_count;
  result["trouble"] = stat.trouble;
  return result;
}

py::dict from_session_stat(const SessionStat& stat) {
  py::dict result;
  result["id"] = stat.id;
  result["principal"] = stat.principal;
  result["client_name"] = stat.client_name;
  result["peer"] = stat.peer;
  result["idle_ms"] = stat.idle_ms;
  result["age_ms"] = stat.age_ms;
  result["grants"] = stat.grants;
  result["locks"] = stat.locks;
  result["paths"] = stat.paths;
  return result;
}

py::dict from_status(const DaemonStatus& status) {
  py::dict result;
  result["version"] = status.version;
  result["principal"] = status.principal;
  result["boot_epoch"] = status.boot_epoch;
  result["uptime_ms"] = status.uptime_ms;
  result["sessions"] = status.sessions;
  result["grants"] = status.grants;
  result["shelves"] = status.shelves;
  result["recovery_us"] = status.recovery_us;
  result["draining"] = status.draining;
  result["administrator"] = status.administrator;
  result["counters"] = status.counters;
  return result;
}

SameHostPolicy to_same_host(const std::string& text) {
  if (text == "direct") return SameHostPolicy::kDirect;
  if (text == "copy") return SameHostPolicy::kCopy;
  if (text == "off") return SameHostPolicy::kOff;
  raise(Error(Code::kInvalidArgument,
              "same_host is '" + text + "'; it must be 'direct', 'copy' or 'off'"));
}

Path to_path(const std::string& text) {
  if (text == "auto") return Path::kAuto;
  if (text == "local") return Path::kLocal;
  if (text == "tcp") return Path::kTcp;
  if (text == "rdma") return Path::kRdma;
  raise(Error(Code::kInvalidArgument,
              "path is '" + text + "'; it must be 'auto', 'local', 'tcp' or 'rdma'"));
}

const char* storage_class_text(StorageClass storage_class) {
  switch (storage_class) {
    case StorageClass::kPersistent:
      return "persistent";
    case StorageClass::kFile:
      return "file";
    case StorageClass::kVolatile:
      return "volatile";
  }
  return "unknown";
}

std::vector<AccessEntry> to_access(const py::dict& access) {
  std::vector<AccessEntry> result;
  for (const auto& [principal, rights] : access) {
    AccessEntry entry{py::cast<std::string>(principal), 0};
    for (const char right : py::cast<std::string>(rights)) {
      if (right == 'r') {
        entry.rights |= kRead;
      } else if (right == 'w') {
        entry.rights |= kWrite;
      } else if (right == 'a') {
        entry.rights |= kAdmin;
      } else {
        raise(Error(Code::kInvalidArgument, "rights of '" + entry.principal +
                                                "' must be letters of 'rwa' (read, write, admin)"));
      }
    }
    result.push_back(std::move(entry));
  }
  return result;
}

}  // namespace pmshelf::python
