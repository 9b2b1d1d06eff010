// Decides how the k best of logit + Gumbel noise are found on the CPU without the noise of most experts: the random bits of
// every expert are drawn and bound its key from above, and only the few keys whose bound is high enough are computed.
//
//   u = (x + 1/2) 2^-23,  v = 1 - u,   noise G = -log(-log u) = -log v - log(-log(1 - v) / v) < -log v - v / 2
//   bound B = -log(2) L(v') - v' / 2 + margin,   v' = v - 2^-24,   L(v'): the bits of v' read as a number, a piecewise
//   linear log2 that is at most 0.0861 below it
//
// G <= B is tested for each of the 2^23 values of x; a rounded sum is monotone, so fl(z + B) bounds the key fl(z + G) for
// every logit z. Keys whose bound misses a threshold are below it; so if the k best of the others reach it, they are the
// k best of all. The first threshold is a guess; the k-th best key it gives is one that cannot fail.
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/memory.hpp>
#include <moeroute/cpu/simd/philox.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> gumbel_of(vec<std::uint32_t, N> word) {
  vec<float, N> const u =
      (convert<float>(bits_as<std::int32_t>(word >> 9)) + vec<float, N>(.5f)) * vec<float, N>(0x1p-23f);
  return -math::log_of_normal(-math::log_of_normal(u));
}
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> gumbel_bound(vec<std::uint32_t, N> word) {
  using V = vec<float, N>;
#if defined(__AVX512F__)
  constexpr int scale = 32;
  V const v = convert<float>(~word & vec<std::uint32_t, N>(0xFFFFFE00u));  // 2^scale v', exact
#else
  constexpr int scale = 23;
  V const v = V(0x1p23f - 1) - convert<float>(bits_as<std::int32_t>(word >> 9));
#endif
  constexpr float ln2 = 0x1.62e43p-1f;
  V const steep =
      math::fma(convert<float>(bits_as<std::int32_t>(v)), V(-ln2 * 0x1p-23f), V(ln2 * (127 + scale) + 4e-5f));
  return math::fma(v, V(scale == 32 ? -0x1p-33f : -0x1p-24f), steep);
}

// Experts first .. first + 63, first a multiple of 64.
inline void gumbel_of_64(philox_words const& from, offset_t token, index_t first, float (&out)[64]) {
  auto const t = static_cast<std::uint64_t>(token);
  for (int i = 0; i < 64; i += words_at_once) {
    auto const words =
        from.of_token(from.of_experts(first + i, static_cast<std::uint32_t>(t >> 32)), static_cast<std::uint32_t>(t));
    for_each_part<words_at_once / 16>(
        words, [&](int p, auto part) MOEROUTE_SIMD_LAMBDA { store(out + i + 16 * p, gumbel_of(part)); });
  }
}

// The row's keys one by one: for rows full of ties and for many places. True if there are fewer open experts than places.
[[gnu::noinline]] inline bool draw_row(float temperature, float const* logit, std::uint32_t* word, index_t size,
                                       index_t k, std::int32_t* id, float* key) {
  for (index_t i = 0; i < size; i += 16)
    store(key + i, load<floats>(logit + i) / floats(temperature) + gumbel_of(load<vec<std::uint32_t, 16>>(word + i)));
  float const* const row[1] = {key};
  float top[1];
  return best_of_rows(row, 1, size, k, id, top, reinterpret_cast<std::int32_t*>(word)) != 0;
}

