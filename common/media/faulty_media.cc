#include "common/media/faulty_media.h"

#include "common/media/forwarding_media.h"

namespace pmshelf::media {
namespace {

class FaultyMedia final : public ForwardingMedia {
 public:
  FaultyMedia(std::unique_ptr<Media> inner, FaultPlan& plan)
      : ForwardingMedia(std::move(inner)), plan_(plan) {}

  Status store(uint64_t offset, std::span<const std::byte> source) override {
    PMSHELF_TRY(count("store"));
    return inner_->store(offset, source);
  }
  Status store8(uint64_t offset, uint64_t value) override {
    PMSHELF_TRY(count("store8"));
    return inner_->store8(offset, value);
  }
  Status zero(uint64_t offset, uint64_t length) override {
    PMSHELF_TRY(count("zero"));
    return inner_->zero(offset, length);
  }
  Status read(uint64_t offset, std::span<std::byte> target) const override {
    PMSHELF_TRY(count("read"));
    return inner_->read(offset, target);
  }
  Status flush(uint64_t offset, uint64_t length) override {
    PMSHELF_TRY(count("flush"));
    return inner_->flush(offset, length);
  }
  Status drain() override {
    PMSHELF_TRY(count("drain"));
    return inner_->drain();
  }
  Status discard(uint64_t offset, uint64_t length) override {
    PMSHELF_TRY(count("discard"));
    return inner_->discard(offset, length);
  }
  Status resize(uint64_t new_bytes) override {
    PMSHELF_TRY(count("resize"));
    return inner_->resize(new_bytes);
  }

 private:
  Status count(const char* what) const {
    const int64_t call = plan_.calls++;
    const int64_t first = plan_.fail_at_call;
    const bool fails = first >= 0 && (plan_.sticky ? call >= first : call == first);
    if (!fails) return {};
    return Error(plan_.code,
                 name() + ": injected fault in call " + std::to_string(call) + ", " + what);
  }

  FaultPlan& plan_;
};

}  // namespace

std::unique_ptr<Media> make_faulty_media(std::unique_ptr<Media> inner, FaultPlan& plan) {
  return std::make_unique<FaultyMedia>(std::move(inner), plan);
}

}  // namespace pmshelf::media
