// Decides the order of a token's choices by their final weight: descending, equal weights as they were, NaN
// and places without an expert last. FlashInfer numbers the slots of its maps in this order, which differs
// from the order of selection where a bias steers it.
#pragma once

#include <moeroute/core/order.hpp>
#include <moeroute/plan/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <std::integral Id, element W>
struct order_by_weight_row {
  matrix_view<Id> ids;     // tokens x k
  matrix_view<W> weights;  // tokens x k

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (g.rank() == 0) {
      row_view<Id> const id = ids[t];
      row_view<W> const w = weights[t];
      for (offset_t i = 1; i < id.size; ++i) {  // insertion: k is small
        Id const e = id[i];
        W const x = w[i];
        offset_t j = i;
        for (; j > 0 && before(e, x, id[j - 1], w[j - 1]); --j) id[j] = id[j - 1], w[j] = w[j - 1];
        id[j] = e, w[j] = x;
      }
    }
    g.sync();
  }

 private:
  MOEROUTE_HD static bool before(Id e, W x, Id other, W y) {
    bool const here = e != no_expert_of<Id>, there = other != no_expert_of<Id>;
    if (here != there) return here;
    return here && order_key(load(x)) > order_key(load(y));
  }
};

template <executor X, std::integral Id, element W>
status try_order_by_weight(X const& x, matrix_view<Id> ids, matrix_view<W> weights) noexcept {
  checks c;
  c.must_be("weights rows", weights.rows, ids.rows).must_be("weights columns", weights.cols, ids.cols);
  if (!c.strided("ids", ids).strided("weights", weights).result().ok()) return c.result();
  return x.run(ids.rows, order_by_weight_row<Id, W>{ids, weights}, {});
}
template <executor X, std::integral Id, element W>
void order_by_weight(X const& x, matrix_view<Id> ids, matrix_view<W> weights) {
  throw_if_bad(try_order_by_weight(x, ids, weights));
}

}  // namespace moeroute::inline MOEROUTE_ABI
