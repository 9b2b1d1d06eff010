// Decides how choices are written in other forms, each a bijection with the others: ids, a 0/1 byte for every
// (token, expert), the same in bits (least significant first), and CSR (choices_of_map, routing_map.hpp).
//
//   byte map   map[t][e] = 1 if token t chose e
//   bit map    bit e % 8 of byte e / 8 of row t
//   ids        ascending, then no_expert; where order matters, ids alone carry it
// A map cannot hold a choice twice: writing one from ids with duplicates is an error.
#pragma once

#include <moeroute/plan/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

MOEROUTE_HD constexpr offset_t bit_map_bytes(offset_t experts) { return (experts + 7) / 8; }

namespace detail {

// Bytes or bits: how entry (t, e) is read and written. Lanes own whole bytes.
template <bool Bits, class B>
struct map_rows {
  matrix_view<B> map;
  offset_t experts;

  MOEROUTE_HD bool get(offset_t t, offset_t e) const {
    if constexpr (Bits) return (map[t][e / 8] >> (e % 8) & 1) != 0;
    else return map[t][e] != 0;
  }
};

template <bool Bits, std::integral Id>
struct ids_to_map {
  choices_view<Id> in;
  map_rows<Bits, std::uint8_t> out;
  std::uint8_t* wrong;  // tokens: 1 where an id is out of range or twice there

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    choice_shape const shape = in.shape();
    Id const* const id = values_of(in.ids, shape, t);
    offset_t const n = in.is_valid(t) ? shape.last(t) - shape.first(t) : 0;
    row_view<std::uint8_t> const row = out.map[t];
    for (offset_t b = g.rank(); b < row.size; b += g.size()) row[b] = 0;
    g.sync();
    bool bad = false;
    for (offset_t j = 0; j < n; ++j) {
      if (id[j] == no_expert_of<Id>) continue;
      if (static_cast<std::uint64_t>(id[j]) >= static_cast<std::uint64_t>(out.experts)) {
        bad = true;
        continue;
      }
      auto const e = static_cast<offset_t>(id[j]);
      offset_t const byte = Bits ? e / 8 : e;
      if (byte % g.size() != g.rank()) continue;
      bad = bad || out.get(t, e);
      row[byte] = static_cast<std::uint8_t>(row[byte] | (Bits ? 1u << (e % 8) : 1u));
    }
    bad = g.any(bad);
    if (g.rank() == 0) wrong[t] = bad;
    g.sync();
  }
};

template <bool Bits, std::integral Id>
struct map_to_ids {
  map_rows<Bits, std::uint8_t const> in;
  matrix_view<Id> ids;
  std::uint8_t* wrong;  // tokens: 1 where a row has more experts than columns

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (g.rank() == 0) {
      offset_t j = 0;
      for (offset_t e = 0; e < in.experts; ++e) {
        if (!in.get(t, e)) continue;
        if (j < ids.cols) ids[t][j] = static_cast<Id>(e);
        ++j;
      }
      wrong[t] = j > ids.cols;
      for (; j < ids.cols; ++j) ids[t][j] = no_expert_of<Id>;
    }
    g.sync();
  }
};

// Bytes to bits and back: a row is a token, a lane owns whole bytes of the result.
struct bytes_to_bits {
  matrix_view<std::uint8_t const> bytes;
  matrix_view<std::uint8_t> bits;

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    for (offset_t b = g.rank(); b < bits.cols; b += g.size()) {
      unsigned word = 0;
      for (offset_t i = 0; i < 8 && 8 * b + i < bytes.cols; ++i) word |= (bytes[t][8 * b + i] != 0 ? 1u : 0u) << i;
      bits[t][b] = static_cast<std::uint8_t>(word);
    }
    g.sync();
  }
};
struct bits_to_bytes {
  matrix_view<std::uint8_t const> bits;
  matrix_view<std::uint8_t> bytes;

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    for (offset_t e = g.rank(); e < bytes.cols; e += g.size())
      bytes[t][e] = static_cast<std::uint8_t>(bits[t][e / 8] >> (e % 8) & 1);
    g.sync();
  }
};

template <class M>
void check_map(checks& c, char const* rows, char const* columns, M const& m, offset_t tokens, offset_t cols) {
  c.must_be(rows, m.rows, tokens).must_be(columns, m.cols, cols).strided(columns, m);
}
inline status report_wrong(std::uint8_t const* wrong, offset_t tokens, char const* what) {
  for (offset_t t = 0; t < tokens; ++t)
    if (wrong[t] != 0) return {errc::bad_value, what, "must be at least", t, tokens};
  return {};
}

