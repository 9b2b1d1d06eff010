// Decides how the k best of logit + Gumbel noise are found on the CPU without the noise of most experts: the random bits of
// every expert are drawn and bound its key from above, and only the few keys whose bound is high enough are computed.
//
//   u = (x + 1/2) 2^-23,  v = 1 - u,   noise G = -log(-log u) = -log v - log(-log(1 - v) / v) < -log v - v / 2
//   bound B = -log(2) L(v') - v' / 2 + margin,   v' = v - 2^-24,   L(v'): the bits of v' read as a number, a piecewise
//   linear log2 that is at most 0.0861 below it
//
// G <= B is tested for each of the 2^23 values of x; what rounding takes from z + B is taken from the threshold before
// bounds are compared with it. Keys whose bound misses a threshold are below it; so if the k best of the others reach it,
// they are the k best of all. The first threshold is a guess; the k-th best key it gives is one that cannot fail.
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/memory.hpp>
#include <moeroute/cpu/simd/philox.hpp>
#include <moeroute/cpu/simd/rank_rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> gumbel_of(vec<std::uint32_t, N> word) {
  vec<float, N> const u =
      (convert<float>(bits_as<std::int32_t>(word >> 9)) + vec<float, N>(.5f)) * vec<float, N>(0x1p-23f);
  return -math::log_of_normal(-math::log_of_normal(u));
}
// z + B - bound_constant, for the complement of the word.
inline constexpr int bound_scale = MOEROUTE_SIMD_BYTES == 64 ? 32 : 23;
inline constexpr float ln2 = 0x1.62e43p-1f, bound_constant = ln2 * (127 + bound_scale) + 4e-5f;
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> gumbel_bound(vec<float, N> z, vec<std::uint32_t, N> not_word) {
  using V = vec<float, N>;
  V v;  // 2^bound_scale v', exact
  if constexpr (bound_scale == 32) v = convert<float>(not_word & vec<std::uint32_t, N>(0xFFFFFE00u));
  else v = convert<float>(bits_as<std::int32_t>(not_word >> 9));
  V const steep = math::fma(convert<float>(bits_as<std::int32_t>(v)), V(-ln2 * 0x1p-23f), z);
  return math::fma(v, V(bound_scale == 32 ? -0x1p-33f : -0x1p-24f), steep);
}
// What the bound reaches where the key reaches `key`: five rounded sums of numbers below |z| + 128 lie between.
inline float bound_of_key(float key) { return key - bound_constant - 0x1p-21f * ((key < 0 ? -key : key) + 256); }

// Experts first .. first + 63, first a multiple of 64.
MOEROUTE_ON_DEMAND
inline void gumbel_of_64(philox_words const& from, offset_t token, index_t first, float (&out)[64]) {
  auto const t = static_cast<std::uint64_t>(token);
  auto const own = from.token(static_cast<std::uint32_t>(t));
  for (int i = 0; i < 64; i += words_at_once) {
    auto const words = from.words<1>(from.expert(first + i, static_cast<std::uint32_t>(t >> 32)), &own);
    for_each_part<words_at_once / 16>(
        words, [&](int p, auto part) MOEROUTE_SIMD_LAMBDA { store(out + i + 16 * p, gumbel_of(part)); });
  }
}

// The row's keys one by one: for rows full of ties and for many places. True if there are fewer open experts than places.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline bool draw_row(float temperature, float const* logit, std::uint32_t* word, index_t size,
                                       index_t k, std::int32_t* id, std::int32_t* order, float* key) {
  for (index_t i = 0; i < size; i += 16)
    store(key + i, load<floats>(logit + i) / floats(temperature) + gumbel_of(~load<vec<std::uint32_t, 16>>(word + i)));
  float const* const row[1] = {key};
  return find_best(row, 1, size, k, id, order, reinterpret_cast<std::int32_t*>(word)) != 0;
}

// A row on its way: its logits, the bounds of its keys and its random words (their complements), and the key that the
// k best are guessed to reach.
struct drawn_row {
  float const* logit;
  float* bound;
  std::uint32_t* word;
  float threshold;
};

// Bounds, words and a guess for R rows whose tokens have the same upper half.
template <int R>
MOEROUTE_SIMD_INLINE void bound_keys(philox_words const& from, float temperature, offset_t const* token, index_t size,
                                     index_t k, drawn_row* row) {
  floats most[std::size_t{R}];  // of the bounds, over the row's vectors
  philox_words::of_token own[std::size_t{R}];
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) {
    most[q] = floats(lowest);
    own[q] = from.token(static_cast<std::uint32_t>(token[q]));
  }
  auto const high = static_cast<std::uint32_t>(static_cast<std::uint64_t>(token[0]) >> 32);
  for (index_t first = 0; first < size; first += words_at_once)
    for_each_part<R>(from.words<R, true>(from.expert(first, high), own), [&](int q, auto words) MOEROUTE_SIMD_LAMBDA {
      for_each_part<words_at_once / 16>(words, [&](int p, auto w) MOEROUTE_SIMD_LAMBDA {
        index_t const at = first + 16 * p;
        floats z = load<floats>(row[q].logit + at);
        if (temperature != 1) z = z / floats(temperature);
        floats const y = gumbel_bound(z, w);
        store(row[q].bound + at, y);
        store(row[q].word + at, w);
        most[q] = max(y, most[q]);
      });
    });
  if (k > 8) return;
  // About k + 3 of 64 to 256 bounds reach the k-th best of the lanes' maxima, less what a bound exceeds its key by.
  alignas(64) float maxima[std::size_t{16} * R];
  store(maxima, sort<16>(side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return most[q]; })));
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q)  // a row with an empty lane has few keys
    row[q].threshold = maxima[16 * q + 15] > lowest ? maxima[16 * q + k - 1] + (bound_constant - .12f) : lowest;
}

