// Decides how memory that will be read soon is asked for.
#pragma once

#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// Asks for the lines of `bytes` bytes, to be read or to be written; there may be nothing there.
// In assembly: g++ takes a function that only calls __builtin_prefetch for one without effect and drops the call.
#if defined(__SSE2__) && !defined(__CUDACC__) && (defined(__GNUC__) || defined(__clang__))
template <bool ToWrite = false>
inline void fetch_ahead(void const* from, offset_t bytes) {
  for (offset_t i = 0; i < bytes; i += 64) {
    char const& line = static_cast<char const*>(from)[i];
#if defined(__PRFCHW__)
    if constexpr (ToWrite) asm volatile("prefetchw %0" : : "m"(line));
    else asm volatile("prefetcht0 %0" : : "m"(line));
#else
    asm volatile("prefetcht0 %0" : : "m"(line));
#endif
  }
}
#else
template <bool ToWrite = false>
MOEROUTE_HD inline void fetch_ahead(void const*, offset_t) {}
#endif

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
