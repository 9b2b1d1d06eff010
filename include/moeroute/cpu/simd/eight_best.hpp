// Decides the 8 best of 16 integers in each of a few rows, as many rows as fill four registers: the 8th, or all in order.
// Rows are turned so that they lie side by side, four numbers of each in four registers: most steps of a sorting network
// are then a maximum and a minimum of registers for all rows, and two of four levels move no lane.
#pragma once

#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr int eight_best_rows = register_bytes / 16, row_lanes = 4 * eight_best_rows;
using rows_of_16 = vec<std::int32_t, 16 * eight_best_rows>;
// A number of each row, in every lane that `row_of_lane` gives to it.
using row_numbers = vec<std::int32_t, row_lanes>;
constexpr int row_of_lane(int i) { return eight_best_rows == 4 ? i & 3 : eight_best_rows == 2 ? i >> 1 & 1 : 0; }
constexpr int lane_of_row(int q) { return eight_best_rows == 2 ? 2 * q : q; }

namespace detail {

// What the bits of a lane's number within its row become: 1 and 2 choose a register, 4 and 8 a lane in it.
inline constexpr int turned_1 = 4 * eight_best_rows, turned_2 = 8 * eight_best_rows,
                     turned_4 = eight_best_rows == 1 ? 1 : 4,
                     turned_8 = eight_best_rows == 4   ? 8
                                : eight_best_rows == 2 ? 1
                                                       : 2,
                     turned_15 = turned_1 + turned_2 + turned_4 + turned_8;

// Of each block of 4 lanes one half of a and b: lane by lane in turn, or that of b behind that of a.
template <int Half>
MOEROUTE_SIMD_INLINE row_numbers lanes_in_turn(row_numbers a, row_numbers b) {
  return shuffle<row_lanes>(a, b,
                            [](int i) { return i / 4 * 4 + 2 * Half + i % 4 / 2 + (i % 2 != 0 ? row_lanes : 0); });
}
template <int Half>
MOEROUTE_SIMD_INLINE row_numbers halves_in_turn(row_numbers a, row_numbers b) {
  return shuffle<row_lanes>(a, b,
                            [](int i) { return i / 4 * 4 + 2 * Half + i % 2 + (i % 4 / 2 != 0 ? row_lanes : 0); });
}
// Blocks of 4 lanes of the four registers are transposed; its own inverse.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE rows_of_16 turned(rows_of_16 v) {
  row_numbers const low_ab = lanes_in_turn<0>(v.lo.lo, v.lo.hi), high_ab = lanes_in_turn<1>(v.lo.lo, v.lo.hi);
  row_numbers const low_cd = lanes_in_turn<0>(v.hi.lo, v.hi.hi), high_cd = lanes_in_turn<1>(v.hi.lo, v.hi.hi);
  return rows_of_16(join(halves_in_turn<0>(low_ab, low_cd), halves_in_turn<1>(low_ab, low_cd)),
                    join(halves_in_turn<0>(high_ab, high_cd), halves_in_turn<1>(high_ab, high_cd)));
}
// Lanes i and i ^ Other are put in order; the larger goes where bit Upper is not set.
template <int Other, int Upper>
MOEROUTE_SIMD_INLINE rows_of_16 ordered_lanes(rows_of_16 v) {
  rows_of_16 const p = swap<Other>(v);
  return blend<Upper>(max(v, p), min(v, p));
}
// Both runs of 8 of each row, largest first.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE rows_of_16 sorted_eights(rows_of_16 v) {
  v = ordered_lanes<turned_1, turned_1>(v);
  v = ordered_lanes<turned_1 + turned_2, turned_2>(v);
  v = ordered_lanes<turned_1, turned_1>(v);
  v = ordered_lanes<turned_1 + turned_2 + turned_4, turned_4>(v);
  v = ordered_lanes<turned_2, turned_2>(v);
  return ordered_lanes<turned_1, turned_1>(v);
}

}  // namespace detail

// The 8th largest number of each row.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE row_numbers eighth_of_16(rows_of_16 v) {
  using namespace detail;
  v = sorted_eights(turned(v));
  rows_of_16 const best = max(v, swap<turned_15>(v));
  auto const two = min(best.lo, best.hi);
  row_numbers const one = min(two.lo, two.hi);
  return min(one, swap<turned_4>(one));
}

// The 8 best numbers of each row, largest first, in its first 8 lanes, and once more in the others. Each of them becomes
// note(x, below), where `below` holds the next smaller ones, of the 8th best the 9th: both in lanes of `row_numbers`.
template <class Note>
MOEROUTE_SIMD_INLINE rows_of_16 eight_best(rows_of_16 v, Note note) {
  using namespace detail;
  v = sorted_eights(turned(v));
  rows_of_16 const p = swap<turned_15>(v), others = min(v, p);
  v = max(v, p);
  v = ordered_lanes<turned_4, turned_4>(v);
  v = ordered_lanes<turned_2, turned_2>(v);
  v = ordered_lanes<turned_1, turned_1>(v);
  auto const two = max(others.lo, others.hi);
  row_numbers const one = max(two.lo, two.hi), ninth = max(one, swap<turned_4>(one));
  row_numbers const a = v.lo.lo, b = v.lo.hi, c = v.hi.lo, d = v.hi.hi;
  row_numbers const after_d = blend<turned_4>(swap<turned_4>(a), ninth);
  return turned(rows_of_16(join(note(a, b), note(b, c)), join(note(c, d), note(d, after_d))));
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
