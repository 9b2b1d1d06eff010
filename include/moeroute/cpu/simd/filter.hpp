// Decides the k best of a row of keys without looking at most of them twice: the k-th best of the lane maxima
// is a lower bound of the k-th best key; the few keys that reach it are compressed and sorted by a network.
#pragma once

#include <moeroute/core/best.hpp>
#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr int most_chosen = 64;  // k of the filter; up to 16 the network sorts

// The keys that reach the bound, in id order; `count` beyond 16 means the row has too many.
struct survivors {
  floats key;
  ints id;
  int count;
};

namespace detail {

MOEROUTE_SIMD_INLINE std::uint64_t reaching(float const* key, floats bound) {
  std::uint64_t word = 0;
  for (int i = 0; i < 4; ++i) {
    floats const x = load<floats>(key + 16 * i);
#if defined(__AVX512DQ__)
    unsigned const bits = static_cast<unsigned short>(__builtin_ia32_cmpps512_mask(x.v, bound.v, 0x1d, 0xffff, 4));
#else
    unsigned const bits = lane_bits(bound <= x);
#endif
    word |= std::uint64_t{bits} << 16 * i;
  }
  return word;
}

#if defined(__AVX512VBMI2__) && defined(__AVX512DQ__)
MOEROUTE_SIMD_INLINE floats lookup(floats a, floats b,
                                   ints i) {  // lane i of a and b laid end to end
#if defined(__clang__)
  return floats(__builtin_ia32_vpermi2varps512(a.v, i.v, b.v), 0);
#else
  return floats(__builtin_shuffle(a.v, b.v, i.v), 0);
#endif
}
// Branch-free: compress the positions of 64 keys at a time as bytes, append them in a register, look the
// keys up.
MOEROUTE_SIMD_INLINE survivors collect(float const* key, int size, floats bound) {
  typedef char bytes __attribute__((vector_size(64)));
  static constexpr bytes position = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                     16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                     32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                     48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
  ints id(0);
  int n = 0;
  for (int b = 0; b < size; b += 64) {
    std::uint64_t const word = reaching(key + b, bound);
    auto const z =
        __builtin_bit_cast(vec<std::uint8_t, 64>, __builtin_ia32_compressqi512_mask(position, bytes{}, word));
    ints const at = bits_as<std::int32_t>(shuffle<64>(z, vec<std::uint8_t, 64>(std::uint8_t{0}),
                                                      [](int i) { return i % 4 != 0 ? 64 : i / 4; })) +
                    ints(b);
    id.v = __builtin_ia32_expandsi512_mask(at.v, id.v, static_cast<unsigned short>(n < 16 ? 0xffffu << n : 0u));
    n += std::popcount(word);
  }
  floats x(lowest);
  for (int b = 0; b < size; b += 64) {
    floats const a = lookup(load<floats>(key + b), load<floats>(key + b + 16), id);
    floats const c = lookup(load<floats>(key + b + 32), load<floats>(key + b + 48), id);
    x = select((id >> 6) == ints(b >> 6), select((id & ints(32)) == ints(0), a, c), x);
  }
  ints const inside = lane_id() < ints(n);
  return {select(inside, x, floats(lowest)), select(inside, id, ints(id_bits)), n};
}
#else
MOEROUTE_SIMD_INLINE survivors collect(float const* key, int size, floats bound) {
  float x[16];
  std::int32_t id[16];
  store(x, floats(lowest));
  store(id, ints(id_bits));
  int n = 0;
  for (int b = 0; b < size; b += 64)
    for (std::uint64_t word = reaching(key + b, bound); word != 0; word &= word - 1, ++n)
      if (n < 16) id[n] = b + std::countr_zero(word), x[n] = key[id[n]];
  return {load<floats>(x), load<ints>(id), n};
}
#endif

}  // namespace detail

