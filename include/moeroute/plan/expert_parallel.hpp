// Decides how choices of experts become choices of what a rank owns: ranges of local experts, and maps from
// logical experts to physical places with replicas.
//
//   local      id - first if first <= id < last, else no_expert
//   physical   replica i of logical expert e, i = hash(seed, token name, e) mod replicas of e, or the
//              expert's choices in turn: i = (place in its queue) mod replicas of e
// Both are deterministic. The first depends on the token alone; the second evens replicas out to +-1.
#pragma once

#include <moeroute/core/philox.hpp>
#include <moeroute/plan/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct expert_range {
  index_t first = 0;
  index_t last = 0;
  MOEROUTE_HD constexpr index_t size() const { return last - first; }
  friend constexpr bool operator==(expert_range, expert_range) = default;
};
// The experts of a rank when ranks own runs of experts whose sizes differ by at most one.
MOEROUTE_HD constexpr expert_range experts_of_rank(index_t experts, index_t ranks, index_t rank) {
  index_t const base = experts / ranks, extra = experts % ranks;
  index_t const first = rank * base + (rank < extra ? rank : extra);
  return {first, first + base + (rank < extra ? 1 : 0)};
}
// The rank of an expert in that division.
MOEROUTE_HD constexpr index_t rank_of_expert(index_t experts, index_t ranks, index_t expert) {
  index_t const base = experts / ranks, extra = experts % ranks, large = extra * (base + 1);
  return expert < large ? expert / (base + 1) : extra + (expert - large) / base;
}

// Where the replicas of logical experts are. physical: all places by logical expert, then ascending.
struct expert_map_view {
  row_view<index_t const> offsets{};   // logical + 1
  row_view<index_t const> physical{};  // places in use
  MOEROUTE_HD constexpr index_t replicas(index_t e) const { return offsets[e + 1] - offsets[e]; }
};

enum class replica_rule : std::uint8_t { hashed, in_turn };

namespace detail {

template <std::integral Id, std::integral To>
struct local_row {
  choices_view<Id> in;
  expert_range mine;
  matrix_view<To> out;

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    choice_shape const shape = in.shape();
    Id const* const id = values_of(in.ids, shape, t);
    To* const to = values_of(out, shape, t);
    for (offset_t j = g.rank(); j < shape.last(t) - shape.first(t); j += g.size()) {
      bool const here = id[j] != no_expert_of<Id> && in.is_valid(t) && static_cast<std::int64_t>(id[j]) >= mine.first &&
                        static_cast<std::int64_t>(id[j]) < mine.last;
      to[j] = here ? static_cast<To>(static_cast<std::int64_t>(id[j]) - mine.first) : no_expert_of<To>;
    }
    g.sync();
  }
};

template <std::integral Id, std::integral To, std::signed_integral Slot>
struct physical_row {
  choices_view<Id> in;
  expert_map_view map;
  replica_rule rule;
  draws random;
  row_view<offset_t const> token;
  row_view<Slot const> rank_of_choice;
  matrix_view<To> out;

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    choice_shape const shape = in.shape();
    Id const* const id = values_of(in.ids, shape, t);
    To* const to = values_of(out, shape, t);
    auto const logical = static_cast<std::uint64_t>(map.offsets.size - 1);
    for (offset_t j = g.rank(); j < shape.last(t) - shape.first(t); j += g.size()) {
      bool const known = id[j] != no_expert_of<Id> && in.is_valid(t) && static_cast<std::uint64_t>(id[j]) < logical;
      if (!known) {
        to[j] = no_expert_of<To>;
        continue;
      }
      index_t const e = static_cast<index_t>(id[j]), n = map.replicas(e);
      offset_t replica = 0;
      if (rule == replica_rule::in_turn) {
        offset_t const place = rank_of_choice[shape.first(t) + j];
        replica = place < 0 ? 0 : place % n;
      } else if (n > 1) {
        std::uint64_t const bits = random.bits(token.empty() ? t : token[t], e);
        replica = static_cast<offset_t>(bits * static_cast<std::uint64_t>(n) >> 32);
      }
      to[j] = static_cast<To>(map.physical[map.offsets[e] + replica]);
    }
    g.sync();
  }
};