// The keys of R rows whose bounds reach `threshold`, of which a row has room for 16: the ids of the 8 best, best first, at
// id[64 q], and the k-th best key. Bit q of the result is set where row q may have better ones.
template <int R>
MOEROUTE_SIMD_INLINE unsigned draw_above(float temperature, float const* const* logit, float* const* bound,
                                         std::uint32_t* const* word, index_t size, index_t k, float const* threshold,
                                         std::int32_t* id, float* kth) {
  using V = vec<float, 16 * R>;
  survivors s[std::size_t{R}];
  alignas(64) float z[std::size_t{16} * R];
  alignas(64) std::uint32_t w[std::size_t{16} * R];
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) {
    s[q] = detail::collect(bound[q], size, floats(threshold[q]));
    ints const at = s[q].id & (lane_id() < ints(s[q].count));
    store(z + 16 * q, gather(logit[q], at));
    store(w + 16 * q, gather(word[q], at));
  }
  V key = load<V>(z);
  if (temperature != 1) key = key / V(temperature);
  key = key + gumbel_of(load<vec<std::uint32_t, 16 * R>>(w));
  for_each_part<R>(key, [&](int q, floats part) MOEROUTE_SIMD_LAMBDA {
    s[q].key = select(lane_id() < ints(s[q].count), part, floats(lowest));
  });
  auto const first =
      sort<8>(side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return pack(low(s[q].key), low(s[q].id)); }));
  auto const second = swap<7>(
      sort<8>(side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return pack(high(s[q].key), high(s[q].id)); })));
  auto const best = merge<8>(max(first, second));
  for_each_part<R>(unpack_id(best), [&](int q, auto part) MOEROUTE_SIMD_LAMBDA { store(id + most_chosen * q, part); });
  alignas(64) float top[std::size_t{8} * R];
  store(top, unpack_key(best));
  unsigned open = 0;
  for (int q = 0; q < R; ++q) {
    kth[q] = top[8 * q + k - 1];
    open |= static_cast<unsigned>(s[q].count > 16 || !(kth[q] > lowest) || kth[q] < threshold[q]) << q;
  }
  return open;
}

// Ids of the k best of R rows, best first, row q at id[64 q]. Rows have `size` logits (a multiple of 64), NaN behind the
// experts. `space`: 2 R size floats. Bit q of the result is set where row q has fewer open experts than places.
template <int R>
[[gnu::noinline]] inline unsigned draw_rows(draws const& random, float temperature, offset_t const* token,
                                            float const* const* logit, index_t size, index_t k, std::int32_t* id,
                                            float* space) {
  philox_words const from(random);
  float* bound[std::size_t{R}];
  std::uint32_t* word[std::size_t{R}];
  floats most[std::size_t{R}];  // bounds, over the row's vectors
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
      for_each_part<words_at_once / 16>(from.of_token(shared, static_cast<std::uint32_t>(t)),
                                        [&](int p, auto w) MOEROUTE_SIMD_LAMBDA {
                                          index_t const at = first + 16 * p;
                                          floats z = load<floats>(logit[q] + at);
                                          if (temperature != 1) z = z / floats(temperature);
                                          floats const y = z + gumbel_bound(w);
                                          store(bound[q] + at, y);
                                          store(word[q] + at, w);
                                          most[q] = max(y, most[q]);
                                        });
    }
  }
  unsigned unserved = 0;
  if (k > 8) {
    for (int q = 0; q < R; ++q)
      unserved |= unsigned{draw_row(temperature, logit[q], word[q], size, k, id + most_chosen * q, bound[q])} << q;
    return unserved;
  }
  // About k + 3 of 64 to 256 bounds reach the k-th best of the lanes' maxima, less what a bound exceeds its key by.
  alignas(64) float maxima[std::size_t{16} * R];
  store(maxima, sort<16>(side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return most[q]; })));
  float threshold[std::size_t{R}], kth[std::size_t{R}];
  for (int q = 0; q < R; ++q)  // a row with an empty lane has few keys
    threshold[q] = maxima[16 * q + 15] > lowest ? maxima[16 * q + k - 1] - .12f : lowest;
  unsigned open = draw_above<R>(temperature, logit, bound, word, size, k, threshold, id, kth);
  for (; open != 0; open &= open - 1) {
    int const q = std::countr_zero(open);
    if (draw_above<1>(temperature, logit + q, bound + q, word + q, size, k, kth + q, id + most_chosen * q,
                      threshold + q) != 0)
      unserved |= unsigned{draw_row(temperature, logit[q], word[q], size, k, id + most_chosen * q, bound[q])} << q;
  }
  return unserved;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
