// Decides what memory costs at best: arrays on large pages, and bodies that read, write and copy them in parts, each line
// once, for any executor.
#pragma once

#include <benchmark/benchmark.h>

#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <moeroute/core/executor.hpp>
#include <moeroute/plan/stream.hpp>

// Arrays on large pages where the system gives them, for the limits and for us alike.
template <class T>
struct on_pages {
  using value_type = T;
  static constexpr std::size_t page = std::size_t{1} << 21;
  on_pages() = default;
  template <class U>
  on_pages(on_pages<U> const&) {}
  T* allocate(std::size_t n) {
    std::size_t const bytes = (n * sizeof(T) + page - 1) / page * page;
    void* const p = ::operator new(bytes, std::align_val_t{page});
#if defined(__linux__)
    madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t{page}); }
  friend bool operator==(on_pages, on_pages) { return true; }
};

using line [[gnu::vector_size(64)]] = std::uint64_t;
inline void put(line* to, line x) {
#if defined(__clang__)
  __builtin_nontemporal_store(x, to);
#else
  moeroute::detail::stream_copy(&x, to, 64);
#endif
}
// A part of the same bytes streamed from registers; `read`: and an eighth as many read, in order.
struct write_bytes {
  line const* from;
  line* to;
  bool read;
  static constexpr moeroute::offset_t lines = 1 << 13;  // of a part
  moeroute::offset_t scratch_bytes() const { return 0; }
  void operator()(moeroute::lane_group auto const&, moeroute::offset_t part, moeroute::scratch) const {
    line x = line{} + 0x3f803f803f803f80u;  // ones, whatever reads them: subnormal numbers would slow it down
    for (moeroute::offset_t i = part * lines; i < (part + 1) * lines; i += 8) {
      if (read) x = from[i / 8];
      for (int j = 0; j < 8; ++j) put(to + i + j, x);
    }
    moeroute::detail::stream_fence();
  }
};
// A part of the same bytes read in order, asked for 4 KiB ahead (a fifth faster here); `write`: and an eighth as many
// streamed.
struct read_bytes {
  line const* from;
  line* to;
  bool write;
  static constexpr moeroute::offset_t lines = 1 << 13;
  moeroute::offset_t scratch_bytes() const { return 0; }
  void operator()(moeroute::lane_group auto const&, moeroute::offset_t part, moeroute::scratch) const {
    line sum[4] = {};
    for (moeroute::offset_t i = part * lines; i < (part + 1) * lines; i += 8) {
      moeroute::detail::fetch_ahead(from + i + 64, 512);
      for (int j = 0; j < 8; ++j) sum[j % 4] ^= from[i + j];
      if (write) put(to + i / 8, sum[0]);
    }
    moeroute::detail::stream_fence();
    sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
    benchmark::DoNotOptimize(sum[0][0] ^ sum[0][3]);
  }
};
// A part of an array copied past the caches.
struct copy_bytes {
  line const* from;
  line* to;
  static constexpr moeroute::offset_t lines = 1 << 13;
  moeroute::offset_t scratch_bytes() const { return 0; }
  void operator()(moeroute::lane_group auto const&, moeroute::offset_t part, moeroute::scratch) const {
    for (moeroute::offset_t i = part * lines; i < (part + 1) * lines; i += 8) {
      moeroute::detail::fetch_ahead(from + i + 64, 512);
      for (int j = 0; j < 8; ++j) put(to + i + j, from[i + j]);
    }
    moeroute::detail::stream_fence();
  }
};
