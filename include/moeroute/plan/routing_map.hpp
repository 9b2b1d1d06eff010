// Decides how a 0/1 routing map becomes choices, and how its columns are padded to a multiple.
//
//   choices of token t: the experts e with map[t][e] != 0, ascending (ragged)
//   padded: the first zeros of a column are switched on until its sum is a multiple, or no zero is left
// Source: Megatron-LM (routing_map, pad_routing_map).
#pragma once

#include <moeroute/plan/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// One expert: its column, padded.
struct pad_map_column {
  matrix_view<std::uint8_t const> map;
  offset_t multiple;
  matrix_view<std::uint8_t> padded;

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t e, scratch) const {
    if (g.rank() == 0) {
      offset_t ones = 0;
      for (offset_t t = 0; t < map.rows; ++t) ones += map[t][e] != 0 ? 1 : 0;
      offset_t missing = round_up(ones, multiple) - ones;
      for (offset_t t = 0; t < map.rows; ++t) {
        bool const on = map[t][e] != 0 || missing > 0;
        if (on && map[t][e] == 0) --missing;
        padded[t][e] = on ? 1 : 0;
      }
    }
    g.sync();
  }
};

template <executor X>
status try_pad_routing_map(X const& x, matrix_view<std::uint8_t const> map, offset_t multiple,
                           matrix_view<std::uint8_t> padded) noexcept {
  checks c;
  c.at_least("multiple", multiple, 1).must_be("padded rows", padded.rows, map.rows);
  c.must_be("padded columns", padded.cols, map.cols).strided("map", map).strided("padded", padded);
  if (!c.result().ok()) return c.result();
  return x.run(map.cols, pad_map_column{map, multiple, padded}, {});
}
template <executor X>
void pad_routing_map(X const& x, matrix_view<std::uint8_t const> map, offset_t multiple,
                     matrix_view<std::uint8_t> padded) {
  throw_if_bad(try_pad_routing_map(x, map, multiple, padded));
}

// One token: the experts of its row to its place in `ids`.
template <std::integral Id>
struct choices_of_map_row {
  matrix_view<std::uint8_t const> map;
  row_view<offset_t const> offsets;  // tokens + 1
  row_view<Id> ids;

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (g.rank() == 0) {
      offset_t c = offsets[t];
      for (offset_t e = 0; e < map.cols; ++e)
        if (map[t][e] != 0) ids[c++] = static_cast<Id>(e);
    }
    g.sync();
  }
};

// Number of ones in a map: how long `ids` must be. On the host.
constexpr offset_t choices_in(matrix_view<std::uint8_t const> map) {
  offset_t n = 0;
  for (offset_t t = 0; t < map.rows; ++t)
    for (offset_t e = 0; e < map.cols; ++e) n += map[t][e] != 0 ? 1 : 0;
  return n;
}

// Writes offsets (tokens + 1) and ids (choices_in(map)): together a ragged choices_view.
template <executor X, std::integral Id>
  requires runs_on_host<X>
status try_choices_of_map(X const& x, matrix_view<std::uint8_t const> map, row_view<offset_t> offsets,
                          row_view<Id> ids) noexcept {
  checks c;
  c.must_be("offsets size", offsets.size, map.rows + 1).strided("map", map);
  if (!c.result().ok()) return c.result();
  offset_t n = 0;
  for (offset_t t = 0; t < map.rows; ++t) {
    offsets[t] = n;
    n += choices_in(map.middle_rows(t, 1));
  }
  offsets[map.rows] = n;
  if (!c.must_be("ids size", ids.size, n).result().ok()) return c.result();
  return x.run(map.rows, choices_of_map_row<Id>{map, offsets, ids}, {});
}
template <executor X, std::integral Id>
  requires runs_on_host<X>
void choices_of_map(X const& x, matrix_view<std::uint8_t const> map, row_view<offset_t> offsets, row_view<Id> ids) {
  throw_if_bad(try_choices_of_map(x, map, offsets, ids));
}

}  // namespace moeroute::inline MOEROUTE_ABI
