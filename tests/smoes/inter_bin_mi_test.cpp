// SMoES, oracle 9: mutual information of modality and bin, value and gradient.
#include <cmath>

#include "inter_bin_fixture.hpp"

using namespace smoes_test;

TEST_CASE("SMoES MI: definition, closed form and plain loops agree, for two and three modalities") {
  for (index_t const modalities : {2, 3}) {
    mi_data<double> const d(1, 4, 9, 12, 4, modalities);
    auto term = inter_bin_mi(4, .3);
    auto const closed = inter_bin_of(serial{}, term, d.batch());
    term.divergence = bin_divergence::by_definition;
    auto const defined = inter_bin_of(serial{}, term, d.batch());
    table<double> w;
    for (offset_t b = 0; b < d.samples; ++b) {
      CHECK(shares_of(d, d.p, b, 1, w));
      CHECK(closed.value.at(0, b) == doctest::Approx(mutual_information(w)).epsilon(1e-10));
      CHECK(std::fabs(closed.value.at(0, b) - defined.value.at(0, b)) < 1e-12);
      for (index_t m = 0; m < modalities; ++m) {  // P(m) = 1 / modalities
        double of_m = 0;
        for (index_t i = 0; i < 4; ++i) of_m += w.at(m, i) / modalities;
        CHECK(of_m == doctest::Approx(1. / modalities).epsilon(1e-12));
      }
    }
    CHECK(closed.loss == doctest::Approx(-.3 * mean_loss(d, d.p, mutual_information)).epsilon(1e-10));
    CHECK(same_bits(closed.d_logits.values, defined.d_logits.values));
  }
}

TEST_CASE("SMoES MI: gradient against central differences of the definition, below 1e-6") {
  for (index_t const modalities : {2, 3}) {
    mi_data<double> const d(2, 3, 7, 8, 4, modalities);
    auto const r = inter_bin_of(serial{}, inter_bin_mi(4, 1), d.batch());
    CHECK(gradient_error(d.logits, r.d_logits, [&](table<double> const& z) {
            return -mean_loss(d, softmax_rows(z), mutual_information);
          }) < 1e-6);
  }
}

TEST_CASE("SMoES MI: gradient for sigmoid gates, whose scores are divided by their sum") {
  mi_data<double> d(3, 2, 8, 6, 3);
  auto const sigmoid_rows = [](table<double> const& z) {
    auto s = z;
    for (double& x : s.values) x = 1 / (1 + std::exp(-x));
    return s;
  };
  auto const normalized = [&](table<double> const& z) {
    auto s = sigmoid_rows(z);
    for (offset_t t = 0; t < s.rows; ++t) {
      double sum = 0;
      for (offset_t e = 0; e < s.cols; ++e) sum += s.at(t, e);
      for (offset_t e = 0; e < s.cols; ++e) s.at(t, e) /= sum;
    }
    return s;
  };
  d.p = sigmoid_rows(d.logits);
  auto term = inter_bin_mi(3, 1);
  term.gate = gate_form::sigmoid;
  auto const r = inter_bin_of(serial{}, term, d.batch());
  CHECK(r.loss == doctest::Approx(-mean_loss(d, normalized(d.logits), mutual_information)).epsilon(1e-9));
  CHECK(gradient_error(d.logits, r.d_logits, [&](table<double> const& z) {
          return -mean_loss(d, normalized(z), mutual_information);
        }) < 1e-6);
}

TEST_CASE(
    "SMoES MI: 0 when the gate ignores the modality, ln 2 when bins are disjoint, labels of bins "
    "do not matter") {
  mi_data<double> d(4, 2, 10, 8, 4);
  for (offset_t t = 1; t < d.tokens(); ++t)
    for (index_t e = 0; e < 8; ++e) d.p.at(t, e) = d.p.at(0, e);
  CHECK(std::fabs(inter_bin_of(serial{}, inter_bin_mi(4, 1), d.batch()).loss) < 1e-12);

  for (offset_t t = 0; t < d.tokens(); ++t) {
    d.scores.at(t, 0) = t % 2 == 0 ? 0. : 1.;
    for (index_t e = 0; e < 8; ++e) d.p.at(t, e) = d.bin.at(0, e) == (t % 2 == 0 ? 1 : 3) ? .5 : 0.;
  }
  CHECK(inter_bin_of(serial{}, inter_bin_mi(4, 1), d.batch()).loss == doctest::Approx(-std::log(2.)).epsilon(1e-12));

  mi_data<double> e(5, 3, 10, 8, 4);
  double const before = inter_bin_of(serial{}, inter_bin_mi(4, 1), e.batch()).loss;
  for (index_t& b : e.bin.values) b = (b + 1) % 4;
  CHECK(inter_bin_of(serial{}, inter_bin_mi(4, 1), e.batch()).loss == doctest::Approx(before).epsilon(1e-12));
}

