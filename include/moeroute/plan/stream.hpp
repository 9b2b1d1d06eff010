// Decides how rows are written past the caches: with streaming stores, where the compiler knows some and the
// result would not fit a cache anyway. Bits are the same; lines are not read before they are written.
#pragma once

#include <moeroute/core/prefetch.hpp>
#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// From this many bytes on. Below, the next reader wants them in the cache.
inline constexpr offset_t stream_from_bytes = offset_t{1} << 23;
inline constexpr index_t streams_at_once = 8;  // a core has some ten buffers for lines on their way

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
  if (head != 0) __builtin_memcpy(t, f, static_cast<std::size_t>(head));
  f += head, t += head, bytes -= head;
  for (; bytes >= stream_bytes; f += stream_bytes, t += stream_bytes, bytes -= stream_bytes) {
    stream_word word;
    __builtin_memcpy(&word, f, stream_bytes);
    stream_store(reinterpret_cast<stream_word*>(t), word);
  }
  if (bytes != 0) __builtin_memcpy(t, f, static_cast<std::size_t>(bytes));
}
// The same bytes to n places side by side. Where all begin on a line, a block is read once and written to every place
// while it is near; with each write a part of what is read 1024 bytes later (`next`: after the last) is asked for, so
// that reads go between the writes.
template <class T>
void stream_copies(T const* from, T* const* to, index_t n, offset_t bytes, T const* next) {
  constexpr offset_t block = 512, line = 64;
  auto const* const f = reinterpret_cast<unsigned char const*>(from);
  auto const* const after = reinterpret_cast<unsigned char const*>(next);
  auto const place = [&](index_t j) { return reinterpret_cast<unsigned char*>(to[j]); };
  bool on_lines = true;
  for (index_t j = 0; j < n; ++j) on_lines = on_lines && reinterpret_cast<std::uintptr_t>(to[j]) % line == 0;
  offset_t const lead = bytes < 1024 ? bytes : 1024, part = (block / line + n - 1) / n * line;
  offset_t d = 0;
  for (; on_lines && d + block <= bytes; d += block) {
    auto const* soon = d + lead < bytes ? f + d + lead : after + (d + lead - bytes);
    for (index_t j = 0; j < n; ++j, soon += part) {
      fetch_ahead(soon, part);
      auto* const t = reinterpret_cast<stream_word*>(place(j) + d);
#pragma GCC unroll 8
      for (offset_t i = 0; i < block / stream_bytes; ++i) {
        stream_word word;
        __builtin_memcpy(&word, f + d + i * stream_bytes, stream_bytes);
        stream_store(t + i, word);
      }
    }
  }
  for (; d < bytes; d += 4096)
    for (index_t j = 0; j < n; ++j) stream_copy(f + d, place(j) + d, bytes - d < 4096 ? bytes - d : 4096);
}
// Before anybody else may read what was streamed.
inline void stream_fence() { __builtin_ia32_sfence(); }
#else
MOEROUTE_HD inline void stream_copy(void const* from, void* to, offset_t bytes) {
  __builtin_memcpy(to, from, static_cast<std::size_t>(bytes));
}
template <class T>
MOEROUTE_HD void stream_copies(T const* from, T* const* to, index_t n, offset_t bytes, T const*) {
  for (index_t j = 0; j < n; ++j) stream_copy(from, to[j], bytes);
}
MOEROUTE_HD inline void stream_fence() {}
#endif

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
