// Decides how memory that will be read soon is asked for.
#pragma once

#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// In assembly: g++ takes a function that only calls __builtin_prefetch for one without effect and drops the call.
#if defined(__SSE2__) && !defined(__CUDACC__) && (defined(__GNUC__) || defined(__clang__))
inline void fetch_ahead(void const* from, offset_t bytes) {
  for (offset_t i = 0; i < bytes; i += 64) asm volatile("prefetcht0 %0" : : "m"(static_cast<char const*>(from)[i]));
}
#else
MOEROUTE_HD inline void fetch_ahead(void const*, offset_t) {}
#endif

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