// The keys of R rows whose bounds reach the threshold, of which a row has room for 16: ids and order of the 8 best, as
// `find_best` gives them. Bit q of the result is set where row q may have better ones; its threshold is then a better guess.
template <int R>
MOEROUTE_SIMD_INLINE unsigned draw_above(float temperature, index_t size, index_t k, drawn_row* row, std::int32_t* id,
                                         std::int32_t* order) {
  using V = vec<float, 16 * R>;
  ints place[std::size_t{R}];
  int count[std::size_t{R}];
  alignas(64) float z[std::size_t{16} * R];
  alignas(64) std::uint32_t w[std::size_t{16} * R];
  auto const find = [&](int q) MOEROUTE_SIMD_LAMBDA {
    count[q] = detail::places_reaching(row[q].bound, size, floats(bound_of_key(row[q].threshold)), place[q]);
  };
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) find(q);
  int most = 0;
  for (int q = 0; q < R; ++q) most = count[q] > most ? count[q] : most;
  for (int q = 0; q < R && most > 16; ++q) {
    if (count[q] <= 16) continue;
    row[q].threshold += .05f * static_cast<float>(count[q] - 13);  // keys fall off like exp(-x): 13 are aimed at
    find(q);
  }
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) {
    ints const at = place[q] & (lane_id() < ints(count[q]));
    store(id + most_chosen * q, at);
    store(z + 16 * q, gather(row[q].logit, at));
    store(w + 16 * q, gather(row[q].word, at));
  }
  V key = load<V>(z);
  if (temperature != 1) key = key / V(temperature);
  key = key + gumbel_of(~load<vec<std::uint32_t, 16 * R>>(w));
  key = side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA {
    return select(lane_id() < ints(count[q]), part_of<R>(key, q), floats(lowest));
  });
  auto const above = keys_above<R>(key, register_bytes < 64 && most < 16 ? most : 16), lanes = lanes_in_order<R>(above);
  alignas(64) float top[std::size_t{16} * R];
  unsigned open = 0;
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) {
    ints const at = part_of<R>(lanes, q);
    store(order + 16 * q, at);
    store(top + 16 * q, permute(part_of<R>(key, q), at));
    auto const count_of = part_of<R>(above, q);
    unsigned const right = lane_bits(permute(count_of, at) == lane_id()), before = (1u << k) - 1;
    bool const tied = (~right & before) != 0 || std::popcount(lane_bits(count_of < ints(k))) != k;
    float const kth = top[16 * q + k - 1];
    if (count[q] > 16 || tied || !(kth > lowest) || kth < row[q].threshold) {
      open |= 1u << q;
      row[q].threshold = kth;
    }
  }
  return open;
}

// Ids and order of the k best of R rows, as `find_best` gives them. Rows have `size` logits (a multiple of 64), NaN behind
// the experts. `space`: 2 R size floats. Bit q of the result is set where row q has fewer open experts than places.
template <int R>
[[gnu::noinline]] inline unsigned draw_rows(draws const& random, float temperature, offset_t const* token,
                                            float const* const* logit, index_t size, index_t k, std::int32_t* id,
                                            std::int32_t* order, float* space) {
  unsigned unserved = 0;
  if constexpr (R > 1) {
    bool together = true;
    for (int q = 1; q < R; ++q) together = together && (token[q] ^ token[0]) >> 32 == 0;
    if (!together) {
      for (int q = 0; q < R; ++q)
        unserved |= draw_rows<1>(random, temperature, token + q, logit + q, size, k, id + most_chosen * q,
                                 order + 16 * q, space)
                    << q;
      return unserved;
    }
  }
  philox_words const from(random);
  drawn_row row[std::size_t{R}];
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q)
    row[q] = {logit[q], space + 2 * q * size, reinterpret_cast<std::uint32_t*>(space + (2 * q + 1) * size), 0};
  bound_keys<R>(from, temperature, token, size, k, row);
  unsigned open = k > 8 ? (1u << R) - 1 : draw_above<R>(temperature, size, k, row, id, order);
  for (; open != 0; open &= open - 1) {
    int const q = std::countr_zero(open);
    if (k > 8 || draw_above<1>(temperature, size, k, row + q, id + most_chosen * q, order + 16 * q) != 0)
      unserved |= unsigned{draw_row(temperature, logit[q], row[q].word, size, k, id + most_chosen * q, order + 16 * q,
                                    row[q].bound)}
                  << q;
  }
  return unserved;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
