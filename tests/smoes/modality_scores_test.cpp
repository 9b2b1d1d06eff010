// SMoES: how a modality is written down.
#include "fixture.hpp"

using namespace smoes_test;

TEST_CASE("SMoES scores: one column is u of two modalities; more columns are the modalities") {
  std::vector<double> const u{0., .25, 1.};
  modality_scores<double> const one{row_view<double const>(u)};
  CHECK(one.count() == 2);
  CHECK(one(1, text_modality) == .25);
  CHECK(one(1, vision_modality) == .75);
  table<float> three(2, 3);
  three.at(1, 2) = .5f;
  modality_scores<float> const many(three.seen());
  CHECK(many.count() == 3);
  CHECK(many(1, 2) == .5f);
}

TEST_CASE("SMoES scores: hard labels, and how far a token has mixed") {
  std::vector<index_t> const label{0, 1, 1};
  table<float> u(3, 1), two(3, 2);
  fill_hard_scores(row_view<index_t const>(label), u.view());
  fill_hard_scores(row_view<index_t const>(label), two.view());
  for (offset_t t = 0; t < 3; ++t)
    for (index_t m = 0; m < 2; ++m)
      CHECK(modality_scores<float>(u.seen())(t, m) == modality_scores<float>(two.seen())(t, m));
  std::vector<double> const mixed{.5, .25, 1.};
  modality_scores<double> const s{row_view<double const>(mixed)};
  CHECK(mixing(s, 0) == 1.);
  CHECK(mixing(s, 1) == doctest::Approx(.5));  // 1 - |2u - 1|
  CHECK(mixing(s, 2) == 0.);
}
