// Decides how rows are written past the caches: with streaming stores, where the compiler knows some and the
// result would not fit a cache anyway. Bits are the same; lines are not read before they are written.
#pragma once

#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// From this many bytes on. Below, the next reader wants them in the cache.
inline constexpr offset_t stream_from_bytes = offset_t{1} << 23;

#if defined(__SSE2__) && !defined(__CUDACC__) && (defined(__GNUC__) || defined(__clang__))
#if defined(__AVX512F__)
inline constexpr int stream_bytes = 64;  // of one store: a whole line where the machine has it
#elif defined(__AVX__)
inline constexpr int stream_bytes = 32;
#else
inline constexpr int stream_bytes = 16;
#endif
using stream_word [[gnu::vector_size(stream_bytes)]] = long long;

inline void stream_store(stream_word* to, stream_word word) {
#if defined(__clang__)
  __builtin_nontemporal_store(word, to);
#elif defined(__AVX512F__)
  __builtin_ia32_movntdq512(to, word);
#elif defined(__AVX__)
  __builtin_ia32_movntdq256(to, word);
#else
  __builtin_ia32_movntdq(to, word);
#endif
}
inline void stream_copy(void const* from, void* to, offset_t bytes) {
  auto const* f = static_cast<unsigned char const*>(from);
  auto* t = static_cast<unsigned char*>(to);
  offset_t const misfit = static_cast<offset_t>(-reinterpret_cast<std::uintptr_t>(t) % stream_bytes);
  offset_t const head = misfit < bytes ? misfit : bytes;
  __builtin_memcpy(t, f, static_cast<std::size_t>(head));
  f += head, t += head, bytes -= head;
  for (; bytes >= stream_bytes; f += stream_bytes, t += stream_bytes, bytes -= stream_bytes) {
    stream_word word;
    __builtin_memcpy(&word, f, stream_bytes);
    stream_store(reinterpret_cast<stream_word*>(t), word);
  }
  __builtin_memcpy(t, f, static_cast<std::size_t>(bytes));
}
// Asks for lines that will be read soon, into the second cache.
inline void fetch_ahead(void const* from, offset_t bytes) {
  for (offset_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<unsigned char const*>(from) + i, 0, 2);
}
// Before anybody else may read what was streamed.
inline void stream_fence() { __builtin_ia32_sfence(); }
#else
MOEROUTE_HD inline void stream_copy(void const* from, void* to, offset_t bytes) {
  __builtin_memcpy(to, from, static_cast<std::size_t>(bytes));
}
MOEROUTE_HD inline void fetch_ahead(void const*, offset_t) {}
MOEROUTE_HD inline void stream_fence() {}
#endif

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
