// Decides how many choices each expert got: integers end to end, added to what is there, so micro-batches,
// shards and ranks sum up exactly. Padding, no_expert and ids outside [0, experts) count nowhere.
#pragma once

#include <moeroute/stats/token_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class Id>
MOEROUTE_HD constexpr bool names_expert(Id id, offset_t experts) {
  if constexpr (std::is_signed_v<Id>) return id >= 0 && static_cast<offset_t>(id) < experts;
  else return static_cast<std::uint64_t>(id) < static_cast<std::uint64_t>(experts);
}

template <class Id>
struct count_token {
  matrix_view<Id const> ids;
  row_view<std::uint8_t const> valid;
  offset_t scratch_bytes() const { return 0; }

  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, row_view<std::int64_t> counts, scratch) const {
    if (g.rank() != 0 || (!valid.empty() && valid[t] == 0)) return;
    row_view<Id const> const id = ids[t];
    for (offset_t j = 0; j < id.size; ++j)
      if (names_expert(id[j], counts.size)) ++counts[static_cast<offset_t>(id[j])];
  }
};

}  // namespace detail

template <executor X>
offset_t count_choices_workspace_bytes(X const& x, offset_t tokens, index_t experts) {
  return token_sums_workspace_bytes<std::int64_t>(x, tokens, experts, 0);
}

// counts[e] += choices of e among the valid tokens.
template <executor X, class Id>
status try_count_choices(X const& x, matrix_view<Id> ids, row_view<std::uint8_t const> valid,
                         row_view<std::int64_t> counts, workspace w) noexcept {
  checks c;
  c.empty_or("valid size", valid, ids.rows).strided("ids", ids);
  if (!c.result().ok()) return c.result();
  using I = std::remove_const_t<Id>;
  return try_sum_over_tokens<std::int64_t>(x, ids.rows, counts, detail::count_token<I>{ids, valid}, w);
}
template <executor X, class Id>
void count_choices(X const& x, matrix_view<Id> ids, row_view<std::uint8_t const> valid, row_view<std::int64_t> counts,
                   workspace w) {
  throw_if_bad(try_count_choices(x, ids, valid, counts, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
