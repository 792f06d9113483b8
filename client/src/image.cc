#include "pmshelf/image.h"

#include <sys/mman.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

namespace pmshelf {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kBatchBytes = 4 << 20;  // sent in one write_ranges call at most
constexpr size_t kBatchRanges = 1024;      // wire limit of ranges in one frame
constexpr uint64_t kFetchBytes = 8 << 20;  // fetched at a time by refresh

// Anonymous zero pages; freed on destruction.
class Pages {
 public:
  static Result<Pages> allocate(uint64_t bytes) {
    Pages pages;
    if (bytes == 0) return pages;
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
      return Error(Code::kResourceExhausted,
                   "no memory for a local image of " + std::to_string(bytes) + " bytes");
    }
    pages.data_ = static_cast<std::byte*>(data);
    pages.bytes_ = bytes;
    return pages;
  }
  Pages() = default;
  Pages(Pages&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pages() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
  }
  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

bool same(const XXH128_hash_t& a, const XXH128_hash_t& b) {
  return a.low64 == b.low64 && a.high64 == b.high64;
}

}  // namespace

struct Image::Impl {
  explicit Impl(Region opened) : region(std::move(opened)) {}

  uint64_t page_count() const { return digests.size(); }
  uint64_t page_length(uint64_t page) const {
    return std::min(kPageBytes, pages.bytes() - page * kPageBytes);
  }
  XXH128_hash_t digest_of(const std::byte* bytes, uint64_t length) const {
    return XXH3_128bits(bytes, length);
  }
  bool changed(uint64_t page) const {
    return !same(digest_of(pages.data() + page * kPageBytes, page_length(page)), digests[page]);
  }

  Status fetch_all();
  Status refresh_chunk(uint64_t first_page, uint64_t end_page, std::vector<std::byte>& buffer);
  Result<uint64_t> send_batch(uint64_t& page, uint64_t end_page);

  Region region;
  std::mutex mutex;  // serialises fetching and sending
  Pages pages;
  std::vector<XXH128_hash_t> digests;  // of each page as it is, or was last, on the shelf
};

Status Image::Impl::fetch_all() {
  PMSHELF_TRY(region.read(0, {pages.data(), pages.bytes()}));
  for (uint64_t page = 0; page < page_count(); ++page) {
    digests[page] = digest_of(pages.data() + page * kPageBytes, page_length(page));
  }
  return {};
}

Status Image::Impl::refresh_chunk(uint64_t first_page, uint64_t end_page,
                                  std::vector<std::byte>& buffer) {
  const uint64_t begin = first_page * kPageBytes;
  const uint64_t end = std::min(end_page * kPageBytes, pages.bytes());
  buffer.resize(end - begin);
  PMSHELF_TRY(region.read(begin, buffer));
  for (uint64_t page = first_page; page < end_page; ++page) {
    const std::byte* fetched = buffer.data() + (page - first_page) * kPageBytes;
    const XXH128_hash_t digest = digest_of(fetched, page_length(page));
    // The shelf's state is the new base of comparison either way: a page changed here that now
    // equals the shelf is clean, one that differs will be sent.
    if (!same(digest, digests[page])) {
      if (!changed(page)) {
        std::memcpy(pages.data() + page * kPageBytes, fetched, page_length(page));
      }
      digests[page] = digest;
    }
  }
  return {};
}

// Sends changed pages of [page, end_page) until a batch is full; moves `page` past what was
// examined. Pages are copied first: what is sent is exactly what the stored digest describes.
Result<uint64_t> Image::Impl::send_batch(uint64_t& page, uint64_t end_page) {
  std::vector<std::byte> bytes;
  std::vector<Range> ranges;
  std::vector<std::pair<uint64_t, XXH128_hash_t>> sent;
  for (; page < end_page && bytes.size() < kBatchBytes; ++page) {
    if (!changed(page)) continue;
    const uint64_t offset = page * kPageBytes;
    const bool adjoins = !ranges.empty() && ranges.back().offset + ranges.back().length == offset;
    if (!adjoins && ranges.size() == kBatchRanges) break;
    const size_t at = bytes.size();
    bytes.insert(bytes.end(), pages.data() + offset, pages.data() + offset + page_length(page));
    sent.emplace_back(page, digest_of(bytes.data() + at, page_length(page)));
    if (adjoins) {
      ranges.back().length += page_length(page);
    } else {
      ranges.push_back(Range{offset, page_length(page)});
    }
  }
  if (ranges.empty()) return uint64_t{0};
  PMSHELF_TRY(region.write_ranges(ranges, bytes));
  for (const auto& [index, digest] : sent) digests[index] = digest;
  return static_cast<uint64_t>(bytes.size());
}

Result<Image> Image::open(Region region) {
  auto impl = std::make_unique<Impl>(std::move(region));
  PMSHELF_TRY_ASSIGN(impl->pages, Pages::allocate(impl->region.bytes()));
  impl->digests.resize((impl->region.bytes() + kPageBytes - 1) / kPageBytes);
  PMSHELF_TRY(impl->fetch_all());
  return Image(std::move(impl));
}

Image::Image(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Image::Image(Image&&) noexcept = default;
Image& Image::operator=(Image&&) noexcept = default;
Image::~Image() = default;

std::byte* Image::data() const { return impl_->pages.data(); }
uint64_t Image::bytes() const { return impl_->pages.bytes(); }
const Region& Image::region() const { return impl_->region; }

Status Image::refresh() {
  std::lock_guard lock(impl_->mutex);
  std::vector<std::byte> buffer;
  constexpr uint64_t kPagesAtATime = kFetchBytes / kPageBytes;
  for (uint64_t page = 0; page < impl_->page_count(); page += kPagesAtATime) {
    const uint64_t end_page = std::min(page + kPagesAtATime, impl_->page_count());
    PMSHELF_TRY(impl_->refresh_chunk(page, end_page, buffer));
  }
  return {};
}

Result<uint64_t> Image::persist(uint64_t offset, uint64_t bytes) {
  std::lock_guard lock(impl_->mutex);
  if (offset > impl_->pages.bytes() || bytes > impl_->pages.bytes() - offset) {
    return Error(Code::kOutOfRange, "range [" + std::to_string(offset) + ", +" +
                                        std::to_string(bytes) + ") is not inside the region of " +
                                        std::to_string(impl_->pages.bytes()) + " bytes");
  }
  if (bytes == 0) return uint64_t{0};
  uint64_t page = offset / kPageBytes;
  const uint64_t end_page = (offset + bytes + kPageBytes - 1) / kPageBytes;
  uint64_t total = 0;
  while (page < end_page) {
    PMSHELF_TRY_ASSIGN(const uint64_t sent, impl_->send_batch(page, end_page));
    total += sent;
  }
  return total;
}

}  // namespace pmshelf
