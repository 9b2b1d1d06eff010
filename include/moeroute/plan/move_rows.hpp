// Decides how rows are copied, weighed, summed and multiplied when they travel: lanes stripe the width, sums
// run in the order of their terms, in float (double if anything is double), and have the same bits for every
// lane group.
#pragma once

#include <moeroute/core/tree_sum.hpp>
#include <moeroute/plan/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class... T>
using widest_t = std::conditional_t<(std::same_as<std::remove_const_t<T>, double> || ...), double, float>;

// A number of type T, widened to the type sums are made in.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, element T>
MOEROUTE_HD constexpr V widen(T x) {
  return static_cast<V>(load(x));
}

// sum_i a[i] b[i], the same bits for every lane group.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, lane_group G, class A, class B>
MOEROUTE_HD V dot(G const& g, A const* a, B const* b, offset_t width) {
  return tree_fold<V>(g, width, [&](V sum, offset_t i) { return math::fma(widen<V>(a[i]), widen<V>(b[i]), sum); });
}

// to[d] = w * from[d]; a copy where nothing is weighed.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class O, class T, class G>
MOEROUTE_HD void copy_row(G const& g, T const* from, O* to, offset_t width) {
  if constexpr (std::same_as<T, O>)
    for (offset_t d = g.rank(); d < width; d += g.size()) to[d] = from[d];
  else
    for (offset_t d = g.rank(); d < width; d += g.size()) to[d] = store<O>(widen<V>(from[d]));
}
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class O, class T, class G>
MOEROUTE_HD void scale_row(G const& g, V w, T const* from, O* to, offset_t width) {
  for (offset_t d = g.rank(); d < width; d += g.size()) to[d] = store<O>(w * widen<V>(from[d]));
}

// to[d] = sum over the terms of w * row[d]; terms(visit) calls visit(row, w) for each, in order.
inline constexpr index_t tile_width = 64;  // columns of a sum that stay in registers, one lane
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class O, class G, class Terms>
MOEROUTE_HD void sum_rows(G const& g, O* to, offset_t width, Terms const& terms) {
  offset_t d = g.rank();
  if constexpr (is_serial<G>) {
    V sum[tile_width];
    for (; d + tile_width <= width; d += tile_width) {
      for (index_t i = 0; i < tile_width; ++i) sum[i] = 0;
      terms([&](auto const* row, V w) {
        for (index_t i = 0; i < tile_width; ++i) sum[i] = math::fma(w, widen<V>(row[d + i]), sum[i]);
      });
      for (index_t i = 0; i < tile_width; ++i) to[d + i] = store<O>(sum[i]);
    }
  }
  for (; d < width; d += g.size()) {
    V sum = 0;
    terms([&](auto const* row, V w) { sum = math::fma(w, widen<V>(row[d]), sum); });
    to[d] = store<O>(sum);
  }
}

}  // namespace detail

// ---- checks that permute and combine share ---------------------------------------------------------------

namespace detail {

// Grouped rows: as many as the plan uses (known on the host), and of the tokens' width.
template <executor X, std::signed_integral Slot, class O>
void check_rows(X const&, checks& c, char const* rows, char const* columns, plan_view<Slot> const& plan,
                matrix_view<O> const& m, offset_t width) {
  c.strided(columns, m).must_be(columns, m.cols, width);
  if constexpr (runs_on_host<X>)
    if (c.result().ok()) c.at_least(rows, m.rows, plan.offsets[plan.experts()], errc::too_small);
}
template <class T, std::signed_integral Slot>
void check_tokens(checks& c, char const* rows, char const* columns, plan_view<Slot> const& plan,
                  matrix_view<T> const& m, offset_t width) {
  c.must_be(rows, m.rows, plan.choices.tokens).must_be(columns, m.cols, width).strided(columns, m);
}
template <executor X, std::signed_integral Slot>
void check_plan_in_use(X const&, checks& c, plan_view<Slot> const& plan) {
  c.at_least("plan.offsets size", plan.offsets.size, 1, errc::missing);
  if constexpr (runs_on_host<X>)
    c.must_be("plan.slot_of_choice size", plan.slot_of_choice.size, plan.choices.size());
}
template <executor X, class W, std::signed_integral Slot>
void check_weights(X const&, checks& c, char const* rows, char const* columns, plan_view<Slot> const& plan,
                   matrix_view<W> const& m) {
  if (m.data == nullptr) return;
  if constexpr (runs_on_host<X>) fits_choices(c, rows, columns, m, plan.choices);
}

}  // namespace detail

// ---- padding rows ----------------------------------------------------------------------------------------------

// One expert: zeros in its padding rows.
template <element O, std::signed_integral Slot>
struct zero_padding_rows {
  plan_view<Slot> plan;
  matrix_view<O> grouped;

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t e, scratch) const {
    for (offset_t slot = plan.offsets[e]; slot < plan.offsets[e + 1]; ++slot)
      if (plan.token_of_slot[slot] < 0)
        for (offset_t d = g.rank(); d < grouped.cols; d += g.size()) grouped[slot][d] = store<O>(0.f);
    g.sync();
  }
};

// Zeros in the padding rows of every expert; needs plan.token_of_slot. permute does it by itself, but for
// row_range, whose caller does it once.
template <executor X, element O, std::signed_integral Slot>
status try_zero_padding(X const& x, plan_view<Slot> const& plan, matrix_view<O> grouped) noexcept {
  checks c;
  detail::check_plan_in_use(x, c, plan);
  detail::check_rows(x, c, "grouped rows", "grouped columns", plan, grouped, grouped.cols);
  if (!c.result().ok() || plan.token_of_slot.empty()) return c.result();
  return x.run(plan.experts(), zero_padding_rows<O, Slot>{plan, grouped}, {});
}

}  // namespace moeroute::inline MOEROUTE_ABI
