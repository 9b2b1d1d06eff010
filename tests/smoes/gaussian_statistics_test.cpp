// SMoES, oracle 7: how the Gaussian statistics move and merge.
#include "gaussian_fixture.hpp"

using namespace smoes_test;

TEST_CASE(
    "SMoES Gaussian update: exact moments of the beta mixture, first batch as it is, absent "
    "stays") {
  constexpr offset_t width = 6;
  gaussian_state<double> s(3, width);
  gaussian_ema const rule{.beta = .9};
  table<double> mean(3, width), square(3, width);  // moments of the mixture, by hand
  for (unsigned step = 0; step < 4; ++step) {
    auto const x = numbers(step).normals<double>(40, width, 2. + step);
    auto label = labels(40, step == 2 ? 2 : 3, 50 + step);  // step 2: nobody of modality 2
    auto const before = s;
    update(rule, moments_of(serial{}, x, label, 3), s);
    for (index_t m = 0; m < 3; ++m)
      for (offset_t d = 0; d < width; ++d) {
        double n = 0, sum = 0, squares = 0;
        for (offset_t t = 0; t < 40; ++t)
          if (label[static_cast<std::size_t>(t)] == m) n += 1, sum += x.at(t, d), squares += x.at(t, d) * x.at(t, d);
        if (n == 0) {
          CHECK(s.mean.at(m, d) == before.mean.at(m, d));
          CHECK(s.variance.at(m, d) == before.variance.at(m, d));
          continue;
        }
        double const keep = step == 0 ? 0. : rule.beta;
        mean.at(m, d) = keep * mean.at(m, d) + (1 - keep) * sum / n;
        square.at(m, d) = keep * square.at(m, d) + (1 - keep) * squares / n;
        CHECK(s.mean.at(m, d) == doctest::Approx(mean.at(m, d)).epsilon(1e-12));
        CHECK(s.variance.at(m, d) == doctest::Approx(square.at(m, d) - mean.at(m, d) * mean.at(m, d)).epsilon(1e-10));
      }
  }
}

TEST_CASE("SMoES Gaussian moments: any split over shards and micro-batches merges to the same bits") {
  auto const x = numbers(7).normals<float>(700, 5, 30);
  auto const label = labels(700, 2, 8);
  auto const whole = moments_of(serial{}, x, label, 2);
  table<wide_sum> merged(2, moment_columns(5));
  for (offset_t const cut : {0, 300, 555}) {
    offset_t const end = cut == 0 ? 300 : (cut == 300 ? 555 : 700);
    table<float> part(end - cut, 5);
    std::copy(x.values.begin() + cut * 5, x.values.begin() + end * 5, part.values.begin());
    auto const m = moments_of(threads{2}, part, {label.begin() + cut, label.begin() + end}, 2);
    merge(merged.row(), m.seen_row());
  }
  CHECK(same_bits(whole.values, merged.values));
}

TEST_CASE("SMoES Gaussian moments: soft weights count by score; hard scores are the hard labels") {
  auto const x = numbers(9).normals<double>(60, 4);
  auto const label = labels(60, 2, 10);
  table<double> hard(60, 1), soft(60, 1, .25);
  fill_hard_scores(row_view<index_t const>(label), hard.view());
  auto const by_score = [&](table<double> const& u) {
    table<wide_sum> m(2, moment_columns(4));
    gaussian_moments(serial{}, gauss_weight::soft, x.seen(), {}, modality_scores<double>(u.seen()), {}, m.view(),
                     memory(gaussian_moments_workspace_bytes(serial{}, 60, 4, 2)));
    return m;
  };
  CHECK(same_bits(by_score(hard).values, moments_of(serial{}, x, label, 2).values));
  auto const m = by_score(soft);
  CHECK(m.at(0, 0).value() == 45.);
  CHECK(m.at(1, 0).value() == 15.);
  CHECK(m.at(0, 1).value() == doctest::Approx(3 * m.at(1, 1).value()));
}
