// Decides what weights become once choices were dropped: 0 for the dropped ones, and the others as they are,
// or divided by their sum.
//
//   v_j = w_j / max(sum of kept w, eps)    over the kept choices      DeepSpeed, torchscale "after"
//   v_j = w_j                              for kept choices           Megatron-LM, Tutel, flaxformer
//   d_w_j = (d_j - sum_i d_i v_i) / sum    or d_j / eps where the sum was below eps
#pragma once

#include <moeroute/plan/move_rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct kept_weights {
  bool renormalize = false;
  double eps = 0x1p-23;  // least denominator
};

// A choice counts as kept if it has a row or is an identity expert.
MOEROUTE_HD constexpr bool is_kept(offset_t slot) { return slot >= 0 || slot == identity_slot; }

template <element W, element O, std::signed_integral Slot>
struct keep_weights_row {
  using V = detail::widest_t<W, O>;
  kept_weights rule;
  plan_view<Slot> plan;
  matrix_view<W const> weights;  // tokens x k
  matrix_view<O> out;            // tokens x k; may be the weights themselves

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (g.rank() == 0) {
      offset_t const first = plan.choices.first(t), n = plan.choices.last(t) - first;
      W const* const w = values_of(weights, plan.choices, t);
      O* const v = values_of(out, plan.choices, t);
      V sum = 0;
      for (offset_t j = 0; j < n; ++j)
        if (is_kept(plan.slot_of_choice[first + j])) sum += detail::widen<V>(w[j]);
      V const least = static_cast<V>(rule.eps), divisor = !rule.renormalize ? V(1) : sum > least ? sum : least;
      for (offset_t j = 0; j < n; ++j)
        v[j] = store<O>(is_kept(plan.slot_of_choice[first + j]) ? detail::widen<V>(w[j]) / divisor : V(0));
    }
    g.sync();
  }
};

template <element W, element D, std::signed_integral Slot>
struct keep_weights_row_backward {
  using V = detail::widest_t<W, D>;
  kept_weights rule;
  plan_view<Slot> plan;
  matrix_view<W const> weights;  // tokens x k, as they came in
  matrix_view<D> d;              // tokens x k: gradient of the result in, of the weights out

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (g.rank() == 0) {
      offset_t const first = plan.choices.first(t), n = plan.choices.last(t) - first;
      W const* const w = values_of(weights, plan.choices, t);
      D* const grad = values_of(d, plan.choices, t);
      V sum = 0, dot = 0;
      for (offset_t j = 0; j < n; ++j)
        if (is_kept(plan.slot_of_choice[first + j])) {
          sum += detail::widen<V>(w[j]);
          dot = math::fma(detail::widen<V>(w[j]), detail::widen<V>(grad[j]), dot);
        }
      V const least = static_cast<V>(rule.eps), divisor = !rule.renormalize ? V(1) : sum > least ? sum : least;
      V const mean = rule.renormalize && sum > least ? dot / sum : V(0);
      for (offset_t j = 0; j < n; ++j)
        grad[j] =
            store<D>(is_kept(plan.slot_of_choice[first + j]) ? (detail::widen<V>(grad[j]) - mean) / divisor : V(0));
    }
    g.sync();
  }
};

// Weights after the plan's drops; `out` may be `weights`.
template <executor X, std::signed_integral Slot, class W, element O>
status try_keep_weights(X const& x, kept_weights const& rule, plan_view<Slot> const& plan, matrix_view<W> weights,
                        matrix_view<O> out) noexcept {
  checks c;
  detail::check_plan_in_use(x, c, plan);
  fits_choices(c, "weights rows", "weights columns", matrix_view<W const>(weights), plan.choices);
  fits_choices(c, "out rows", "out columns", matrix_view<O const>(out), plan.choices);
  if (!c.result().ok()) return c.result();
  return x.run(plan.choices.tokens, keep_weights_row<std::remove_const_t<W>, O, Slot>{rule, plan, weights, out}, {});
}
// Turns the gradient of the kept weights into that of the weights, in place.
template <executor X, std::signed_integral Slot, class W, element D>
status try_keep_weights_backward(X const& x, kept_weights const& rule, plan_view<Slot> const& plan,
                                 matrix_view<W> weights, matrix_view<D> d) noexcept {
  checks c;
  detail::check_plan_in_use(x, c, plan);
  fits_choices(c, "weights rows", "weights columns", matrix_view<W const>(weights), plan.choices);
  fits_choices(c, "d rows", "d columns", matrix_view<D const>(d), plan.choices);
  if (!c.result().ok()) return c.result();
  return x.run(plan.choices.tokens, keep_weights_row_backward<std::remove_const_t<W>, D, Slot>{rule, plan, weights, d},
               {});
}
template <executor X, std::signed_integral Slot, class W, element O>
void keep_weights(X const& x, kept_weights const& rule, plan_view<Slot> const& plan, matrix_view<W> weights,
                  matrix_view<O> out) {
  throw_if_bad(try_keep_weights(x, rule, plan, weights, out));
}
template <executor X, std::signed_integral Slot, class W, element D>
void keep_weights_backward(X const& x, kept_weights const& rule, plan_view<Slot> const& plan, matrix_view<W> weights,
                           matrix_view<D> d) {
  throw_if_bad(try_keep_weights_backward(x, rule, plan, weights, d));
}

}  // namespace moeroute::inline MOEROUTE_ABI
