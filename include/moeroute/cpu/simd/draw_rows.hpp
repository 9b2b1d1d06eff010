// Decides how the k best of logit + Gumbel noise are found on the CPU without the noise of most experts: the random words of
// all experts are drawn and bound their keys from above, and only the few keys whose bounds are high enough are computed.
//
// The first threshold is a guess. Keys whose bounds miss it are below it; so if the k best of the others reach it, they
// are the k best of all. The others are ranked by rough keys as integers, which name a lane in their last four bits. Keys
// that lie so close that the exact ones may differ in order, and rows whose k-th best may miss the threshold, leave a doubt:
// such a row is ranked by exact keys, from a threshold that cannot fail if need be.
#pragma once

#include <moeroute/cpu/simd/eight_best.hpp>
#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/gumbel.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// A row on its way: its logits, the bounds of its keys and its random words (their complements).
struct drawn_row {
  float const* logit;
  float* bound;
  std::uint32_t* word;
};
// What is known of a row's winners: places, the logits there, and their order, as `find_best` gives it.
struct winners {
  std::int32_t *id, *order;
  float* logit;
  winners of_row(int q) const { return {id + most_chosen * q, order + 16 * q, logit + most_chosen * q}; }
};

// The row's keys one by one: for rows full of ties and for many places. True if there are fewer open experts than places.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline bool draw_row(float temperature, drawn_row const& row, index_t size, index_t k,
                                       winners const& w) {
  for (index_t i = 0; i < size; i += 16)
    store(row.bound + i,
          load<floats>(row.logit + i) / floats(temperature) + gumbel_of(~load<vec<std::uint32_t, 16>>(row.word + i)));
  float const* const key[1] = {row.bound};
  bool const few = find_best(key, 1, size, k, w.id, w.order, reinterpret_cast<std::int32_t*>(row.word)) != 0;
  for (index_t j = 0; j < k; j += 16) store(w.logit + j, gather(row.logit, load<ints>(w.id + j)));
  return few;
}

// Exact keys of the candidates: false if the row has more than 16 of them or too few open ones.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline bool draw_exactly(float temperature, drawn_row const& row, index_t size, index_t k,
                                           float threshold, winners const& w) {
  for (;;) {
    ints place;
    int const count = detail::places_reaching(row.bound, size, floats(bound_of_key(threshold)), place);
    if (count > 16) return false;
    ints const inside = lane_id() < ints(count), at = place & inside;
    floats const z = gather(row.logit, at), key = z / floats(temperature) + gumbel_of(~gather(row.word, at));
    floats const open = select(inside, key, floats(lowest));
    ints const lane = lanes_of(ranks(order_keys(open), 16));
    store(w.id, at);
    store(w.order, lane);
    store(w.logit, z);
    float best[16];
    store(best, permute(open, lane));
    float const kth = best[k - 1];
    if (!(kth > lowest)) return false;
    if (kth >= threshold) return true;
    threshold = kth;
  }
}

// Bounds and words for R rows whose tokens have the same upper half; the keys that the 8 best are guessed to reach, in
// the lanes of `row_numbers`.
template <int R>
MOEROUTE_SIMD_INLINE vec<float, row_lanes> bound_keys(philox_words const& from, float temperature,
                                                      offset_t const* token, index_t size, drawn_row const* row) {
  floats most[std::size_t{R}];  // of the bounds, over the row's vectors
  philox_words::of_token own[std::size_t{R}];
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) {
    most[q] = floats(lowest);
    own[q] = from.token(static_cast<std::uint32_t>(token[q]));
  }
  if constexpr (register_bytes == 64) detail::leave_in_memory(own);
  auto const high = static_cast<std::uint32_t>(static_cast<std::uint64_t>(token[0]) >> 32);
  bool const scaled = temperature != 1;
  for (index_t first = 0; first < size; first += words_at_once)
    for_each_part<R>(from.words<R, true>(from.expert(first, high), own), [&](int q, auto words) MOEROUTE_SIMD_LAMBDA {
      for_each_part<words_at_once / 16>(words, [&](int p, auto w) MOEROUTE_SIMD_LAMBDA {
        index_t const at = first + 16 * p;
        floats z = load<floats>(row[q].logit + at);
        if (scaled) z = z / floats(temperature);
        floats const y = gumbel_bound(z, w);
        store(row[q].bound + at, y);
        store(row[q].word + at, w);
        most[q] = max(y, most[q]);
      });
    });
  // About 11 of 64 to 256 bounds reach the 8th best of the lanes' maxima, less what a bound exceeds its key by.
  auto const order = [](auto bits) MOEROUTE_SIMD_LAMBDA {  // of the number, as an integer's; its own inverse
    return bits ^ (bits >> 31 & decltype(bits)(largest<std::int32_t>));
  };
  row_numbers const eighth = eighth_of_16(side_by_side<eight_best_rows>(
      [&](int q) MOEROUTE_SIMD_LAMBDA { return order(bits_as<std::int32_t>(most[q < R ? q : 0])); }));
  return bits_as<float>(order(eighth)) + vec<float, row_lanes>(bound_constant - .12f);
}

// Rough keys as integers: multiples of 2^-17, which tell two keys apart from 8 on. Float keys below 256 are rounded by
// less than 2^-17, each the exact and the rough one, and a multiple of 2^-17 lies less than one below its number.
inline constexpr float rough_range = 255, rough_unit = 0x1p17f;
inline constexpr std::int32_t rough_lane = 15, rough_doubt = 8 * (rough_lane + 1);
static_assert(2 * (rough_gumbel_error + 2 * 0x1p-17f) < 7 / rough_unit);
template <int N>
MOEROUTE_SIMD_INLINE vec<std::int32_t, N> rough_key(vec<float, N> key) {
  using V = vec<float, N>;
  V const inside = max(min(key, V(rough_range)), V(-rough_range));
  return convert<std::int32_t>(math::mul(inside, V(rough_unit))) << 4;
}

