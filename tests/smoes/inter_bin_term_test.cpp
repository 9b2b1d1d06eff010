// SMoES baselines: inter-bin KL (S11) and SMAR (S12), value, gradient, band.
#include "inter_bin_fixture.hpp"

using namespace smoes_test;

TEST_CASE("SMoES inter-bin KL: value and gradient below, inside and above its band") {
  mi_data<double> const d(1, 3, 8, 8, 4);
  double const now = mean_loss(d, d.p, symmetric_kl);
  for (double const factor : {.3, 1.7, 40.}) {  // above, mixed, below
    double const low = now * factor * .5, high = now * factor;
    auto const loss = [&](table<double> const& w) {
      double const k = symmetric_kl(w);
      return -std::min(k, low) + std::max(0., k - high);
    };
    auto const r = inter_bin_of(serial{}, inter_bin_kl(4, 2, low, high), d.batch());
    CHECK(r.loss == doctest::Approx(2 * mean_loss(d, d.p, loss)).epsilon(1e-9));
    CHECK(gradient_error(d.logits, r.d_logits,
                         [&](table<double> const& z) { return 2 * mean_loss(d, softmax_rows(z), loss); }) < 1e-6);
  }
}

TEST_CASE("SMAR: every expert a bin, the whole batch one sample, hard scores, a band") {
  mi_data<double> d(2, 1, 20, 6, 6);
  for (index_t e = 0; e < 6; ++e) d.bin.at(0, e) = e;
  std::vector<index_t> label(20);
  for (std::size_t t = 0; t < 20; ++t) label[t] = t % 3 == 0 ? 1 : 0;
  fill_hard_scores(row_view<index_t const>(label), d.scores.view());
  double const now = mean_loss(d, d.p, symmetric_kl);
  bin_batch<double> const in{.p = d.p.seen(), .modality = d.scores.seen()};
  auto const inside = inter_bin_of(serial{}, smar(1, now * .5, now * 2), in);
  CHECK(inside.value.at(0, 0) == doctest::Approx(now).epsilon(1e-9));
  CHECK(inside.loss == 0.);
  for (double const g : inside.d_logits.values) CHECK(g == 0.);
  CHECK(inter_bin_of(serial{}, smar(1, now * 2, now * 3), in).loss == doctest::Approx(now).epsilon(1e-9));
  auto const above = inter_bin_of(serial{}, smar(1, now * .2, now * .25), in);
  CHECK(above.loss == doctest::Approx(now * .75).epsilon(1e-9));
  CHECK(gradient_error(d.logits, above.d_logits, [&](table<double> const& z) {
          return std::max(0., mean_loss(d, softmax_rows(z), symmetric_kl) - now * .25);
        }) < 1e-6);
}

TEST_CASE("SMoES inter-bin terms: the formula in words") {
  text mi, kl, band;
  inter_bin_mi(8).describe(mi), inter_bin_kl(8, .1).describe(kl), smar(1).describe(band);
  CHECK(std::string(mi.c_str()) ==
        "0.0001 times the mean over samples of -I, I the mutual information of modality and the "
        "bins");
  CHECK(std::string(kl.c_str()).find("-min(d, 0.5)") != std::string::npos);
  CHECK(std::string(band.c_str()).find("the experts") != std::string::npos);
}
