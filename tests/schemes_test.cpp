// Decides whether schemes that are compositions show what their papers say of the whole: Switch (S077), SiRA (S040),
// SMILE's two stages (S042), ReMoE's controller (S096), BASE in evaluation (S019), MC#'s price of a mask (S167).
#include <cmath>

#include <moeroute/combine_backward.hpp>
#include <moeroute/estimate/gumbel_softmax.hpp>
#include <moeroute/loss/balanced_l1.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/prior/noise.hpp>
#include <moeroute/presets_extended.hpp>

#include "support/choice.hpp"
#include "support/plan_arrays.hpp"

using namespace choice_test;

namespace {
// The plan of `choices` under a capacity a expert, in token order.
struct limited {
  plan_arrays<> arrays;
  limited(std::vector<index_t> const& ids, offset_t tokens, offset_t k, int experts, offset_t capacity)
      : arrays(tokens * k, experts, tokens * k) {
    capacity_options<> o{.rule = {.formula = capacity_formula::given, .slots = capacity}};
    auto work = memory(limited_plan_workspace_bytes(serial{}, experts, tokens, tokens * k));
    make_plan(serial{}, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, {}, o, arrays.view, workspace(work));
  }
};
}  // namespace

TEST_CASE("S077 Switch: capacity 1 drops the second token of an expert; its gradient is 0; jitter only if asked") {
  std::vector<double> const z{2, 0, 3, 0, 0, 1};  // tokens 0 and 1 want expert 0, token 2 expert 1
  router const r{.select = top_k{1}};
  auto const out = run(r, z, 2);
  REQUIRE(out.ids == std::vector<index_t>{0, 0, 1});
  limited const p(out.ids, 3, 1, 2, 1);
  auto const& plan = p.arrays.view;
  CHECK(plan.slot_of_choice[0] >= 0);
  CHECK(plan.slot_of_choice[1] == dropped_slot);
  CHECK(plan.slot_of_choice[2] >= 0);
  offset_t const rows = plan.offsets[2], width = 2;
  std::vector<double> expert(static_cast<std::size_t>(rows * width), 5.), y(6, 77.), d_y(6, 1.),
      d_rows(expert.size(), 77.), d_w(3, 77.);
  matrix_view<double const> const weights{out.weights.data(), 3, 1};
  combine(serial{}, plan, matrix_view<double const>{expert.data(), rows, width}, weights,
          matrix_view<double>{y.data(), 3, width});
  CHECK(y[0] == doctest::Approx(5 * out.weights[0]));
  CHECK(y[2] == 0);  // the dropped token passes its residual only
  CHECK(y[3] == 0);
  combine_backward(
      serial{}, plan, combine_terms<double, double>{.rows = {expert.data(), rows, width}, .weights = weights},
      matrix_view<double const>{d_y.data(), 3, width},
      combine_gradients<double, double>{.rows = {d_rows.data(), rows, width}, .weights = {d_w.data(), 3, 1}});
  CHECK(d_w[1] == 0);
  CHECK(d_w[0] == doctest::Approx(10));
  router const jittered{.prior = logit_jitter<>{.epsilon = .01f}, .select = top_k{1}};
  CHECK(run(jittered, z, 2).weights != out.weights);  // training
  CHECK(run(r, z, 2).weights == out.weights);         // evaluation: no prior, nothing to switch off
}

TEST_CASE(
    "S040 SiRA: no expert exceeds its capacity, dropped pairs contribute 0, a capacity of all tokens is dropless") {
  offset_t const tokens = 40, experts = 6, width = 2;
  index_t const k = 3;
  auto z = normal_numbers(40 * 6, 7);
  for (std::size_t t = 0; t < 40; ++t) z[6 * t] += 2;  // everybody likes expert 0
  auto const out = run(router{.select = top_k{k}}, z, experts);
  limited const tight(out.ids, tokens, k, 6, 9), wide(out.ids, tokens, k, 6, tokens);
  std::vector<double> one(static_cast<std::size_t>(tokens * k * width), 1.), y(80), all(80);
  matrix_view<double const> const weights{out.weights.data(), tokens, k}, rows{one.data(), tokens * k, width};
  combine(serial{}, tight.arrays.view, rows, weights, matrix_view<double>{y.data(), tokens, width});
  combine(serial{}, wide.arrays.view, rows, weights, matrix_view<double>{all.data(), tokens, width});
  std::vector<offset_t> served(6);
  for (offset_t t = 0; t < tokens; ++t) {
    double kept = 0, every = 0;
    for (offset_t j = 0; j < k; ++j) {
      bool const here = tight.arrays.view.slot_of_choice[t * k + j] >= 0;
      if (here) ++served[static_cast<std::size_t>(out.id(t, j))], kept += out.weight(t, j);
      every += out.weight(t, j);
      CHECK(wide.arrays.view.slot_of_choice[t * k + j] >= 0);
    }
    CHECK(y[static_cast<std::size_t>(t * width)] == doctest::Approx(kept));
    CHECK(all[static_cast<std::size_t>(t * width)] == doctest::Approx(every));
  }
  for (auto const n : served) CHECK(n <= 9);
  CHECK(served[0] == 9);
}

