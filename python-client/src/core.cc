// pmshelf._core: libpmshelf for Python. Thin: no policy here, only conversion and the GIL.
#include <pybind11/chrono.h>

#include <memory>

#include "convert.h"
#include "pmshelf/client.h"
#include "pmshelf/image.h"

namespace pmshelf::python {
namespace {

using namespace pybind11::literals;

std::chrono::milliseconds to_ms(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

Client connect(const std::string& target, const std::string& token, const std::string& token_file,
               const std::string& ca_file, const std::string& cert_file,
               const std::string& key_file, const std::string& path, double timeout_s,
               double reconnect_timeout_s, const std::string& client_name,
               const std::string& daemon_path) {
  ConnectOptions options;
  options.target = target;
  options.token = token;
  options.token_file = token_file;
  options.ca_file = ca_file;
  options.cert_file = cert_file;
  options.key_file = key_file;
  options.path = to_path(path);
  options.call_timeout = to_ms(timeout_s);
  options.reconnect_timeout = to_ms(reconnect_timeout_s);
  options.client_name = client_name;
  options.daemon_path = daemon_path;
  return unlocked([&] { return Client::connect(options); });
}

// A region's memory as a Python buffer: same-host mapping.
class MappedBuffer {
 public:
  explicit MappedBuffer(Mapping mapping) : mapping_(std::move(mapping)) {}
  py::buffer_info buffer() const {
    return py::buffer_info(mapping_.data(), 1, py::format_descriptor<uint8_t>::format(), 1,
                           {static_cast<py::ssize_t>(mapping_.bytes())}, {1}, !mapping_.writable());
  }
  uint64_t bytes() const { return mapping_.bytes(); }
  void persist(uint64_t offset, uint64_t bytes) const {
    unlocked([&] { return mapping_.persist(offset, bytes); });
  }
  uintptr_t address() const { return reinterpret_cast<uintptr_t>(mapping_.data()); }

 private:
  Mapping mapping_;
};

// A region's memory as a Python buffer: local image of a remote region.
class ImageBuffer {
 public:
  explicit ImageBuffer(Image image) : image_(std::move(image)) {}
  py::buffer_info buffer() const {
    const bool read_only = (image_.region().rights() & kWrite) == 0;
    return py::buffer_info(image_.data(), 1, py::format_descriptor<uint8_t>::format(), 1,
                           {static_cast<py::ssize_t>(image_.bytes())}, {1}, read_only);
  }
  uint64_t bytes() const { return image_.bytes(); }
  uint64_t persist(uint64_t offset, uint64_t bytes) {
    return unlocked([&] { return image_.persist(offset, bytes); });
  }
  void refresh() {
    unlocked([&] { return image_.refresh(); });
  }
  uintptr_t address() const { return reinterpret_cast<uintptr_t>(image_.data()); }

 private:
  Image image_;
};

void bind_buffers(py::module_& module) {
  py::class_<MappedBuffer>(module, "MappedBuffer", py::buffer_protocol())
      .def_buffer([](const MappedBuffer& self) { return self.buffer(); })
      .def_property_readonly("nbytes", &MappedBuffer::bytes)
      .def_property_readonly("address", &MappedBuffer::address)
      .def("persist", &MappedBuffer::persist, "offset"_a, "nbytes"_a);
  py::class_<ImageBuffer>(module, "ImageBuffer", py::buffer_protocol())
      .def_buffer([](const ImageBuffer& self) { return self.buffer(); })
      .def_property_readonly("nbytes", &ImageBuffer::bytes)
      .def_property_readonly("address", &ImageBuffer::address)
      .def("persist", &ImageBuffer::persist, "offset"_a, "nbytes"_a)
      .def("refresh", &ImageBuffer::refresh);
}

void bind_region(py::module_& module) {
  py::class_<Lock>(module, "Lock").def("unlock", [](Lock& self) {
    unlocked([&] { return self.unlock(); });
  });
  py::class_<Region>(module, "Region")
      .def_property_readonly("name", &Region::name)
      .def_property_readonly("id", &Region::id)
      .def_property_readonly("nbytes", &Region::bytes)
      .def_property_readonly("rights", &Region::rights)
      .def_property_readonly("path", &Region::path)
      .def_property_readonly(
          "storage_class",
          [](const Region& self) { return storage_class_text(self.storage_class()); })
      .def(
          "read_into",
          [](const Region& self, uint64_t offset, const py::object& target) {
            const BufferView view(target, true);
            unlocked([&] { return self.read(offset, view.bytes()); });
          },
          "offset"_a, "target"_a)
      .def(
          "write",
          [](const Region& self, uint64_t offset, const py::object& source, bool durable) {
            const BufferView view(source, false);
            const auto durability = durable ? Durability::kDurable : Durability::kVisible;
            unlocked([&] { return self.write(offset, view.bytes(), durability); });
          },
          "offset"_a, "source"_a, "durable"_a = true)
      .def(
          "flush",
          [](const Region& self, uint64_t offset, uint64_t bytes) {
            unlocked([&] { return self.flush(offset, bytes); });
          },
          "offset"_a, "nbytes"_a)
      .def("map",
           [](const Region& self) {
             return std::make_unique<MappedBuffer>(unlocked([&] { return self.map(); }));
           })
      .def("image", [](const Region& self) {
        return std::make_unique<ImageBuffer>(unlocked([&] { return Image::open(self); }));
      });
}

py::tuple list_regions(const Shelf& self, const std::string& prefix, const std::string& match,
                       const std::string& after, uint32_t limit, bool with_attributes) {
  ListOptions options;
  options.prefix = prefix;
  options.match = match;
  options.after = after;
  options.limit = limit;
  options.with_attributes = with_attributes;
  const ListPage page = unlocked([&] { return self.list(options); });
  py::list regions;
  for (const RegionStat& stat : page.regions) regions.append(from_region_stat(stat));
  return py::make_tuple(regions, page.more);
}

std::vector<uint64_t> commit(const Shelf& self, const py::list& items) {
  std::vector<StagedItem> staged;
  for (const py::handle item : items) {
    const auto tuple = py::cast<py::tuple>(item);  // (region, name, attributes)
    staged.push_back(StagedItem{py::cast<Region>(tuple[0]), py::cast<std::string>(tuple[1]),
                                to_attributes(py::cast<py::dict>(tuple[2]))});
  }
  return unlocked([&] { return self.commit(staged); });
}

// Whole values, staging, commit.
void bind_values(py::class_<Shelf>& shelf) {
  shelf
      .def(
          "put",
          [](const Shelf& self, const std::string& name, const py::object& value,
             const py::dict& attributes, bool must_be_new) {
            const BufferView view(value, false);
            const Attributes converted = to_attributes(attributes);
            unlocked([&] { return self.put(name, view.bytes(), converted, must_be_new); });
          },
          "name"_a, "value"_a, "attributes"_a = py::dict(), "must_be_new"_a = false)
      .def(
          "get",
          [](const Shelf& self, const std::string& name) {
            Attributes attributes;
            const auto bytes = unlocked([&] { return self.get(name, &attributes); });
            return py::make_tuple(
                py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                from_attributes(attributes));
          },
          "name"_a)
      .def(
          "stage",
          [](const Shelf& self, uint64_t bytes, bool zero) {
            return unlocked([&] { return self.stage(bytes, zero); });
          },
          "nbytes"_a, "zero"_a = false)
      .def("commit", &commit, "items"_a);
}

// Changes of what regions are called and described by.
void bind_names(py::class_<Shelf>& shelf) {
  shelf
      .def(
          "rename_region",
          [](const Shelf& self, const std::string& name, const std::string& new_name,
             bool replace) {
            unlocked([&] { return self.rename_region(name, new_name, replace); });
          },
          "name"_a, "new_name"_a, "replace"_a = false)
      .def(
          "swap_regions",
          [](const Shelf& self, const std::string& a, const std::string& b) {
            unlocked([&] { return self.swap_regions(a, b); });
          },
          "a"_a, "b"_a)
      .def(
          "set_attributes",
          [](const Shelf& self, const std::string& name, const py::dict& attributes) {
            const Attributes converted = to_attributes(attributes);
            unlocked([&] { return self.set_attributes(name, converted); });
          },
          "name"_a, "attributes"_a);
}

void bind_shelf(py::module_& module) {
  py::class_<Shelf> shelf(module, "Shelf");
  shelf.def_property_readonly("name", &Shelf::name)
      .def("stat",
           [](const Shelf& self) { return from_shelf_stat(unlocked([&] { return self.stat(); })); })
      .def(
          "create_region",
          [](const Shelf& self, const std::string& name, uint64_t bytes,
             const py::dict& attributes) {
            const Attributes converted = to_attributes(attributes);
            return unlocked([&] { return self.create_region(name, bytes, converted); });
          },
          "name"_a, "nbytes"_a, "attributes"_a = py::dict())
      .def(
          "open_region",
          [](const Shelf& self, const std::string& name, uint32_t rights) {
            return unlocked([&] { return self.open_region(name, rights); });
          },
          "name"_a, "rights"_a = static_cast<uint32_t>(kRead) | kWrite)
      .def(
          "erase_region",
          [](const Shelf& self, const std::string& name) {
            unlocked([&] { return self.erase_region(name); });
          },
          "name"_a)
      .def("list", &list_regions, "prefix"_a = "", "match"_a = "", "after"_a = "", "limit"_a = 1000,
           "with_attributes"_a = false)
      .def(
          "stat_region",
          [](const Shelf& self, const std::string& name) {
            return from_region_stat(unlocked([&] { return self.stat_region(name); }));
          },
          "name"_a)
      .def(
          "lock",
          [](const Shelf& self, const std::string& name, bool exclusive, double wait_s) {
            return unlocked([&] { return self.lock(name, exclusive, to_ms(wait_s)); });
          },
          "name"_a, "exclusive"_a = true, "wait"_a = 0.0);
  bind_names(shelf);
  bind_values(shelf);
}

// What is told about the daemon.
void bind_status(py::class_<Client>& client) {
  client
      .def("list_pools",
           [](const Client& self) {
             py::list result;
             for (const PoolStat& stat : unlocked([&] { return self.list_pools(); })) {
               result.append(from_pool_stat(stat));
             }
             return result;
           })
      .def("list_sessions",
           [](const Client& self) {
             py::list result;
             for (const SessionStat& stat : unlocked([&] { return self.list_sessions(); })) {
               result.append(from_session_stat(stat));
             }
             return result;
           })
      .def("status",
           [](const Client& self) { return from_status(unlocked([&] { return self.status(); })); })
      .def("ping", [](const Client& self) {
        return std::chrono::duration<double>(unlocked([&] { return self.ping(); })).count();
      });
}

// Changes of shelves by their owners.
void bind_shelf_changes(py::class_<Client>& client) {
  client
      .def(
          "rename_shelf",
          [](const Client& self, const std::string& name, const std::string& new_name) {
            unlocked([&] { return self.rename_shelf(name, new_name); });
          },
          "name"_a, "new_name"_a)
      .def(
          "resize_shelf",
          [](const Client& self, const std::string& name, uint64_t bytes) {
            return from_shelf_stat(unlocked([&] { return self.resize_shelf(name, bytes); }));
          },
          "name"_a, "capacity_bytes"_a)
      .def(
          "set_access",
          [](const Client& self, const std::string& name, const py::dict& access,
             const std::string& owner) {
            const auto entries = to_access(access);
            return from_shelf_stat(unlocked([&] { return self.set_access(name, entries, owner); }));
          },
          "name"_a, "access"_a, "owner"_a = "");
}

void bind_client(py::module_& module) {
  py::class_<Client> client(module, "Client");
  client.def_property_readonly("path", &Client::path)
      .def(
          "open_shelf",
          [](const Client& self, const std::string& name) {
            return unlocked([&] { return self.open_shelf(name); });
          },
          "name"_a)
      .def(
          "create_shelf",
          [](const Client& self, const std::string& name, uint64_t bytes, const std::string& pool,
             const std::string& same_host, const py::dict& access) {
            ShelfOptions options{pool, to_same_host(same_host), to_access(access)};
            return unlocked([&] { return self.create_shelf(name, bytes, options); });
          },
          "name"_a, "capacity_bytes"_a, "pool"_a = "", "same_host"_a = "direct",
          "access"_a = py::dict())
      .def(
          "erase_shelf",
          [](const Client& self, const std::string& name, bool only_if_empty) {
            unlocked([&] { return self.erase_shelf(name, only_if_empty); });
          },
          "name"_a, "only_if_empty"_a = false)
      .def(
          "list_shelves",
          [](const Client& self, const std::string& match) {
            py::list result;
            for (const ShelfStat& stat : unlocked([&] { return self.list_shelves(match); })) {
              result.append(from_shelf_stat(stat));
            }
            return result;
          },
          "match"_a = "")
      .def("close", [](Client& self) {
        py::gil_scoped_release release;
        self.close();
      });
  bind_shelf_changes(client);
  bind_status(client);
}

}  // namespace
}  // namespace pmshelf::python

PYBIND11_MODULE(_core, module) {
  using namespace pmshelf::python;
  module.doc() = "libpmshelf for Python; use the package pmshelf instead.";
  module.attr("version") = std::string(pmshelf::version());
  module.attr("CODE_NAMES") = [] {
    py::list names;
    for (uint16_t code = 0; code <= pmshelf::kCodeMax; ++code) {
      names.append(std::string(pmshelf::code_name(static_cast<pmshelf::Code>(code))));
    }
    return py::tuple(names);
  }();
  bind_buffers(module);
  bind_region(module);
  bind_shelf(module);
  bind_client(module);
  module.def("connect", &connect, py::arg("target"), py::arg("token"), py::arg("token_file"),
             py::arg("ca_file"), py::arg("cert_file"), py::arg("key_file"), py::arg("path"),
             py::arg("timeout"), py::arg("reconnect_timeout"), py::arg("client_name"),
             py::arg("daemon_path"));
}
