// A bare matrix in a loss: logits or probabilities? The type must say.
// expect: try_observe
#include <moeroute/loss/observe.hpp>
#include <moeroute/loss/switch_balance.hpp>

using namespace moeroute;

status use(matrix_view<float const> given, matrix_view<index_t const> ids, row_view<wide_sum> sums, workspace w) {
#if defined(FAIL)
  return try_observe(serial{}, switch_balance{}, given, ids, sums, w);
#else
  return try_observe(serial{}, switch_balance{}, from_logits<float>{given}, ids, sums, w);
#endif
}