TEST_CASE("SMoES MI: every step down the gradient raises the Jensen-Shannon divergence") {
  mi_data<double> d(6, 2, 12, 8, 4);
  double const first = inter_bin_of(serial{}, inter_bin_mi(4, 1), d.batch()).loss;
  double last = first;
  for (int step = 0; step < 50; ++step) {
    auto const r = inter_bin_of(serial{}, inter_bin_mi(4, 1), d.batch());
    for (std::size_t i = 0; i < d.logits.values.size(); ++i) d.logits.values[i] -= 10 * r.d_logits.values[i];
    d.p = softmax_rows(d.logits);
    double const now = inter_bin_of(serial{}, inter_bin_mi(4, 1), d.batch()).loss;
    CHECK(now < last);
    last = now;
  }
  CHECK(last < 2 * first);
}

TEST_CASE(
    "SMoES MI: samples that lack a modality, padding, sums over all or kept, layers, nothing at "
    "all") {
  mi_data<double> d(7, 3, 6, 6, 2);
  for (offset_t t = 0; t < d.tokens(); ++t)
    if (d.sample.at(0, t) == 1) d.scores.at(t, 0) = .9;  // vision mass 0.6 of 6 tokens: below 1
  auto const r = inter_bin_of(serial{}, inter_bin_mi(2, 1), d.batch());
  CHECK(r.kept.values == std::vector<std::uint8_t>{1, 0, 1});
  CHECK(r.value.at(0, 1) == 0.);
  for (offset_t t = 6; t < 12; ++t)
    for (index_t e = 0; e < 6; ++e) CHECK(r.d_logits.at(t, e) == 0.);
  CHECK(r.loss == doctest::Approx(-(r.value.at(0, 0) + r.value.at(0, 2)) / 2));
  auto term = inter_bin_mi(2, 1);
  term.mean = sample_mean::all;
  auto const of_all = inter_bin_of(serial{}, term, d.batch());
  CHECK(of_all.loss == doctest::Approx(r.loss * 2 / 3));
  CHECK(of_all.d_logits.at(0, 0) == doctest::Approx(r.d_logits.at(0, 0) * 2 / 3).epsilon(1e-12));
  term = inter_bin_mi(2, 1), term.min_mass = .5;
  CHECK(inter_bin_of(serial{}, term, d.batch()).kept.at(0, 1) == 1);
  term = inter_bin_mi(2, 1), term.reduce = layer_reduce::mean, term.layers = 4;
  CHECK(inter_bin_of(serial{}, term, d.batch()).loss == doctest::Approx(r.loss / 4));
  CHECK(inter_bin_of(serial{}, term, d.batch()).d_logits.at(0, 0) ==
        doctest::Approx(r.d_logits.at(0, 0) / 4).epsilon(1e-12));

  std::vector<std::uint8_t> valid(static_cast<std::size_t>(d.tokens()), 1);  // padding = not there
  mi_data<double> longer(8, 2, 5, 6, 2), shorter = longer;
  shorter.p = table<double>(9, 6), shorter.logits = shorter.p, shorter.scores = table<double>(9, 1),
  shorter.sample = table<index_t>(1, 9);
  for (offset_t t = 0, to = 0; t < 10; ++t) {
    if (t == 3) continue;
    for (index_t e = 0; e < 6; ++e) shorter.p.at(to, e) = longer.p.at(t, e);
    shorter.scores.at(to, 0) = longer.scores.at(t, 0), shorter.sample.at(0, to++) = longer.sample.at(0, t);
  }
  auto padded = longer.batch();
  valid.resize(10);
  valid[3] = 0, padded.valid = valid;
  auto const with = inter_bin_of(serial{}, inter_bin_mi(2, 1), padded);
  CHECK(with.loss == inter_bin_of(serial{}, inter_bin_mi(2, 1), shorter.batch()).loss);
  CHECK(with.d_logits.at(3, 0) == 0.);

  auto closed = longer;  // mass enough, but nobody has a probability
  for (offset_t t = 0; t < 5; ++t)
    for (index_t e = 0; e < 6; ++e) closed.p.at(t, e) = 0;
  CHECK(inter_bin_of(serial{}, inter_bin_mi(2, 1), closed.batch()).kept.values == std::vector<std::uint8_t>{0, 1});

  mi_data<double> none(9, 1, 0, 6, 2);
  auto const empty = inter_bin_of(serial{}, inter_bin_mi(2, 1), none.batch());
  CHECK(empty.loss == 0.);
  CHECK(empty.kept.at(0, 0) == 0);
}

