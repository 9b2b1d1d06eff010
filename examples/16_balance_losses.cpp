// Losses in the router's own field, step by step: sums of two micro-batches, merged, a value, a gradient; a term
// written by the user beside two of the library; and what the gradient does to a skewed router in 60 steps.
#include <algorithm>
#include <cstdio>
#include <initializer_list>
#include <vector>

#include <moeroute/moeroute.hpp>

using namespace moeroute;

namespace {

offset_t const tokens = 256, micro = tokens / 2;
index_t const experts = 8, k = 2;

// A term of one's own: L = alpha mean_t mean_e z_te^2 keeps logits small. Five members, any executor.
struct small_logits {
  using is_regularizer = void;
  static constexpr bool wants_logits = true;
  double alpha = 1e-3;
  offset_t sums(index_t) const { return 2; }  // tokens, squares
  offset_t coefficients(index_t) const { return 1; }
  void observe(lane_group auto const& g, auto const& row, row_view<wide_sum> sums) const {
    double const squares = tree_sum<double>(g, row.experts, [&](offset_t e) {
      double const z = static_cast<double>(row.logits.data[e]);
      return z * z;
    });
    if (g.rank() == 0) sums[0] += std::int64_t{1}, sums[1].add(squares);
  }
  double finish(lane_group auto const& g, index_t n, row_view<wide_sum const> sums, row_view<double> out) const {
    double const each = sums[0].count() > 0 ? alpha / (sums[0].value() * n) : 0;
    if (!out.empty() && g.rank() == 0) out[0] = 2 * each;
    return each * sums[1].value();
  }
  void add_gradient(lane_group auto const& g, auto const& row, row_view<double const> c) const {
    row.d_logits.each(g, [&](index_t e, auto& d) { d += static_cast<float>(c[0]) * row.logits.data[e]; });
  }
  void describe(text& t) const { t.add(alpha).add(" mean z^2"); }
};
static_assert(loss_term<small_logits>);

}  // namespace

int main() {
  router const r{.score = softmax{},
                 .select = top_k{k},
                 .regularize = terms{switch_balance{.alpha = 1}, z_loss{.alpha = 1e-3}, small_logits{}}};
  std::printf("%s\n\n", describe(r).c_str());

  std::vector<float> logits(static_cast<std::size_t>(tokens * experts)), d_logits(logits.size());
  std::vector<index_t> ids(static_cast<std::size_t>(tokens * k));
  std::vector<float> weights(ids.size()), offset(static_cast<std::size_t>(experts));
  for (index_t e = 0; e < experts; ++e) offset[static_cast<std::size_t>(e)] = -.3f * static_cast<float>(e);  // skewed

  auto const n_sums = static_cast<std::size_t>(r.regularize.sums(experts));
  std::vector<std::byte> space(1 << 18);
  workspace const w{space};
  double micro_losses = 0, global = 0;
  std::printf("step   loss    max violation\n");
  for (std::uint32_t step = 0; step <= 60; ++step) {
    draws const noise{.seed = 1, .step = 0};  // the same tokens in every step
    for (offset_t t = 0; t < tokens; ++t)
      for (index_t e = 0; e < experts; ++e)
        logits[static_cast<std::size_t>(t * experts + e)] = noise.normal(t, e) + offset[static_cast<std::size_t>(e)];

    // Each micro-batch is routed and summed by itself, as on two ranks; then the integers are added.
    std::vector<wide_sum> all(n_sums);
    micro_losses = 0;
    for (offset_t first : {offset_t{0}, micro}) {
      batch<float> in;
      in.logits = matrix_view<float const>(logits.data() + first * experts, micro, experts);
      matrix_view<index_t> const chosen(ids.data() + first * k, micro, k);
      route(serial{}, r, in, routing_view<index_t, float>{chosen, {weights.data() + first * k, micro, k}, {}}, w);
      std::vector<wide_sum> sums(n_sums);
      observe(serial{}, r, in, chosen, row_view<wide_sum>(sums), w);
      micro_losses += loss_value(r.regularize, experts, sums) / 2;
      merge_sums(all, sums);
    }
    global = loss_value(r.regularize, experts, all);

    std::vector<std::int64_t> counts(static_cast<std::size_t>(experts));
    count_choices(serial{}, matrix_view<index_t>(ids.data(), tokens, k), {}, row_view<std::int64_t>(counts), w);
    auto const load = summarize_load(row_view<std::int64_t const>(counts));
    if (step % 20 == 0) std::printf("%4u  %.4f  %.4f\n", step, global, load.max_violation);

    // The gradient of the global loss, for every rank's own tokens; here it moves one offset an expert.
    std::fill(d_logits.begin(), d_logits.end(), 0.f);
    batch<float> in;
    in.logits = matrix_view<float const>(logits.data(), tokens, experts);
    add_gradient(serial{}, r, in, matrix_view<index_t>(ids.data(), tokens, k), row_view<wide_sum const>(all),
                 matrix_view<float>(d_logits.data(), tokens, experts), w);
    for (std::size_t i = 0; i < d_logits.size(); ++i)
      offset[i % static_cast<std::size_t>(experts)] -= .5f * d_logits[i];
  }
  bool const apart = micro_losses > global;
  std::printf("\nmean of the micro-batch losses %.6f, loss of the global batch %.6f%s\n", micro_losses, global,
              apart ? ": small batches are asked for more balance than they can have" : "");
  return 0;
}
