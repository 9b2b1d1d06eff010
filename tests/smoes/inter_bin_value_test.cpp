// SMoES, oracle 9: the value of an inter-bin term, and its slopes by the probabilities, from sums.
#include "inter_bin_fixture.hpp"

using namespace smoes_test;

namespace {

struct valued {
  table<std::int64_t> sums, totals{1, 3};
  table<double> value;
  table<std::uint8_t> kept;
  table<double> coefficient;
  status result;

  valued(inter_bin_term const& term, mi_data<double> const& d)
      : sums(d.samples, bin_sum_columns(d.modalities, d.bins)),
        value(1, d.samples, -7.),
        kept(1, d.samples, 7),
        coefficient(d.samples, inter_bin_coefficients(d.modalities, d.experts), -7.) {
    auto space =
        memory(inter_bin_workspace_bytes<double>(serial{}, term, d.tokens(), d.experts, d.modalities, d.samples));
    result = try_bin_sums(serial{}, term, d.batch(), sums.view(), space);
    if (!result.ok()) return;
    result = try_inter_bin_value(serial{}, term, d.batch(), sums.seen(),
                                 {value.row(), kept.row(), coefficient.view(), totals.row()}, space);
  }
};
// sum over m of coefficient M: what the loss of token t's sample changes with p[t, e].
double slope_of(mi_data<double> const& d, valued const& v, offset_t t, index_t e) {
  offset_t const b = d.sample.at(0, t);
  double sum = 0;
  for (index_t m = 0; m < d.modalities; ++m) {
    double const u = d.scores.at(t, d.scores.cols == 1 ? 0 : m);
    sum += v.coefficient.at(b, m * d.experts + e) * (d.scores.cols > 1 || m == 1 ? u : 1 - u);
  }
  return sum;
}

}  // namespace

TEST_CASE("SMoES value: of each sample the definition's, in totals their sum, slopes are its differences") {
  for (auto const& term : {inter_bin_mi(4, .3), inter_bin_kl(4, .3, 100, 200)})
    for (index_t const modalities : {2, 3}) {
      bool const kl = term.divergence == bin_divergence::symmetric_kl;
      if (kl && modalities == 3) continue;  // the plain loop knows two
      mi_data<double> d(1, 3, 9, 12, 4, modalities);
      valued const v(term, d);
      REQUIRE(v.result.ok());
      CHECK(v.kept.values == std::vector<std::uint8_t>(3, 1));
      auto const value = [&](table<double> const& w) { return kl ? symmetric_kl(w) : mutual_information(w); };
      auto const loss = [&](offset_t b) {
        table<double> w;
        CHECK(shares_of(d, d.p, b, 1, w));
        return term.loss(value(w));
      };
      double sum = 0;
      for (offset_t b = 0; b < 3; ++b) {
        sum += loss(b);
        CHECK(term.loss(v.value.at(0, b)) == doctest::Approx(loss(b)).epsilon(1e-9));
      }
      CHECK(inter_bin_loss(term, v.totals.row()) == doctest::Approx(.3 * sum / 3).epsilon(1e-9));
      for (offset_t t : {0, 10, 26})
        for (index_t e = 1; e < 12; ++e) {  // probability goes from expert 0 to e
          auto const moved = [&](double h) {
            d.p.at(t, e) += h, d.p.at(t, 0) -= h;
            double const after = loss(d.sample.at(0, t));
            d.p.at(t, e) -= h, d.p.at(t, 0) += h;
            return after;
          };
          double const h = 1e-5, want = (moved(h) - moved(-h)) / (2 * h);
          CHECK(slope_of(d, v, t, e) - slope_of(d, v, t, 0) == doctest::Approx(want).epsilon(1e-5));
        }
    }
}

TEST_CASE("SMoES value: a sample that lacks a modality has neither value nor slope; totals count it") {
  mi_data<double> d(7, 3, 6, 6, 2);
  for (offset_t t = 0; t < d.tokens(); ++t)
    if (d.sample.at(0, t) == 1) d.scores.at(t, 0) = .9;  // vision mass 0.6 of 6 tokens: below 1
  valued const v(inter_bin_mi(2, 1), d);
  REQUIRE(v.result.ok());
  CHECK(v.kept.values == std::vector<std::uint8_t>{1, 0, 1});
  CHECK(v.value.at(0, 1) == 0.);
  for (offset_t i = 0; i < v.coefficient.cols; ++i) CHECK(v.coefficient.at(1, i) == 0.);
  CHECK(v.totals.at(0, 1) == 2);
  CHECK(v.totals.at(0, 2) == 3);
}

TEST_CASE("SMoES value: what does not fit is named") {
  mi_data<double> d(13, 2, 5, 6, 2);
  auto const term = inter_bin_mi(2, 1);
  table<std::int64_t> const sums(2, 3);
  CHECK(std::string(try_inter_bin_value(serial{}, term, d.batch(), sums.seen(), {}, {}).argument) ==
        "sums.table columns");
}