TEST_CASE("SMoES MI: closed rows and one-sided rows stay finite") {
  mi_data<float> d(10, 2, 6, 8, 4);
  for (index_t e = 0; e < 8; ++e) d.p.at(0, e) = 0, d.p.at(1, e) = e == 3 ? 1.f : 0.f;
  for (auto const& term : {inter_bin_mi(4, 1), inter_bin_kl(4, 1), smar(1)}) {
    auto const r = inter_bin_of(serial{}, term, d.batch());
    CHECK(std::isfinite(r.loss));
    for (float const g : r.d_logits.values) CHECK(std::isfinite(g));
    for (index_t e = 0; e < 8; ++e) CHECK(r.d_logits.at(0, e) == 0.f);
  }
}

TEST_CASE_TEMPLATE("SMoES MI: every group the same bits, also with uneven bins", V, float, double) {
  mi_data<V> d(11, 5, 40, 20, 4);
  d.bin.at(0, 7) = d.bin.at(0, 8);
  same_everywhere([&](auto const& x) {
    auto const r = inter_bin_of(x, inter_bin_mi(4, .1), d.batch());
    std::vector<double> out(r.d_logits.values.begin(), r.d_logits.values.end());
    out.push_back(r.loss);
    out.insert(out.end(), r.value.values.begin(), r.value.values.end());
    return out;
  });
}

TEST_CASE("SMoES MI: many experts side by side give the bits of one lane") {
  for (index_t const experts : {8, 16, 40, 48, 64, 96, 528})
    for (index_t const modalities : {2, 3}) {
      CAPTURE(experts);
      CAPTURE(modalities);
      mi_data<float> d(static_cast<unsigned>(experts), 3, 150, experts, 8, modalities);
      table<float> wide(d.tokens(), experts + 3);  // rows with a gap between them
      for (offset_t t = 0; t < d.tokens(); ++t)
        for (index_t e = 0; e < experts; ++e) wide.at(t, e) = d.p.at(t, e);
      auto in = d.batch();
      in.p = {wide.values.data(), d.tokens(), experts, experts + 3};
      std::vector<std::uint8_t> valid(static_cast<std::size_t>(d.tokens()), 1);
      for (std::size_t t = 7; t < valid.size(); t += 11) valid[t] = 0;
      for (offset_t t = 300; t < 450 && modalities == 2; ++t) d.scores.at(t, 0) = 0;  // left out
      for (bool const padded : {false, true})
        for (bool const accumulate : {false, true}) {
          in.valid = padded ? row_view<std::uint8_t const>(valid) : row_view<std::uint8_t const>{};
          auto const run = [&](auto const& x) {
            table<float> gradient(d.tokens(), experts, .25f);
            table<double> value(1, 3);
            table<std::uint8_t> kept(1, 3);
            table<std::int64_t> totals(1, 3);
            auto const term = inter_bin_mi(8, .3);
            inter_bin(x, term, in, value.row(), kept.row(), totals.row(), gradient.view(),
                      memory(inter_bin_workspace_bytes<float>(x, term, d.tokens(), experts, modalities, 3)),
                      accumulate);
            CHECK(kept.at(0, 2) == (modalities == 3));
            auto out = gradient.values;
            for (double const v : value.values) out.push_back(static_cast<float>(v));
            for (auto const n : totals.values) out.push_back(static_cast<float>(n));
            return out;
          };
          auto const wanted = run(row_by_row{serial{}});
          CHECK(same_bits(wanted, run(serial{})));
          CHECK(same_bits(wanted, run(threads{2})));
        }
    }
}

TEST_CASE("SMoES MI: float follows double") {
  mi_data<float> d(12, 3, 30, 16, 4);
  mi_data<double> wide(12, 3, 30, 16, 4);
  wide.bin = d.bin;
  for (std::size_t i = 0; i < d.p.values.size(); ++i) wide.p.values[i] = double(d.p.values[i]);
  for (std::size_t i = 0; i < d.scores.values.size(); ++i) wide.scores.values[i] = double(d.scores.values[i]);
  auto const a = inter_bin_of(serial{}, inter_bin_mi(4, 1), d.batch());
  auto const b = inter_bin_of(serial{}, inter_bin_mi(4, 1), wide.batch());
  CHECK(a.loss == doctest::Approx(b.loss).epsilon(1e-5));
  for (std::size_t i = 0; i < a.d_logits.values.size(); ++i)
    CHECK(std::fabs(double(a.d_logits.values[i]) - b.d_logits.values[i]) < 1e-7);
}

TEST_CASE("SMoES MI: what does not fit is named") {
  mi_data<double> const d(13, 2, 5, 6, 2);
  auto in = d.batch();
  in.bin_of_expert = {};
  CHECK(try_inter_bin(serial{}, inter_bin_mi(2, 1), in, {}, {}, {}, matrix_view<double>{}, {}).code == errc::bad_shape);
  CHECK(inter_bin_mi(7, 1).validate(6).code == errc::bad_value);
  CHECK(inter_bin_kl(2, 1, 2, 1).validate(6).code == errc::bad_value);
}