// The first id that is neither no_expert nor an expert; read where the host can.
template <executor X, std::integral Id>
status check_experts(X const&, choices_view<Id> const& in, offset_t experts) {
  if constexpr (runs_on_host<X>) {
    choice_shape const shape = in.shape();
    for (offset_t t = 0; t < shape.tokens; ++t)
      for (offset_t j = 0; in.is_valid(t) && j < shape.last(t) - shape.first(t); ++j)
        if (Id const id = values_of(in.ids, shape, t)[j];
            id != no_expert_of<Id> && static_cast<std::uint64_t>(id) >= static_cast<std::uint64_t>(experts))
          return {errc::bad_value, "choices.ids (an id that is not no_expert)", "must be at least 0 and below",
                  static_cast<offset_t>(id), experts};
  }
  return {};
}

}  // namespace detail

// ---- local experts -----------------------------------------------------------------------------------------

// `out` may be the ids themselves. Foreign experts, padding and the sentinel become no_expert.
template <executor X, std::integral Id, std::integral To>
status try_local_choices(X const& x, choices_view<Id> const& in, expert_range mine, matrix_view<To> out) noexcept {
  checks c;
  c.at_least("range.first", mine.first, 0).at_least("range.last", mine.last, mine.first);
  c.must_be("out rows", out.rows, in.ids.rows).must_be("out columns", out.cols, in.ids.cols).strided("out", out);
  c.strided("choices.ids", in.ids).empty_or("choices.valid size", in.valid, in.shape().tokens);
  if (!c.result().ok()) return c.result();
  return x.run(in.shape().tokens, detail::local_row<Id, To>{in, mine, out}, {});
}
template <executor X, std::integral Id, std::integral To>
void local_choices(X const& x, choices_view<Id> const& in, expert_range mine, matrix_view<To> out) {
  throw_if_bad(try_local_choices(x, in, mine, out));
}

// ---- logical and physical experts ----------------------------------------------------------------------------

// Turns logical_of_physical (an expert for each place, or no_expert) into the map of replicas, and checks that
// it is a cover: every logical expert has a place, no id is out of range and, if places_per_rank is given, no
// rank holds an expert twice. offsets: logical + 1; physical: as many as places.
inline status try_make_expert_map(row_view<index_t const> logical_of_physical, index_t logical,
                                  row_view<index_t> offsets, row_view<index_t> physical,
                                  index_t places_per_rank = 0) noexcept {
  offset_t const places = logical_of_physical.size;
  checks c;
  c.at_least("logical experts", logical, 1).must_be("offsets size", offsets.size, offset_t{logical} + 1);
  c.at_least("physical size", physical.size, places, errc::too_small);
  if (places_per_rank != 0) c.divides("places_per_rank", places_per_rank, places);
  for (offset_t p = 0; p < places && c.result().ok(); ++p) {
    index_t const e = logical_of_physical[p];
    if (e == no_expert) continue;
    c.at_least("logical_of_physical", e, 0).at_most("logical_of_physical", e, logical - 1);
    for (offset_t q = places_per_rank == 0 ? p : p / places_per_rank * places_per_rank; q < p; ++q)
      if (logical_of_physical[q] == e) c.at_most("places of a logical expert on one rank", 2, 1);
  }
  if (!c.result().ok()) return c.result();
  for (index_t& o : offsets) o = 0;
  for (index_t const e : logical_of_physical)
    if (e != no_expert) ++offsets[e + 1];
  for (index_t e = 0; e < logical; ++e)
    if (offsets[e + 1] == 0)
      return {errc::bad_value, "expert_map (a logical expert without a place): the first such", "must be at least", e,
              logical};
  for (index_t e = 0; e < logical; ++e) offsets[e + 1] += offsets[e];
  for (offset_t p = places - 1; p >= 0; --p)  // from behind: offsets[e + 1] ends where offsets[e + 1] began
    if (index_t const e = logical_of_physical[p]; e != no_expert) physical[--offsets[e + 1]] = static_cast<index_t>(p);
  for (index_t e = 0; e < logical; ++e) offsets[e] = offsets[e + 1];
  index_t used = 0;
  for (index_t const e : logical_of_physical) used += e != no_expert;
  offsets[logical] = used;
  return {};
}
inline void make_expert_map(row_view<index_t const> logical_of_physical, index_t logical, row_view<index_t> offsets,
                            row_view<index_t> physical, index_t places_per_rank = 0) {
  throw_if_bad(try_make_expert_map(logical_of_physical, logical, offsets, physical, places_per_rank));
}

