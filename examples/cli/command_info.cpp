// Decides what `moeroute info` says of this build and this machine.
#include <cstdio>
#include <filesystem>
#include <thread>

#include <moeroute/core/config.hpp>

#include "cli/commands.hpp"

#if __has_include(<cuda/std/version>)
#include <cuda/std/version>
#endif

namespace moeroute_examples {
namespace {

char const* compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "g++ " __VERSION__;
#else
  return "unknown";
#endif
}
char const* vector_level() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__AVX__)
  return "AVX";
#elif defined(__SSE2__)
  return "SSE2";
#elif defined(__ARM_NEON)
  return "NEON";
#else
  return "none";
#endif
}

}  // namespace

int command_info() {
  std::printf("moeroute      %d.%d.%d\n", MOEROUTE_VERSION_MAJOR, MOEROUTE_VERSION_MINOR, MOEROUTE_VERSION_PATCH);
  std::printf("compiler      %s, C++ %ld\n", compiler(), static_cast<long>(__cplusplus));
  std::printf("vector level  %s\n", vector_level());
  std::printf("threads       %u\n", std::thread::hardware_concurrency());
  std::error_code failed;
  bool const gpu = std::filesystem::exists("/dev/nvidia0", failed) || std::filesystem::exists("/dev/dxg", failed);
  std::printf("GPU           %s\n", gpu ? "found" : "none found");
#if defined(CCCL_MAJOR_VERSION)
  std::printf("CCCL          %d.%d.%d\n", CCCL_MAJOR_VERSION, CCCL_MINOR_VERSION, CCCL_PATCH_VERSION);
#else
  std::printf("CCCL          not part of this build\n");
#endif
  return 0;
}

}  // namespace moeroute_examples
