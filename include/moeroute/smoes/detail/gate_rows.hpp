// Decides how a loss on gate probabilities reaches the logits: p is the whole softmax, or, for sigmoid gates,
// the scores divided by their sum (S6: normalize p first).
//
//   softmax   p = s,            d z_e = p_e (a_e - sum_e' p_e' a_e')
//   sigmoid   p = s / sum s,    d z_e = p_e (1 - s_e) (a_e - sum_e' p_e' a_e')
//
// where s are the stored scores and a = d loss / d p.
#pragma once

#include <moeroute/core/tree_sum.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class gate_form : std::uint8_t { softmax, sigmoid };

namespace detail {

// p_e = s_e * share.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class T, class G>
MOEROUTE_HD V share_of_total(gate_form gate, G const& g, row_view<T const> s) {
  if (gate == gate_form::softmax) return V(1);
  V const total = tree_sum<V>(g, s.size, [&](offset_t e) { return load(s[e]); });
  return total > V(0) ? V(1) / total : V(0);
}

MOEROUTE_EXEC_CHECK_DISABLE
template <class G, class T, class V, class D, class A>
MOEROUTE_HD void add_gate_gradient(gate_form gate, G const& g, row_view<T const> s, V share, V dot, row_view<D> d,
                                   bool accumulate, A const& a) {
  T const* const from = s.data;
  D* const to = d.data;
  offset_t const n = s.size;
  if (gate == gate_form::softmax && accumulate) {
    for (offset_t e = g.rank(); e < n; e += g.size())
      to[e] = static_cast<D>(static_cast<V>(to[e]) + math::mul(load(from[e]), a(e) - dot));
  } else if (gate == gate_form::softmax) {
    for (offset_t e = g.rank(); e < n; e += g.size()) to[e] = static_cast<D>(math::mul(load(from[e]), a(e) - dot));
  } else {
    for (offset_t e = g.rank(); e < n; e += g.size()) {
      V const x = load(from[e]), dz = math::mul(math::mul(x, share) * (V(1) - x), a(e) - dot);
      to[e] = static_cast<D>(accumulate ? static_cast<V>(to[e]) + dz : dz);
    }
  }
  g.sync();
}

template <class G, class D>
MOEROUTE_HD void no_gradient(G const& g, row_view<D> d, bool accumulate) {
  if (!accumulate)
    for (offset_t e = g.rank(); e < d.size; e += g.size()) d[e] = D(0);
  g.sync();
}

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
