# Compiler settings for every target. No option here changes bytes on media or on the wire.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

option(PMSHELF_TESTS "Build the tests" ON)
option(PMSHELF_PYTHON "Build the Python extension" ON)
option(PMSHELF_BENCH "Build the benchmarks" OFF)
option(PMSHELF_FUZZ "Build libFuzzer targets (clang only)" OFF)
# Test builds of the daemon can keep pools on mirror media and carry seeded bugs (tests/crash).
option(PMSHELF_TEST_HOOKS "Compile mirror media and mutants into the daemon" OFF)
set(PMSHELF_SANITIZE "" CACHE STRING "Value for -fsanitize=, e.g. address,undefined")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1 -D_GLIBCXX_ASSERTIONS")

find_program(PMSHELF_CCACHE ccache)
if(PMSHELF_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${PMSHELF_CCACHE})
endif()
find_program(PMSHELF_MOLD mold)
if(PMSHELF_MOLD AND NOT PMSHELF_SANITIZE)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough -Werror)
# Asio 1.22 knows C++20 coroutines on GCC only; clang with libstdc++ has them as well.
add_compile_definitions(ASIO_HAS_CO_AWAIT=1 ASIO_HAS_STD_COROUTINE=1 ASIO_NO_DEPRECATED)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Option structs are made with some of their fields named; the others have defaults.
  add_compile_options(-Wno-missing-designated-field-initializers)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False positives of GCC 12 in libstdc++ and coroutine frames.
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow
                      -Wno-array-bounds -Wno-mismatched-new-delete)
endif()
if(PMSHELF_SANITIZE)
  add_compile_options(-fsanitize=${PMSHELF_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PMSHELF_SANITIZE})
endif()
if(PMSHELF_TEST_HOOKS)
  add_compile_definitions(PMSHELF_TEST_HOOKS=1)
endif()
