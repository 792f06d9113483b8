// remember TARGET TEXT: keeps TEXT on a shelf, durably, and says what was there before.
#include <pmshelf/client.h>

#include <iostream>
#include <span>
#include <string>
#include <vector>

namespace {

int fail(const pmshelf::Error& error) {
  std::cerr << "remember: " << error.to_string() << "\n";
  return 1;
}

pmshelf::Result<pmshelf::Shelf> open_or_create(const pmshelf::Client& client) {
  constexpr uint64_t kCapacityBytes = 16 << 20;
  auto shelf = client.open_shelf("memories");
  if (shelf.code() != pmshelf::Code::kNotFound) return shelf;
  return client.create_shelf("memories", kCapacityBytes);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: remember TARGET TEXT\n";
    return 2;
  }
  pmshelf::ConnectOptions options;
  options.target = argv[1];
  auto client = pmshelf::Client::connect(options);
  if (!client.ok()) return fail(client.error());
  auto shelf = open_or_create(*client);
  if (!shelf.ok()) return fail(shelf.error());

  auto before = shelf->get("text");
  if (before.ok()) {
    const auto* letters = reinterpret_cast<const char*>(before->data());
    std::cout << "before: " << std::string(letters, before->size()) << "\n";
  } else if (before.code() != pmshelf::Code::kNotFound) {
    return fail(before.error());
  }
  const std::string text = argv[2];
  auto stored = shelf->put("text", std::as_bytes(std::span(text)));
  if (!stored.ok()) return fail(stored.error());
  std::cout << "pmshelf " << pmshelf::version() << " remembers: " << text << "\n";
  return 0;
}
