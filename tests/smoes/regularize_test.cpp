// SMoES as terms of a router: promise P14, and the values of the verbs that see probabilities.
#include <cmath>

#include "loss/promise14.hpp"

#include "inter_bin_fixture.hpp"

using namespace smoes_test;

namespace {
std::vector<index_t> bins_of(index_t experts, index_t bins) {
  std::vector<index_t> out(static_cast<std::size_t>(experts));
  for (index_t e = 0; e < experts; ++e) out[static_cast<std::size_t>(e)] = e * 5 % experts % bins;
  return out;
}
auto const by_softmax = router<>{};
auto const by_sigmoid = router<no_gate, no_prior, sigmoid>{};
}  // namespace

TEST_CASE("promise P14: SMoES inter-bin terms and in-bin balance in a router") {
  auto const bins = bins_of(8, 4);
  SUBCASE("mutual information") {
    p14::check(inter_bin_regularizer<>{.term = inter_bin_mi(4, 1), .bin_of_expert = bins, .samples = 3}, by_softmax,
               p14::sample(41, 8, 2), 1e-4);
  }
  SUBCASE("mutual information, sigmoid gate") {
    p14::check(inter_bin_regularizer<>{.term = inter_bin_mi(4, 1), .bin_of_expert = bins, .samples = 3}, by_sigmoid,
               p14::sample(41, 8, 2), 1e-4);
  }
  SUBCASE("KL, and SMAR") {
    p14::check(terms{inter_bin_regularizer<>{.term = inter_bin_kl(4, 1, 3, 4), .bin_of_expert = bins, .samples = 3},
                     inter_bin_regularizer<>{.term = smar(1, 2, 3)}},
               by_softmax, p14::sample(41, 8, 2), 1e-4);
  }
  SUBCASE("in-bin balance") {
    p14::check(in_bin_balance{.alpha = 1, .bin_of_expert = bins}, by_softmax, p14::sample(41, 8, 2));
  }
}

TEST_CASE("SMoES terms of a router say what the verbs say, with soft scores") {
  mi_data<double> const d(3, 3, 20, 8, 4);
  inter_bin_regularizer<double> const in_router{.term = inter_bin_mi(4, .3),
                                                .bin_of_expert = d.bin.row(),
                                                .samples = 3,
                                                .scores = modality_scores<double>(d.scores.seen())};
  p14::tokens<double> t{
      60, 8, 2, d.logits.values, numbers(4).ids(60, 2, 8).values, d.sample.values, std::vector<index_t>(60, 0), {}};
  auto const verb = inter_bin_of(serial{}, inter_bin_mi(4, .3), d.batch());
  CHECK(p14::value_of(in_router, by_softmax, t) == doctest::Approx(verb.loss).epsilon(1e-9));
  auto const g = p14::gradient_of(serial{}, in_router, by_softmax, t, p14::sums_of(serial{}, in_router, by_softmax, t));
  for (std::size_t i = 0; i < g.size(); ++i) CHECK(std::fabs(g[i] - verb.d_logits.values[i]) < 1e-10);

  in_bin_balance const balance{.alpha = .2, .bin_of_expert = d.bin.row()};
  table<std::int64_t> counts(1, 8), mass(1, 9);
  for (index_t const e : t.ids) ++counts.at(0, e);
  gate_mass(serial{}, gate_form::softmax, d.p.seen(), {}, mass.row(),
            memory(gate_mass_workspace_bytes(serial{}, 60, 8)));
  table<double> coefficient(1, 8);
  double const loss = bin_balance_loss(serial{}, {.alpha = .2, .bins = 4}, counts.seen_row(), mass.seen_row(),
                                       d.bin.seen_row(), coefficient.row());
  CHECK(p14::value_of(balance, by_softmax, t) == doctest::Approx(loss).epsilon(1e-9));
  text words;
  in_router.describe(words);
  CHECK(std::string(words.c_str()).find("mutual information") != std::string::npos);
}
