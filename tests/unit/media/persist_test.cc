#include "common/media/persist.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "common/base/unique_fd.h"
#include "common/media/guard.h"

namespace pmshelf::media {
namespace {

constexpr size_t kBytes = 3 * 4096;

// A file of the build tree's file system, mapped shared.
class PersistTest : public testing::TestWithParam<StorageClass> {
 protected:
  PersistTest() {
    install_sigbus_guard();
    path_ = std::string(PMSHELF_TEST_SCRATCH) + "/persist-XXXXXX";
    fd_ = UniqueFd(::mkstemp(path_.data()));
    EXPECT_EQ(::ftruncate(fd_.get(), kBytes), 0);
    void* const data = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    EXPECT_NE(data, MAP_FAILED);
    data_ = static_cast<std::byte*>(data);
  }
  ~PersistTest() override {
    ::munmap(data_, kBytes);
    ::unlink(path_.c_str());
  }

  std::string path_;
  UniqueFd fd_;
  std::byte* data_ = nullptr;
};

TEST_P(PersistTest, AnyRangeOfAMappingIsAccepted) {
  std::memset(data_, 7, kBytes);
  EXPECT_TRUE(persist(GetParam(), data_, kBytes).ok());
  EXPECT_TRUE(persist(GetParam(), data_ + 4095, 2).ok());
  EXPECT_TRUE(persist(GetParam(), data_ + kBytes - 1, 1).ok());
  EXPECT_TRUE(persist(GetParam(), data_ + kBytes, 0).ok());
}

TEST_P(PersistTest, ReadOnlyMappingIsAccepted) {
  ASSERT_EQ(::mprotect(data_, kBytes, PROT_READ), 0);
  EXPECT_TRUE(persist(GetParam(), data_ + 1, kBytes - 1).ok());
}

INSTANTIATE_TEST_SUITE_P(Classes, PersistTest,
                         testing::Values(StorageClass::kPersistent, StorageClass::kFile,
                                         StorageClass::kVolatile),
                         [](const auto& info) {
                           return std::string(storage_class_name(info.param));
                         });

class PersistCpuTest : public PersistTest {};

TEST_P(PersistCpuTest, MemoryThatIsGoneIsAnErrorAndNoDeath) {
  std::memset(data_, 7, kBytes);
  ASSERT_EQ(::ftruncate(fd_.get(), 4096), 0);
  EXPECT_EQ(persist(GetParam(), data_, kBytes).code(), Code::kIo);
}

INSTANTIATE_TEST_SUITE_P(Classes, PersistCpuTest, testing::Values(StorageClass::kPersistent),
                         [](const auto&) { return std::string("persistent"); });

}  // namespace
}  // namespace pmshelf::media
