// Compiled and never linked: the functions that add products, each with unknown numbers. tests/checks/fused.py asks g++ which
// products it would fuse into a sum.
#include <moeroute/assign/balanced.hpp>
#include <moeroute/assign/capped_choice.hpp>
#include <moeroute/assign/sinkhorn.hpp>
#include <moeroute/assign/sparse_transport.hpp>
#include <moeroute/balance/threshold_warm_up.hpp>
#include <moeroute/estimate/argmax_frequency.hpp>
#include <moeroute/estimate/gumbel_softmax.hpp>
#include <moeroute/estimate/reinforce.hpp>
#include <moeroute/estimate/sparsemixer.hpp>
#include <moeroute/gate/sparse_projection.hpp>
#include <moeroute/loss/group_alignment.hpp>
#include <moeroute/loss/symmetric_kl.hpp>
#include <moeroute/moeroute.hpp>
#include <moeroute/presets_training.hpp>
#include <moeroute/residual_mix.hpp>
#include <moeroute/select/hash_tables.hpp>
#include <moeroute/select/identity_experts.hpp>
#include <moeroute/soft/hierarchical_backward.hpp>
#include <moeroute/soft/slot_logits.hpp>
#include <moeroute/soft/soft_moe.hpp>
#include <moeroute/stats/calibration.hpp>

using namespace moeroute;

template <class T>
T unknown();  // of no definition
void use(double);

template <class V>
struct numbers {  // what every verb takes
  matrix_view<V const> a = unknown<matrix_view<V const>>(), b = unknown<matrix_view<V const>>();
  matrix_view<V> out = unknown<matrix_view<V>>(), more = unknown<matrix_view<V>>();
  row_view<V> row = unknown<row_view<V>>();
  row_view<V const> x = unknown<row_view<V const>>();
  workspace w = unknown<workspace>();
};
matrix_view<std::int64_t const> const counts = unknown<matrix_view<std::int64_t const>>();
matrix_view<index_t const> const ids = unknown<matrix_view<index_t const>>();
row_view<index_t const> const labels = unknown<row_view<index_t const>>();
row_view<std::uint8_t const> const valid = unknown<row_view<std::uint8_t const>>();
row_view<wide_sum> const sums = unknown<row_view<wide_sum>>();