TEST_CASE("S042 SMILE: rows moved between nodes first and inside a node after land where one stage puts them") {
  index_t const nodes = 3, local = 4;
  auto const z = normal_numbers(60 * 12, 9);
  auto const out = run(router{.select = top_k{1}}, z, nodes * local);
  auto const x = normal_numbers(60, 10);
  auto const grouped = [](std::vector<index_t> const& ids, int experts, std::vector<double> const& from) {
    offset_t const n = static_cast<offset_t>(ids.size());
    plan_arrays<> a(n, experts, n);
    auto work = memory(plan_workspace_bytes(serial{}, experts));
    make_plan(serial{}, choices_view<>{.ids = {ids.data(), n, 1}}, experts, {}, a.view, workspace(work));
    std::vector<double> to(from.size());
    permute(serial{}, a.view, matrix_view<double const>{from.data(), n, 1}, matrix_view<double>{to.data(), n, 1});
    return to;
  };
  auto const at_once = grouped(out.ids, nodes * local, x);
  std::vector<index_t> node;
  std::vector<double> carried_ids;
  for (auto const e : out.ids) node.push_back(e / local), carried_ids.push_back(e);
  auto const first = grouped(node, nodes, x), ids_there = grouped(node, nodes, carried_ids);
  std::vector<index_t> inside;  // every node by itself: its runs lie in order of the nodes
  for (double const e : ids_there) inside.push_back(static_cast<index_t>(e));
  CHECK(grouped(inside, nodes * local, first) == at_once);
}

TEST_CASE("S096 ReMoE: the controller brings the active experts of a toy to k") {
  sparsity_controller const control{.multiplier = 1.2, .target = 1 - 2. / 8};
  auto z = normal_numbers(64 * 8, 11);
  double lambda = 1e-8, active = 0;
  for (int step = 0; step < 400; ++step) {
    double on = 0;
    for (double const v : z) on += v > 0;
    double const sparsity = 1 - on / static_cast<double>(z.size());
    lambda = control.next(lambda, sparsity);
    active = 8 * (1 - sparsity);
    for (double& v : z)  // the pull of a task upwards, that of the price downwards where active
      v += .02 * (.5 - v) - (v > 0 ? lambda : 0);
  }
  CHECK(std::fabs(active - 2) < 1);
}

TEST_CASE("S019 preset P37 BASE: evaluation is the plain argmax, without balance") {
  auto const z = normal_numbers(30 * 4, 12);
  auto const out = run(presets::base_layer_evaluation(), narrow(z), 4);
  for (offset_t t = 0; t < 30; ++t) {
    index_t best = 0;
    for (index_t e = 1; e < 4; ++e)
      if (z[static_cast<std::size_t>(4 * t + e)] > z[static_cast<std::size_t>(4 * t + best)]) best = e;
    CHECK(out.id(t, 0) == best);
  }
}

TEST_CASE("S167 MC#: a price on the mask leaves fewer experts; soft and hard masks agree as the temperature falls") {
  offset_t const tokens = 50, k = 4;
  auto const z = normal_numbers(50 * 4, 13);
  auto const kept = [&](double price) {  // descent on the logits of distillation plus price times mask length
    auto logits = z;
    std::vector<double> soft(200), hard(200), d_sample(200), d_z(200);
    gumbel_softmax const how{.tau = .5f, .noise = false};
    auto const m = [&](std::vector<double>& v) { return matrix_view<double>{v.data(), tokens, k}; };
    auto const c = [&](std::vector<double> const& v) { return matrix_view<double const>{v.data(), tokens, k}; };
    double length = 0;
    for (int step = 0; step < 200; ++step) {
      REQUIRE(try_gumbel_softmax_sample(serial{}, how, c(logits), m(soft), m(hard)).ok());
      for (offset_t t = 0; t < tokens; ++t) {
        double mask[4], d_mask[4];
        prefix_masks(row_view<double const>{soft.data() + 4 * t, 4}, row_view<double>{mask, 4});
        for (int j = 0; j < 4; ++j) d_mask[j] = -(1 - mask[j]) * (4 - j) * .25 + price;
        prefix_masks_backward(row_view<double const>{d_mask, 4}, row_view<double>{d_sample.data() + 4 * t, 4});
      }
      REQUIRE(try_gumbel_softmax_backward(serial{}, how, c(soft), c(d_sample), m(d_z)).ok());
      for (std::size_t i = 0; i < 200; ++i) logits[i] -= .3 * d_z[i];
      length = 0;
      for (offset_t t = 0; t < tokens; ++t)
        for (int cand = 0; cand < 4; ++cand) length += soft[static_cast<std::size_t>(4 * t + cand)] * (cand + 1);
    }
    return length / 50;
  };
  double const cheap = kept(0), fair = kept(.15), dear = kept(1);
  CHECK(cheap > fair);
  CHECK(fair > dear);
  CHECK(dear >= 1);  // never empty
  std::vector<double> soft(200), hard(200);
  gumbel_softmax const cold{.tau = 1e-3f, .form = sample_form::straight_through, .noise = false};
  REQUIRE(try_gumbel_softmax_sample(serial{}, cold, matrix_view<double const>{z.data(), tokens, k},
                                    matrix_view<double>{soft.data(), tokens, k},
                                    matrix_view<double>{hard.data(), tokens, k})
              .ok());
  for (std::size_t i = 0; i < 200; ++i) CHECK(soft[i] == doctest::Approx(hard[i]).epsilon(1e-3).scale(1));
}