// Hashed replicas: `token` names the tokens for the hash (default: the row number).
template <executor X, std::integral Id, std::integral To>
status try_physical_choices(X const& x, choices_view<Id> const& in, expert_map_view const& map, draws const& random,
                            matrix_view<To> out, row_view<offset_t const> token = {}) noexcept {
  checks c;
  c.at_least("map.offsets size", map.offsets.size, 2).empty_or("token size", token, in.shape().tokens);
  c.must_be("out rows", out.rows, in.ids.rows).must_be("out columns", out.cols, in.ids.cols).strided("out", out);
  c.strided("choices.ids", in.ids).empty_or("choices.valid size", in.valid, in.shape().tokens);
  if (c.result().ok()) c.also(detail::check_experts(x, in, map.offsets.size - 1));
  if (!c.result().ok()) return c.result();
  detail::physical_row<Id, To, offset_t> const body{in, map, replica_rule::hashed, random, token, {}, out};
  return x.run(in.shape().tokens, body, {});
}
// Replicas in turn: `logical` is a plan of the same choices with rank_of_choice.
template <executor X, std::integral Id, std::integral To, std::signed_integral Slot>
status try_physical_choices(X const& x, choices_view<Id> const& in, expert_map_view const& map,
                            plan_view<Slot> const& logical, matrix_view<To> out) noexcept {
  checks c;
  c.at_least("map.offsets size", map.offsets.size, 2);
  c.must_be("out rows", out.rows, in.ids.rows).must_be("out columns", out.cols, in.ids.cols).strided("out", out);
  c.strided("choices.ids", in.ids).empty_or("choices.valid size", in.valid, in.shape().tokens);
  c.must_be("plan.rank_of_choice size", logical.rank_of_choice.size, logical.slot_of_choice.size, errc::missing);
  if constexpr (runs_on_host<X>) c.must_be("plan.rank_of_choice size", logical.rank_of_choice.size, in.shape().size());
  if (c.result().ok()) c.also(detail::check_experts(x, in, map.offsets.size - 1));
  if (!c.result().ok()) return c.result();
  detail::physical_row<Id, To, Slot> const body{in, map, replica_rule::in_turn, {}, {}, logical.rank_of_choice, out};
  return x.run(in.shape().tokens, body, {});
}
template <executor X, std::integral Id, std::integral To>
void physical_choices(X const& x, choices_view<Id> const& in, expert_map_view const& map, draws const& random,
                      matrix_view<To> out, row_view<offset_t const> token = {}) {
  throw_if_bad(try_physical_choices(x, in, map, random, out, token));
}
template <executor X, std::integral Id, std::integral To, std::signed_integral Slot>
void physical_choices(X const& x, choices_view<Id> const& in, expert_map_view const& map,
                      plan_view<Slot> const& logical, matrix_view<To> out) {
  throw_if_bad(try_physical_choices(x, in, map, logical, out));
}

}  // namespace moeroute::inline MOEROUTE_ABI