// The k-th best of the lane maxima, of 64 lanes: at least k maxima reach the least of the four quarters' (k / 4)-th.
inline float bound_of_64(float const* key, int size, int k, float& top) {
  alignas(64) float maxima[16];
  float bound = infinity<float>;
  top = lowest;
  for (int q = 0; q < 64; q += 16) {
    floats m(lowest);
    for (int i = q; i < size; i += 64) m = max(load<floats>(key + i), m);
    store(maxima, sort<16>(m));
    top = maxima[0] > top ? maxima[0] : top;
    bound = maxima[(k + 3) / 4 - 1] < bound ? maxima[(k + 3) / 4 - 1] : bound;
  }
  return bound;
}

// The keys at listed places.
struct listed_row {
  using value_type = float;
  float const* key;
  std::int32_t const* place;
  index_t count;
  index_t size() const { return count; }
  float at(index_t i) const { return key[place[i]]; }
  template <class G, class F>
  void each(G const&, F&& f) const {
    for (index_t i = 0; i < count; ++i) f(i, at(i));
  }
};

// The k best by insertion, of the keys above the bound and the first k that equal it: for k > 16, and for rows full
// of ties. At least k keys reach the bound, which is above -inf; `list` has room for all.
[[gnu::noinline]] inline void insert_reaching(float const* key, int size, float bound, int k, std::int32_t* id,
                                              std::int32_t* list) {
  int n = 0, equal = 0;
  for (int b = 0; b < size; b += 64)
    for (std::uint64_t word = detail::reaching(key + b, floats(bound)); word != 0; word &= word - 1) {
      int const i = b + std::countr_zero(word);
      if (key[i] != bound || equal++ < k) list[n++] = i;
    }
  take_best(serial_group{}, listed_row{key, list, n}, row_view<std::int32_t>{id, k});
  for (int j = 0; j < k; ++j) id[j] = list[id[j]];
}

inline constexpr int most_rows = 4;  // at once

// The places of the k <= 64 best of a few rows of `size` keys (a multiple of 64, NaN where there is no expert), best
// first, row q at id[64 q]. `top` receives the largest key of each row. Bit q of the result is set where row q
// has fewer than k keys above -inf, and was not served. `list` is scratch for `size` places. Each step is taken for
// all rows before the next: their waits overlap.
[[gnu::noinline]] inline unsigned best_of_rows(float const* const* row, int rows, int size, int k, std::int32_t* id,
                                               float* top, std::int32_t* list) {
  float bound[most_rows];
  int count[most_rows] = {};
  alignas(64) double packed[16 * most_rows];
  for (int q = 0; q < rows; ++q) {
    if (k > 16) {
      bound[q] = bound_of_64(row[q], size, k, top[q]);
      continue;
    }
    floats a(lowest), b(lowest);
    for (int i = 0; i < size; i += 32) {
      a = max(load<floats>(row[q] + i), a);
      b = max(load<floats>(row[q] + i + 16), b);
    }
    alignas(64) float maxima[16];
    if (k <= 8 && size < 512) store(maxima, sort<16>(max(a, b)));
    else store(maxima, merge<16>(max(sort<16>(a), swap<15>(sort<16>(b)))));  // 32 maxima: fewer keys survive
    top[q] = maxima[0];
    bound[q] = maxima[k - 1];
  }
  for (int q = 0; q < rows && k <= 16; ++q) {
    survivors const s = detail::collect(row[q], size, floats(bound[q]));
    count[q] = s.count;
    store(packed + 16 * q, pack(s.key, s.id));
  }
  for (int q = 0; q < rows && k <= 16; ++q) {
    auto const first = sort<8>(load<vec<double, 8>>(packed + 16 * q));
    auto const second = swap<7>(sort<8>(load<vec<double, 8>>(packed + 16 * q + 8)));
    store(id + 64 * q, unpack_id(merge<8>(max(first, second))));
    store(id + 64 * q + 8, unpack_id(merge<8>(min(first, second))));
  }
  unsigned unserved = 0;
  for (int q = 0; q < rows; ++q) {
    if (bound[q] == lowest) unserved |= 1u << q;
    else if (k > 16 || count[q] > 16) insert_reaching(row[q], size, bound[q], k, id + 64 * q, list);
  }
  return unserved;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
