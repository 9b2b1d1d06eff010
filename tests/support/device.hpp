// Decides what a test of the CUDA side does on a machine without a device: it is compiled, it says so, and
// the whole program exits with 77, which CTest counts as skipped, never as passed.
//
//   TEST_CASE("...") { if (no_device()) return; ... }
#pragma once

#include <cuda_runtime.h>

#include <cstdio>

namespace moeroute_test {

inline bool& device_was_missed() {
  static bool missed = false;
  return missed;
}

inline bool no_device() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return false;
  if (!device_was_missed()) std::printf("SKIPPED: no CUDA device, compiled but not run\n");
  device_was_missed() = true;
  return true;
}

}  // namespace moeroute_test
