// Decides how a refusal of the CUDA runtime is told: as a status of code errc::device from the verbs,
// as a cuda_error with call, file and line from `check`.
#pragma once

#include <cuda_runtime_api.h>

#include <moeroute/core/status.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// The status of a runtime call. A refusal is taken off the runtime's own record, so that it is told once.
inline status device_status(cudaError_t e, char const* call) {
  if (e == cudaSuccess) return {};
  static_cast<void>(cudaGetLastError());
  return {errc::device, call, cudaGetErrorString(e), static_cast<std::int64_t>(e), 0};
}

class cuda_error : public error {
 public:
  cuda_error(cudaError_t e, char const* call, char const* file, int line)
      : error(device_status(e, call)), code_(e), file_(file), line_(line) {
    words_.add(error::what()).add(" at ").add(file).add(":").add(line);
  }
  char const* what() const noexcept override { return words_.c_str(); }
  cudaError_t code() const { return code_; }
  char const* file() const { return file_; }
  int line() const { return line_; }

 private:
  cudaError_t code_;
  char const* file_;
  int line_;
  text words_;
};

// For the caller's own calls: check(cudaStreamSynchronize(s), "cudaStreamSynchronize").
inline void check(cudaError_t e, char const* call, char const* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (e == cudaSuccess) return;
#if defined(__cpp_exceptions)
  throw cuda_error(e, call, file, line);
#else
  std::fprintf(stderr, "%s\n", cuda_error(e, call, file, line).what());
  std::abort();
#endif
}

}  // namespace moeroute::inline MOEROUTE_ABI
