// Decides how the k best of logit + Gumbel noise are found on the CPU without the noise of most experts: the random bits of
// every expert are drawn, their noise is bounded from above, and only keys whose bound reaches the k best are computed.
//
//   u = (x + 1/2) 2^-23,  v = 1 - u,   noise G = -log(-log u) = -log v - h(v),   h(v) = log(-log(1 - v) / v)
//   B = -log(2) L(v) - v (a + b v) + margin,   L(v): the bits of v read as a number, a piecewise linear log2
//   B - gap <= G for v <= 3/5,   G <= B for all v
//
// L is at most 0.0861 below log2 and the parabola lies below h; both inequalities are tested for each of the 2^23 values
// of x. Rounded sums are monotone, so fl(z + B) bounds fl(z + G) for every z.
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/philox.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> gumbel_of(vec<std::uint32_t, N> word) {
  vec<float, N> const u = (convert<float>(bits_as<std::int32_t>(word >> 9)) + vec<float, N>(.5f)) * vec<float, N>(0x1p-23f);
  return -math::log(-math::log(u));
}
struct gumbel_bound {
  static constexpr float gap = .065f, near = .6f * 0x1p23f;
  static constexpr float slope = -0x1.62e43p-1f * 0x1p-23f, a = .44f * 0x1p-23f, b = .42f * 0x1p-46f;
  static constexpr float offset = 0x1.62e43p-1f * 150 + 2e-5f;  // 150: the exponent's bias, and v in units of 2^-23

  // 2^23 v, exactly.
  template <int N>
  static MOEROUTE_SIMD_INLINE vec<float, N> complement(vec<std::uint32_t, N> word) {
    return vec<float, N>(0x1p23f - .5f) - convert<float>(bits_as<std::int32_t>(word >> 9));
  }
  template <int N>
  static MOEROUTE_SIMD_INLINE vec<float, N> above(vec<float, N> v) {
    using V = vec<float, N>;
    return math::fma(v, math::fma(v, V(-b), V(-a)), math::fma(convert<float>(bits_as<std::int32_t>(v)), V(slope), V(offset)));
  }
};

// Experts first .. first + 63, first a multiple of 64.
inline void gumbel_of_64(philox_words const& from, offset_t token, index_t first, float (&out)[64]) {
  auto const t = static_cast<std::uint64_t>(token);
  for (int i = 0; i < 64; i += words_at_once) {
    auto const words = from.of_token(from.of_experts(first + i, static_cast<std::uint32_t>(t >> 32)), static_cast<std::uint32_t>(t));
    for_each_part<words_at_once / 16>(words, [&](int p, auto part) MOEROUTE_SIMD_LAMBDA { store(out + i + 16 * p, gumbel_of(part)); });
  }
}

// The row's keys one by one: for rows full of ties, with fewer open experts than places, or with many places.
[[gnu::noinline]] inline void draw_row(float temperature, float const* logit, std::uint32_t* word, index_t size, index_t k,
                                       std::int32_t* id, float* key) {
  for (index_t i = 0; i < size; i += 16)
    store(key + i, load<floats>(logit + i) / floats(temperature) + gumbel_of(load<vec<std::uint32_t, 16>>(word + i)));
  float const* const row[1] = {key};
  float top[1];
  std::int32_t best[most_chosen];
  unsigned const unserved = best_of_rows<1>(row, size, k, best, top, reinterpret_cast<std::int32_t*>(word));
  if (unserved != 0) {  // fewer open experts than places
    std::int32_t closed = 0;
    while (key[closed] > lowest) ++closed;
    for (index_t j = 0; j < k; ++j) best[j] = closed;
  }
  for (index_t j = 0; j < k; ++j) id[j] = best[j];
}