template <class V>
void soft() {
  numbers<V> const n;
  auto const how = unknown<hierarchical_soft>();
  soft_weights(serial{}, n.a, n.out, n.more, valid);
  soft_slots(serial{}, n.a, n.b, n.out);
  soft_combine(serial{}, n.a, n.b, n.out);
  soft_combine_backward(serial{}, n.a, n.b, n.a, n.out, n.more);
  soft_slots_backward(serial{}, n.a, n.b, n.a, n.out, n.more);
  compute_slot_logits(serial{}, unknown<slot_logits>(), n.a, n.b, n.out);
  slot_logits_backward(serial{}, unknown<slot_logits>(), n.a, n.b, n.a, n.b, n.out, n.more);
  try_group_means(serial{}, how, n.a, n.out);
  try_group_assignment(serial{}, how, n.a, n.b, n.out);
  try_group_slots(serial{}, how, n.a, n.b, n.out);
  try_group_combine(serial{}, how, n.a, n.b, n.out);
  try_group_combine_backward(serial{}, how, n.a, n.b, n.a, n.out, n.more);
  try_group_backward(serial{}, how, n.a, n.b, n.a, n.b, n.out, n.more, n.out);
  try_group_means_backward(serial{}, how, n.a, n.out);
}
template <class W, class V>
void gates() {
  numbers<V> const n;
  auto const by_angle = unknown<cosine_gate<W>>();
  by_angle(serial{}, n.a, n.out, n.w);
  by_angle.backward(serial{}, n.a, n.b, unknown<typename cosine_gate<W>::template gradient<V>>(), n.w);
  unknown<gru_gate<W>>()(serial{}, n.a, n.out, n.w);
  unknown<gru_gate<W>>().backward(serial{}, n.a, unknown<matrix_view<W const>>(), unknown<matrix_view<W const>>(),
                                  unknown<typename gru_gate<W>::gradient>(), n.w);
  unknown<sparse_projection>()(serial{}, n.a, n.out, n.w);
  unknown<sparse_projection>().backward(serial{}, n.a, n.out, n.w);
  rescale_rows(n.out, V(1.5));
}
template <class V>
void modalities() {  // SMoES
  numbers<V> const n;
  auto const term = unknown<inter_bin_term>();
  auto const batch = unknown<bin_batch<V>>();
  auto const state = unknown<gaussian_view<V>>();
  attention_score(serial{}, unknown<attention_layer<V>>(), n.a, n.out);
  gate_mass(serial{}, unknown<gate_form>(), n.a, valid, unknown<row_view<std::int64_t>>(), n.w);
  use(bin_balance_loss(serial{}, unknown<bin_balance>(), counts[0], counts[1], labels, n.row));
  bin_balance_backward(serial{}, unknown<bin_balance>(), n.a, valid, n.x, n.out);
  try_inter_bin(serial{}, term, batch, unknown<row_view<double>>(), unknown<row_view<std::uint8_t>>(),
                unknown<row_view<std::int64_t>>(), n.out, n.w);
  gaussian_moments(serial{}, unknown<gauss_weight>(), n.a, labels, unknown<modality_scores<V>>(), valid,
                   unknown<matrix_view<wide_sum>>(), n.w);
  update_gaussians(serial{}, unknown<gaussian_ema>(), unknown<matrix_view<wide_sum const>>(), state);
  gaussian_score(serial{}, unknown<gaussian_score_rule>(), n.a, state, labels, n.out, n.more, n.w);
  choice_counts(serial{}, count_weight::soft, ids, labels, unknown<modality_scores<V>>(), valid,
                unknown<matrix_view<std::int64_t>>(), n.w);
}
template <class V>
void estimates() {
  numbers<V> const n;
  auto const in = unknown<batch<V>>();
  auto const measure = unknown<route_measure>();
  try_reinforce(serial{}, n.a, labels, n.x, unknown<V>(), unknown<V>(), n.out, n.w);
  try_gumbel_softmax_sample(serial{}, unknown<gumbel_softmax>(), n.a, n.out, n.more);
  try_gumbel_softmax_backward(serial{}, unknown<gumbel_softmax>(), n.a, n.b, n.out);
  route_sparsemixer(serial{}, unknown<sparsemixer_v2>(), in, unknown<sparsemixer_view<V>>(), n.w);
  route_sparsemixer_backward(serial{}, unknown<sparsemixer_v2>(), in, ids, n.a, n.out, n.w);
  group_advantages(serial{}, unknown<group_advantage>(), n.x, unknown<segments>(), n.row);
  gate_entropy(serial{}, no_prior{}, measure, in, n.row, n.w, n.x, n.out);
  route_log_prob(serial{}, no_prior{}, measure, in, ids, n.row, n.w);
  route_log_prob_backward(serial{}, no_prior{}, measure, in, ids, n.x, n.out, n.w);
  policy_objective(serial{}, unknown<policy_surrogate>(), unknown<policy_batch<V>>(), unknown<policy_gradient<V>>());
}
template <class T, class V>
void losses() {
  auto const r = with_losses(
      unknown<router<no_gate, no_prior, sigmoid, no_bias, top_k<>, renormalize>>(),
      terms{unknown<switch_balance>(), unknown<z_loss>(), unknown<importance_cv>(), unknown<smooth_load_cv<V>>(),
            unknown<token_entropy>(), unknown<usage_entropy>(), unknown<balanced_l1>(), unknown<masked_balance>(),
            unknown<over_under_load>(), unknown<locality>(), unknown<label_cross_entropy>(), unknown<group_variance>(),
            unknown<label_dependence>(), unknown<router_distillation<V>>(), unknown<in_bin_balance>(),
            unknown<inter_bin_regularizer<>>()});
  numbers<V> const n;
  auto const in = unknown<batch<T>>();
  observe(serial{}, r, in, ids, sums, n.w);
  use(loss_value(r.regularize, unknown<index_t>(), sums));
  add_gradient(serial{}, r, in, ids, row_view<wide_sum const>(sums), n.out, n.w);
  route_backward(serial{}, r, in, ids, n.a, n.out, n.w);
}
template <class T, class V>
void losses_of_matrices() {
  numbers<V> const n;
  numbers<double> const d;
  double* const loss = unknown<double*>();
  auto const r = unknown<router<>>();
  dirichlet_prior_loss(serial{}, unknown<dirichlet_prior>(), r, unknown<batch<T>>(), loss, n.out, n.w);
  orthogonal_rows_loss(serial{}, unknown<orthogonal_rows>(), unknown<matrix_view<T>>(), loss, n.out, n.w);
  try_expert_coupling_noise_bound(serial{}, n.a, d.row);
  expert_coupling_loss(serial{}, unknown<expert_coupling>(), n.a, n.b, n.a, d.out, loss, n.out, n.more, n.w);
  group_alignment_loss(serial{}, group_alignment{}, n.a, n.b, n.row, n.out, n.more, n.w);
}
void losses_in_double() {
  numbers<double> const n;
  use(unknown<info_nce>()(n.a, n.b, n.a, n.out, n.more));
  use(unknown<manifold_alignment>()(n.a, valid, n.b, n.out));
  use(unknown<symmetric_kl>()(n.a, n.b, n.out, n.more));
  use(unknown<argmax_frequency>()(n.a, n.b, n.out));
  try_expert_coupling_noise(serial{}, n.x, unknown<draws>(), unknown<matrix_view<float>>());
}
void figures() {  // of counts
  numbers<double> const n;
  load_summary const s = summarize_load(counts[0]);
  use(s.cv), use(s.entropy), use(s.gini);
  use(usage_deviation(counts)), use(mutual_information(counts));
  use(use_entropy(counts)), use(mean_divergence(counts));
  use(unknown<margin_histogram>().mean(sums)), use(unknown<margin_histogram>().quantile(unknown<double>(), sums));
  use(specialization(counts, unknown<row_view<double>>(), 0));
  unknown<text&>().add(unknown<double>());
  use(load_of(counts[0]).variation), use(variation_inside(counts[0], labels, 4));
  use(unknown<expert_pools>().specialization());
  index_t const k = unknown<index_t>();
  use(uniform_r_span(unknown<index_t>(), k, 4)), use(uniform_copies(unknown<index_t>(), 3, k));
  use(unknown<link_model>().layer(k, k, k));
  update_bins(serial{}, unknown<expert_binning>(), counts, n.out, n.row, unknown<row_view<index_t>>(),
              unknown<row_view<index_t>>());
  guide(serial{}, unknown<guidance>(), counts, n.out, unknown<matrix_view<std::uint8_t>>(), n.w);
  try_move_counts(serial{}, unknown<guidance_refresh>(), counts, n.out, false);
}
template <class V>
void steps() {  // of what training moves beside the weights
  numbers<V> const n;
  load_of_step<std::int64_t> const load = unknown<load_of_step<std::int64_t>>();
  unknown<sign_update>()(serial_group{}, load, n.row);
  unknown<proportional_update>()(serial_group{}, load, n.row);
  unknown<target_update>()(serial_group{}, load, n.row);
  unknown<share_update>()(serial_group{}, load, n.row);
  update_by_quantile(serial{}, unknown<quantile_update>(), n.a, n.row, n.row);
  bias_from_histogram(unknown<quantile_histogram<V>>(), true, sums, n.row);
  try_update_threshold(serial{}, unknown<threshold_update>(), unknown<threshold_warm_up>(), unknown<index_t>(), n.a,
                       n.row);
  unknown<ema_copy>()(n.x, n.row);
  unknown<running_baseline&>().observe(unknown<double>());
}
template <class T, class V>
void choices() {
  numbers<T> const t;
  numbers<V> const n;
  sinkhorn_plan(serial{}, sinkhorn{}, t.a, n.out, n.w);
  try_sparse_transport_plan(serial{}, unknown<sparse_transport>(), t.a, n.out, n.w);
  try_balanced_assignment(serial{}, auction{}, t.a, unknown<row_view<index_t>>(), n.w);
  try_capped_choice(unknown<capped_choice>(), t.a, unknown<expert_routing_view<V>>(), n.w);
  try_weighted_gram(t.a, unknown<row_view<double const>>(), unknown<matrix_view<double>>());
  try_add_identity_experts(serial{}, ids, n.a, unknown<index_t>(), n.b, n.out);
  use(static_cast<double>(clustered_hash(unknown<matrix_view<float const>>(), 8).size()));
}
template <class T, class V>
void rows() {
  numbers<T> const t;
  numbers<V> const n;
  auto const plan = unknown<plan_view<>>();
  auto const in = unknown<combine_terms<T, V>>();
  combine(serial{}, plan, in, t.out);
  combine_backward(serial{}, plan, in, t.out, unknown<combine_gradients<T, V>>());
  residual_mix(serial{}, n.row, t.a, t.b, t.out);
  residual_mix_backward(serial{}, n.row, t.a, t.b, t.out, t.out, t.more, n.row);
}

template void soft<float>();
template void gates<float, float>();
template void modalities<float>();
template void estimates<float>();
template void losses<float, float>();
template void losses_of_matrices<float, float>();
template void steps<float>();
template void steps<double>();
template void choices<float, float>();
template void rows<float, float>();

double found_by_the_check(double a, double b, double c) { return a * b + c; }  // planted
