// A loss of the logits given scores: what it would need is gone.
// expect: this term is made of logits: give from_logits
#include <moeroute/loss/observe.hpp>
#include <moeroute/loss/z_loss.hpp>

using namespace moeroute;

#if defined(FAIL)
status use(from_scores<float> const& given, row_view<wide_sum> sums, workspace w) {
#else
status use(from_logits<float> const& given, row_view<wide_sum> sums, workspace w) {
#endif
  return try_observe(serial{}, z_loss{}, given, matrix_view<index_t const>{}, sums, w);
}
