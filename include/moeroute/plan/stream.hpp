// Decides how rows are written past the caches: with streaming stores, where the compiler knows some and the
// result would not fit a cache anyway. Bits are the same; lines are not read before they are written.
#pragma once

#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// From this many bytes on. Below, the next reader wants them in the cache.
inline constexpr offset_t stream_from_bytes = offset_t{1} << 23;

#if defined(__SSE2__) && !defined(__CUDACC__) && (defined(__GNUC__) || defined(__clang__))
using stream_word [[gnu::vector_size(16)]] = long long;

inline void stream_copy(void const* from, void* to, offset_t bytes) {
  auto const* f = static_cast<unsigned char const*>(from);
  auto* t = static_cast<unsigned char*>(to);
  offset_t const misfit = static_cast<offset_t>(-reinterpret_cast<std::uintptr_t>(t) % 16);
  offset_t const head = misfit < bytes ? misfit : bytes;
  __builtin_memcpy(t, f, static_cast<std::size_t>(head));
  f += head, t += head, bytes -= head;
  for (; bytes >= 16; f += 16, t += 16, bytes -= 16) {
    stream_word word;
    __builtin_memcpy(&word, f, 16);
#if defined(__clang__)
    __builtin_nontemporal_store(word, reinterpret_cast<stream_word*>(t));
#else
    __builtin_ia32_movntdq(reinterpret_cast<stream_word*>(t), word);
#endif
  }
  __builtin_memcpy(t, f, static_cast<std::size_t>(bytes));
}
// Before anybody else may read what was streamed.
inline void stream_fence() { __builtin_ia32_sfence(); }
#else
MOEROUTE_HD inline void stream_copy(void const* from, void* to, offset_t bytes) {
  __builtin_memcpy(to, from, static_cast<std::size_t>(bytes));
}
MOEROUTE_HD inline void stream_fence() {}
#endif

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