template <bool Bits, executor X, std::integral Id>
status map_of_choices(X const& x, choices_view<Id> const& in, index_t experts, matrix_view<std::uint8_t> map,
                      workspace w) {
  checks c;
  choice_shape const shape = in.shape();
  c.at_least("experts", experts, 1).empty_or("choices.valid size", in.valid, shape.tokens);
  if (!shape.ragged()) c.strided("choices.ids", in.ids);
  check_map(c, "map rows", "map columns", map, shape.tokens, Bits ? bit_map_bytes(experts) : experts);
  c.also(workspace_ok(w, x.workspace_bytes(0) + workspace_alignment + aligned_bytes<std::uint8_t>(shape.tokens)));
  if (!c.result().ok()) return c.result();
  scratch mine = aligned_scratch(w);
  auto* const wrong = mine.template take<std::uint8_t>(shape.tokens);
  if (status const s =
          x.run(shape.tokens, ids_to_map<Bits, Id>{in, {map, experts}, wrong}, {mine.at, w.data + w.bytes - mine.at});
      !s.ok())
    return s;
  return report_wrong(wrong, shape.tokens, "choices.ids (out of range, or twice in a row): the first such row");
}
template <bool Bits, executor X, std::integral Id>
status choices_of_map_rows(X const& x, matrix_view<std::uint8_t const> map, index_t experts, matrix_view<Id> ids,
                           workspace w) {
  checks c;
  c.at_least("experts", experts, 1).strided("ids", ids);
  check_map(c, "map rows", "map columns", map, ids.rows, Bits ? bit_map_bytes(experts) : experts);
  auto const most = static_cast<std::uint64_t>(largest<Id>) + (std::is_signed_v<Id> ? 1 : 0);
  if (static_cast<std::uint64_t>(experts) > most) c.must_be("experts that this id type holds (0: no, 1: yes)", 0, 1);
  c.also(workspace_ok(w, x.workspace_bytes(0) + workspace_alignment + aligned_bytes<std::uint8_t>(ids.rows)));
  if (!c.result().ok()) return c.result();
  scratch mine = aligned_scratch(w);
  auto* const wrong = mine.template take<std::uint8_t>(ids.rows);
  if (status const s =
          x.run(ids.rows, map_to_ids<Bits, Id>{{map, experts}, ids, wrong}, {mine.at, w.data + w.bytes - mine.at});
      !s.ok())
    return s;
  return report_wrong(wrong, ids.rows, "map (more experts in a row than ids have columns): the first such row");
}

}  // namespace detail

// Bytes of workspace the four conversions with ids need: a flag a token.
template <executor X>
offset_t conversion_workspace_bytes(X const& x, offset_t tokens) {
  return x.workspace_bytes(0) + workspace_alignment + aligned_bytes<std::uint8_t>(tokens);
}

template <executor X, std::integral Id>
  requires runs_on_host<X>
status try_byte_map_of_choices(X const& x, choices_view<Id> const& in, index_t experts, matrix_view<std::uint8_t> map,
                               workspace w) noexcept {
  return detail::map_of_choices<false>(x, in, experts, map, w);
}
template <executor X, std::integral Id>
  requires runs_on_host<X>
status try_bit_map_of_choices(X const& x, choices_view<Id> const& in, index_t experts, matrix_view<std::uint8_t> map,
                              workspace w) noexcept {
  return detail::map_of_choices<true>(x, in, experts, map, w);
}
// tokens x k, ascending, padded with no_expert; a row with more than k experts is an error.
template <executor X, std::integral Id>
  requires runs_on_host<X>
status try_ids_of_byte_map(X const& x, matrix_view<std::uint8_t const> map, index_t experts, matrix_view<Id> ids,
                           workspace w) noexcept {
  return detail::choices_of_map_rows<false>(x, map, experts, ids, w);
}
template <executor X, std::integral Id>
  requires runs_on_host<X>
status try_ids_of_bit_map(X const& x, matrix_view<std::uint8_t const> map, index_t experts, matrix_view<Id> ids,
                          workspace w) noexcept {
  return detail::choices_of_map_rows<true>(x, map, experts, ids, w);
}
template <executor X>
status try_bits_of_bytes(X const& x, matrix_view<std::uint8_t const> bytes, matrix_view<std::uint8_t> bits) noexcept {
  checks c;
  detail::check_map(c, "bits rows", "bits columns", bits, bytes.rows, bit_map_bytes(bytes.cols));
  if (!c.strided("bytes", bytes).result().ok()) return c.result();
  return x.run(bytes.rows, detail::bytes_to_bits{bytes, bits}, {});
}
template <executor X>
status try_bytes_of_bits(X const& x, matrix_view<std::uint8_t const> bits, matrix_view<std::uint8_t> bytes) noexcept {
  checks c;
  detail::check_map(c, "bits rows", "bits columns", bits, bytes.rows, bit_map_bytes(bytes.cols));
  if (!c.strided("bytes", bytes).result().ok()) return c.result();
  return x.run(bytes.rows, detail::bits_to_bytes{bits, bytes}, {});
}

template <executor X, std::integral Id>
void byte_map_of_choices(X const& x, choices_view<Id> const& in, index_t experts, matrix_view<std::uint8_t> map,
                         workspace w) {
  throw_if_bad(try_byte_map_of_choices(x, in, experts, map, w));
}
template <executor X, std::integral Id>
void bit_map_of_choices(X const& x, choices_view<Id> const& in, index_t experts, matrix_view<std::uint8_t> map,
                        workspace w) {
  throw_if_bad(try_bit_map_of_choices(x, in, experts, map, w));
}
template <executor X, std::integral Id>
void ids_of_byte_map(X const& x, matrix_view<std::uint8_t const> map, index_t experts, matrix_view<Id> ids,
                     workspace w) {
  throw_if_bad(try_ids_of_byte_map(x, map, experts, ids, w));
}
template <executor X, std::integral Id>
void ids_of_bit_map(X const& x, matrix_view<std::uint8_t const> map, index_t experts, matrix_view<Id> ids,
                    workspace w) {
  throw_if_bad(try_ids_of_bit_map(x, map, experts, ids, w));
}
template <executor X>
void bits_of_bytes(X const& x, matrix_view<std::uint8_t const> bytes, matrix_view<std::uint8_t> bits) {
  throw_if_bad(try_bits_of_bytes(x, bytes, bits));
}
template <executor X>
void bytes_of_bits(X const& x, matrix_view<std::uint8_t const> bits, matrix_view<std::uint8_t> bytes) {
  throw_if_bad(try_bytes_of_bits(x, bits, bytes));
}

}  // namespace moeroute::inline MOEROUTE_ABI
