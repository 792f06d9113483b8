// Runs a fuzz target over its stored corpus, without libFuzzer: every past crash stays a test.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argument_count, char** arguments) {
  if (argument_count != 2 || !std::filesystem::is_directory(arguments[1])) {
    std::cerr << "usage: " << arguments[0] << " CORPUS_DIRECTORY\n";
    return 2;
  }
  size_t file_count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(arguments[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    std::cout << entry.path().filename().string() << '\n' << std::flush;
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ++file_count;
  }
  std::cout << file_count << " inputs replayed\n";
  return file_count == 0 ? 1 : 0;  // an empty corpus tests nothing
}
