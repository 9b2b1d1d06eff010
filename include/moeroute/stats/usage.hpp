// Decides how choices are counted against something else than the expert alone: the other experts of the
// token, its modality (or task, domain, position bucket: any label), an earlier routing. Integers, added to
// what is there; padding, no_expert and ids or labels out of range count nowhere.
//
//   co-activation     C_ij = tokens that chose i and j; C_ii = n_i           rows / n_i: FLAME-MoE
//   usage by label    U_me = choices of e by tokens with label m             mutual information of (m, e)
//   overlap           choices of a token found in its earlier routing        saturation = overlap / slots
//                                                                            change rate = 1 - saturation
#pragma once

#include <moeroute/stats/counts.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class Id>
struct co_activation_token {
  matrix_view<Id const> ids;
  row_view<std::uint8_t const> valid;
  index_t experts;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, row_view<std::int64_t> counts, scratch) const {
    if (g.rank() != 0 || (!valid.empty() && valid[t] == 0)) return;
    row_view<Id const> const id = ids[t];
    for (offset_t i = 0; i < id.size; ++i)
      for (offset_t j = 0; j < id.size; ++j)
        if (names_expert(id[i], experts) && names_expert(id[j], experts) && (i == j || id[i] != id[j]))
          ++counts[static_cast<offset_t>(id[i]) * experts + static_cast<offset_t>(id[j])];
  }
};
template <class Id>
struct usage_token {
  matrix_view<Id const> ids;
  row_view<index_t const> label;
  row_view<std::uint8_t const> valid;
  index_t labels, experts;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, row_view<std::int64_t> counts, scratch) const {
    if (g.rank() != 0 || (!valid.empty() && valid[t] == 0) || label[t] < 0 || label[t] >= labels) return;
    row_view<Id const> const id = ids[t];
    for (offset_t j = 0; j < id.size; ++j)
      if (names_expert(id[j], experts)) ++counts[offset_t{label[t]} * experts + static_cast<offset_t>(id[j])];
  }
};
template <class Id>
struct overlap_token {
  matrix_view<Id const> a, b;
  row_view<std::uint8_t const> valid;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, row_view<std::int64_t> counts, scratch) const {
    if (g.rank() != 0 || (!valid.empty() && valid[t] == 0)) return;
    for (offset_t i = 0; i < a.cols; ++i) {
      if (!names_expert(a[t][i], largest<offset_t>) || a[t][i] == no_expert_of<Id>) continue;
      ++counts[1];
      for (offset_t j = 0; j < b.cols; ++j)
        if (b[t][j] == a[t][i]) {
          ++counts[0];
          break;
        }
    }
  }
};

}  // namespace detail

// Bytes for any verb of this file; `numbers` the size of what it counts into.
template <executor X>
offset_t usage_workspace_bytes(X const& x, offset_t tokens, offset_t numbers) {
  return token_sums_workspace_bytes<std::int64_t>(x, tokens, numbers, 0);
}

template <executor X, class Id>
status try_count_co_activation(X const& x, matrix_view<Id> ids, row_view<std::uint8_t const> valid,
                               matrix_view<std::int64_t> counts, workspace w) noexcept {
  checks c;
  c.must_be("counts columns", counts.cols, counts.rows).must_be("counts row stride", counts.stride, counts.cols);
  c.empty_or("valid size", valid, ids.rows).strided("ids", ids);
  if (!c.result().ok()) return c.result();
  using I = std::remove_const_t<Id>;
  return try_sum_over_tokens<std::int64_t>(
      x, ids.rows, row_view<std::int64_t>(counts.data, counts.rows * counts.cols),
      detail::co_activation_token<I>{ids, valid, static_cast<index_t>(counts.cols)}, w);
}
// counts: labels x experts. For modality-by-expert usage, `label` is the modality of each token.
template <executor X, class Id>
status try_count_usage(X const& x, matrix_view<Id> ids, row_view<index_t const> label,
                       row_view<std::uint8_t const> valid, matrix_view<std::int64_t> counts, workspace w) noexcept {
  checks c;
  c.must_be("label size", label.size, ids.rows).must_be("counts row stride", counts.stride, counts.cols);
  c.empty_or("valid size", valid, ids.rows).strided("ids", ids);
  if (!c.result().ok()) return c.result();
  using I = std::remove_const_t<Id>;
  return try_sum_over_tokens<std::int64_t>(
      x, ids.rows, row_view<std::int64_t>(counts.data, counts.rows * counts.cols),
      detail::usage_token<I>{ids, label, valid, static_cast<index_t>(counts.rows), static_cast<index_t>(counts.cols)},
      w);
}
// counts[0] += choices of `now` also in `before`, counts[1] += choices of `now`.
template <executor X, class Id>
status try_count_overlap(X const& x, matrix_view<Id> now, matrix_view<Id> before, row_view<std::uint8_t const> valid,
                         row_view<std::int64_t> counts, workspace w) noexcept {
  checks c;
  c.must_be("before rows", before.rows, now.rows).must_be("counts size", counts.size, 2);
  c.empty_or("valid size", valid, now.rows).strided("now", now).strided("before", before);
  if (!c.result().ok()) return c.result();
  using I = std::remove_const_t<Id>;
  return try_sum_over_tokens<std::int64_t>(x, now.rows, counts, detail::overlap_token<I>{now, before, valid}, w);
}
template <executor X, class... A>
void count_co_activation(X const& x, A const&... a) {
  throw_if_bad(try_count_co_activation(x, a...));
}
template <executor X, class... A>
void count_usage(X const& x, A const&... a) {
  throw_if_bad(try_count_usage(x, a...));
}
template <executor X, class... A>
void count_overlap(X const& x, A const&... a) {
  throw_if_bad(try_count_overlap(x, a...));
}

// Router saturation (against the final checkpoint) or 1 - change rate (against the last one); 1 for no choices.
inline double saturation(row_view<std::int64_t const> overlap) {
  return overlap[1] > 0 ? static_cast<double>(overlap[0]) / static_cast<double>(overlap[1]) : 1;
}
// I(label; expert) in nats of a table of counts: 0 if experts ignore the label, at most ln(labels).
template <class Count>
double mutual_information(matrix_view<Count> counts) {
  double total = 0, sum = 0;
  for (offset_t m = 0; m < counts.rows; ++m)
    for (offset_t e = 0; e < counts.cols; ++e) total += static_cast<double>(counts[m][e]);
  if (!(total > 0)) return 0;
  for (offset_t m = 0; m < counts.rows; ++m) {
    double row = 0;
    for (offset_t e = 0; e < counts.cols; ++e) row += static_cast<double>(counts[m][e]);
    for (offset_t e = 0; e < counts.cols; ++e) {
      double column = 0;
      double const here = static_cast<double>(counts[m][e]);
      for (offset_t i = 0; i < counts.rows; ++i) column += static_cast<double>(counts[i][e]);
      if (here > 0) sum += math::mul(here / total, math::log(here * total / (row * column)));
    }
  }
  return sum > 0 ? sum : 0;
}

}  // namespace moeroute::inline MOEROUTE_ABI