// The k <= 8 best of R rows by their rough keys. Bit q of the result is set where that leaves a doubt in row q; threshold
// q, in the lanes of `row_numbers`, is then still a good guess.
template <int R>
MOEROUTE_SIMD_INLINE unsigned draw_roughly(float temperature, index_t size, index_t k, drawn_row const* row,
                                           float* threshold, winners const& w) {
  ints place[std::size_t{R}];
  int count[std::size_t{R}];
  auto const find = [&](int q) MOEROUTE_SIMD_LAMBDA {
    count[q] = detail::places_reaching(row[q].bound, size, floats(bound_of_key(threshold[lane_of_row(q)])), place[q]);
  };
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) find(q);
  int most = 0;
  for (int q = 0; q < R; ++q) most = count[q] > most ? count[q] : most;
  unsigned doubtful = 0;
  for (int q = 0; q < R && most > 16; ++q) {
    if (count[q] <= 16) continue;
    // Keys fall off like exp(-x): 13 are aimed at.
    float const raised = threshold[lane_of_row(q)] + .05f * static_cast<float>(count[q] - 13);
    for (int i = 0; i < row_lanes; ++i)
      if (row_of_lane(i) == q) threshold[i] = raised;
    find(q);
    if (count[q] > 16) doubtful |= 1u << q;
  }
  auto const of_rows = [](auto f) MOEROUTE_SIMD_LAMBDA {
    return side_by_side<eight_best_rows>([&](int q) MOEROUTE_SIMD_LAMBDA { return f(q < R ? q : 0); });
  };
  ints inside[std::size_t{R}];
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) {
    inside[q] = lane_id() < ints(count[q]);
    place[q] = place[q] & inside[q];
    store(w.of_row(q).id, place[q]);
    store(w.of_row(q).logit, gather(row[q].logit, place[q]));
  }
  auto key = of_rows([&](int q) MOEROUTE_SIMD_LAMBDA { return load<floats>(w.of_row(q).logit); });
  if (temperature != 1) key = key / decltype(key)(temperature);
  key = key + rough_gumbel(of_rows([&](int q) MOEROUTE_SIMD_LAMBDA { return gather(row[q].word, place[q]); }));
  key = of_rows(
      [&](int q) MOEROUTE_SIMD_LAMBDA { return select(inside[q], part_of<eight_best_rows>(key, q), floats(lowest)); });
  rows_of_16 const lane = of_rows([](int) MOEROUTE_SIMD_LAMBDA { return lane_id(); });
  vec<float, row_lanes> const guess =
      max(load<vec<float, row_lanes>>(threshold), vec<float, row_lanes>(1 - rough_range));
  row_numbers const doubt(rough_doubt), reached = rough_key(guess) + doubt;
  // Lanes in order, and a sign for a doubt.
  auto const best = eight_best(rough_key(key) | lane, [&](row_numbers x, row_numbers below) MOEROUTE_SIMD_LAMBDA {
    row_numbers const at = x & row_numbers(rough_lane);
    return select(max(below + doubt, reached) < x, at, at | row_numbers(least<std::int32_t>));
  });
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q) {
    ints const at = part_of<eight_best_rows>(best, q);
    store(w.of_row(q).order, at & ints(rough_lane));
    if ((lane_bits(at >> 31) & ((1u << k) - 1)) != 0) doubtful |= 1u << q;
  }
  return doubtful;
}

// The k best of R rows, as `find_best` gives them. Rows have `size` logits (a multiple of 64), NaN behind the experts.
// `space`: 2 R size floats. Bit q of the result is set where row q has fewer open experts than places.
template <int R>
[[gnu::noinline]] inline unsigned draw_rows(draws const& random, float temperature, offset_t const* token,
                                            float const* const* logit, index_t size, index_t k, winners const& w,
                                            float* space) {
  unsigned unserved = 0;
  if constexpr (R > 1) {
    bool together = true;
    for (int q = 1; q < R; ++q) together = together && (token[q] ^ token[0]) >> 32 == 0;
    if (!together) {
      for (int q = 0; q < R; ++q)
        unserved |= draw_rows<1>(random, temperature, token + q, logit + q, size, k, w.of_row(q), space) << q;
      return unserved;
    }
  }
  philox_words const from(random);
  drawn_row row[std::size_t{R}];
#pragma GCC unroll 4
  for (int q = 0; q < R; ++q)
    row[q] = {logit[q], space + 2 * q * size, reinterpret_cast<std::uint32_t*>(space + (2 * q + 1) * size)};
  alignas(64) float threshold[std::size_t{row_lanes}];
  store(threshold, bound_keys<R>(from, temperature, token, size, row));
  unsigned doubtful = k > 8 ? (1u << R) - 1 : draw_roughly<R>(temperature, size, k, row, threshold, w);
  for (; doubtful != 0; doubtful &= doubtful - 1) {
    int const q = std::countr_zero(doubtful);
    if (k > 8 || !draw_exactly(temperature, row[q], size, k, threshold[lane_of_row(q)], w.of_row(q)))
      unserved |= unsigned{draw_row(temperature, row[q], size, k, w.of_row(q))} << q;
  }
  return unserved;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