// Ids of the k <= 16 best of R rows, best first, row q at id[16 q]; a place that no open expert fills gets a closed one.
// Rows have `size` logits (a multiple of 64), NaN behind the experts. `space`: 2 R size floats.
template <int R>
[[gnu::noinline]] inline void draw_rows(draws const& random, float temperature, offset_t const* token, float const* const* logit,
                                        index_t, index_t size, index_t k, std::int32_t* id, float* space) {
  using V = vec<float, 16 * R>;
  philox_words const from(random);
  float* bound[std::size_t{R}];
  std::uint32_t* word[std::size_t{R}];
  floats most[std::size_t{R}];
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) {
    bound[q] = space + 2 * q * size;
    word[q] = reinterpret_cast<std::uint32_t*>(bound[q] + size);
    most[q] = floats(lowest);
  }
  for (index_t first = 0; first < size; first += words_at_once) {
    philox_words::shared shared;
    std::uint32_t high = 0;
#pragma GCC unroll 4
    for (int q = 0; q < R; ++q) {
      auto const t = static_cast<std::uint64_t>(token[q]);
      if (q == 0 || static_cast<std::uint32_t>(t >> 32) != high) {
        high = static_cast<std::uint32_t>(t >> 32);
        shared = from.of_experts(first, high);
      }
      for_each_part<words_at_once / 16>(from.of_token(shared, static_cast<std::uint32_t>(t)), [&](int p, auto w) MOEROUTE_SIMD_LAMBDA {
        index_t const at = first + 16 * p;
        floats z = load<floats>(logit[q] + at);
        if (temperature != 1) z = z / floats(temperature);
        floats const v = gumbel_bound::complement(w), y = z + gumbel_bound::above(v);
        store(bound[q] + at, y);
        store(word[q] + at, w);
        most[q] = max(select(v <= floats(gumbel_bound::near), y, floats(lowest)), most[q]);
      });
    }
  }
  if (k > 8) {
    for (int q = 0; q < R; ++q) draw_row(temperature, logit[q], word[q], size, k, id + 16 * q, bound[q]);
    return;
  }
  // The k-th best of the lanes' maxima, less the gap and what two sums can lose to rounding, is below k keys.
  alignas(64) float maxima[std::size_t{16} * R], z[std::size_t{16} * R];
  alignas(64) std::uint32_t w[std::size_t{16} * R];
  alignas(64) std::int32_t at[std::size_t{16} * R];
  store(maxima, sort<16>(side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return most[q]; })));
  survivors s[std::size_t{R}];
  unsigned repair = 0;
  for (int q = 0; q < R; ++q) {
    float const m = maxima[16 * q + k - 1];
    s[q] = detail::collect(bound[q], size, floats(m - (gumbel_bound::gap + 0x1p-22f * (m < 0 ? -m : m))));
    repair |= static_cast<unsigned>(s[q].count > 16 || s[q].count < k || m == lowest) << q;
    store(at + 16 * q, s[q].id & (lane_id() < ints(s[q].count)));
    for (int j = 16 * q; j < 16 * q + 16; ++j) z[j] = logit[q][at[j]], w[j] = word[q][at[j]];
  }
  V key = load<V>(z);
  if (temperature != 1) key = key / V(temperature);
  V const exact = key + gumbel_of(load<vec<std::uint32_t, 16 * R>>(w));
  for_each_part<R>(exact, [&](int q, floats part) MOEROUTE_SIMD_LAMBDA {
    s[q].key = select(lane_id() < ints(s[q].count), part, floats(lowest));
  });
  auto const first = sort<8>(
      side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return pack(low(s[q].key), low(s[q].id)); }));
  auto const second = swap<7>(sort<8>(
      side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return pack(high(s[q].key), high(s[q].id)); })));
  for_each_part<R>(unpack_id(merge<8>(max(first, second))),
                   [&](int q, auto part) MOEROUTE_SIMD_LAMBDA { store(id + 16 * q, part); });
  for (; repair != 0; repair &= repair - 1) {
    int const q = std::countr_zero(repair);
    draw_row(temperature, logit[q], word[q], size, k, id + 16 * q, bound[q]);
  }
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
