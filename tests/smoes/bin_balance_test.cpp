// SMoES, oracle 10: balance inside bins.
#include <cmath>

#include "fixture.hpp"

using namespace smoes_test;

namespace {

struct balance_data {
  index_t experts, bins;
  table<double> logits, p;
  table<std::int64_t> counts;
  table<index_t> bin;
  balance_data(unsigned seed, offset_t tokens, index_t experts_, index_t bins_) : experts(experts_), bins(bins_) {
    numbers n(seed);
    logits = n.normals<double>(tokens, experts), p = softmax_rows(logits);
    counts = table<std::int64_t>(1, experts), bin = table<index_t>(1, experts);
    for (index_t e = 0; e < experts; ++e) counts.at(0, e) = 1 + n.below(50), bin.at(0, e) = e % bins;
    std::shuffle(bin.values.begin(), bin.values.end(), n.g);
  }
};
struct balance_result {
  double loss = 0;
  table<double> d_logits;
};
template <class X>
balance_result balance_of(X const& x, bin_balance const& term, balance_data const& d,
                          std::vector<std::uint8_t> const& valid = {}) {
  table<std::int64_t> mass(1, d.experts + 1);
  gate_mass(x, term.gate, d.p.seen(), row_view<std::uint8_t const>(valid), mass.row(),
            memory(gate_mass_workspace_bytes(x, d.p.rows, d.experts)));
  table<double> coefficient(1, d.experts, 77);
  balance_result r{0, table<double>(d.p.rows, d.experts, 99)};
  r.loss = bin_balance_loss(x, term, d.counts.seen_row(), mass.seen_row(), d.bin.seen_row(), coefficient.row(),
                            memory(x.workspace_bytes(0)));
  bin_balance_backward(x, term, d.p.seen(), row_view<std::uint8_t const>(valid), coefficient.seen_row(),
                       r.d_logits.view(), memory(x.workspace_bytes(0)));
  return r;
}
// The three formulas in plain loops.
double wanted(balance_form form, balance_data const& d, table<double> const& p) {
  std::vector<double> f, P;
  double chosen = 0;
  for (auto const n : d.counts.values) chosen += static_cast<double>(n);
  for (index_t e = 0; e < d.experts; ++e) {
    double sum = 0;
    for (offset_t t = 0; t < p.rows; ++t) sum += p.at(t, e);
    P.push_back(sum / static_cast<double>(p.rows)), f.push_back(static_cast<double>(d.counts.at(0, e)) / chosen);
  }
  double total = 0;
  for (index_t i = 0; i < d.bins; ++i) {
    double size = 0, of_f = 0, of_P = 0, product = 0;
    for (index_t e = 0; e < d.experts; ++e)
      if (d.bin.at(0, e) == i) {
        auto const s = static_cast<std::size_t>(e);
        size += 1, of_f += f[s], of_P += P[s], product += f[s] * P[s];
      }
    if (form == balance_form::in_bin && of_f > 0) total += size * product / (of_f * of_P);
    if (form == balance_form::literal) total += size * product;
    if (form == balance_form::global) total += d.experts * product;
  }
  return total;
}
constexpr balance_form forms[] = {balance_form::in_bin, balance_form::literal, balance_form::global, balance_form::off};

}  // namespace

TEST_CASE("SMoES balance: every form equals its formula, its gradient central differences") {
  balance_data const d(1, 7, 9, 3);
  for (auto const form : forms) {
    auto const r = balance_of(serial{}, {.alpha = .5, .form = form, .bins = 3}, d);
    CHECK(r.loss == doctest::Approx(.5 * wanted(form, d, d.p)).epsilon(1e-10));
    double worst = 0, scale = 1e-300;
    for (std::size_t i = 0; i < d.logits.values.size(); ++i) {
      auto z = d.logits;
      z.values[i] += 1e-5;
      double const up = wanted(form, d, softmax_rows(z));
      z.values[i] -= 2e-5;
      double const down = wanted(form, d, softmax_rows(z));
      worst = std::max(worst, std::fabs(.5 * (up - down) / 2e-5 - r.d_logits.values[i]));
      scale = std::max(scale, std::fabs(r.d_logits.values[i]));
    }
    CHECK(worst <= 1e-6 * scale);
  }
}

TEST_CASE(
    "SMoES balance: nb at perfect balance inside bins whatever the split between them; literal is "
    "NB/E of global") {
  balance_data d(2, 40, 12, 4);
  for (index_t e = 0; e < 12; ++e) d.counts.at(0, e) = 10 * (1 + d.bin.at(0, e));
  for (offset_t t = 0; t < 40; ++t)
    for (index_t e = 0; e < 12; ++e) d.p.at(t, e) = (1. + d.bin.at(0, e)) / 30;
  CHECK(balance_of(serial{}, {.alpha = 1, .bins = 4}, d).loss == doctest::Approx(4.));
  balance_data const other(3, 40, 12, 4);
  double const literal = balance_of(serial{}, {.alpha = 1, .form = balance_form::literal, .bins = 4}, other).loss;
  double const global = balance_of(serial{}, {.alpha = 1, .form = balance_form::global, .bins = 4}, other).loss;
  CHECK(literal == doctest::Approx(global * 3 / 12).epsilon(1e-12));
}

TEST_CASE("SMoES balance: a bin nobody chose, padding, an empty batch") {
  balance_data d(4, 6, 6, 3);
  for (index_t e = 0; e < 6; ++e)
    if (d.bin.at(0, e) == 1) d.counts.at(0, e) = 0;
  auto const r = balance_of(serial{}, {.alpha = 1, .bins = 3}, d);
  CHECK(r.loss == doctest::Approx(wanted(balance_form::in_bin, d, d.p)));
  std::vector<std::uint8_t> const valid{1, 1, 0, 1, 1, 1};
  auto const padded = balance_of(serial{}, {.alpha = 1, .bins = 3}, d, valid);
  for (index_t e = 0; e < 6; ++e) CHECK(padded.d_logits.at(2, e) == 0.);
  balance_data shorter = d;
  shorter.p = table<double>(5, 6);
  for (offset_t t = 0, to = 0; t < 6; ++t)
    if (t != 2) {
      for (index_t e = 0; e < 6; ++e) shorter.p.at(to, e) = d.p.at(t, e);
      ++to;
    }
  CHECK(padded.loss == balance_of(serial{}, {.alpha = 1, .bins = 3}, shorter).loss);
  balance_data none(5, 0, 6, 3);
  CHECK(balance_of(serial{}, {.alpha = 1, .bins = 3}, none).loss == 0.);
}

TEST_CASE(
    "SMoES balance: every group the same bits; shards merge exactly; sigmoid gates are "
    "normalized") {
  balance_data const d(6, 600, 40, 8);
  for (auto const form : {balance_form::in_bin, balance_form::global})
    same_everywhere([&](auto const& x) {
      auto const r = balance_of(x, {.alpha = .1, .form = form, .bins = 8}, d);
      auto out = r.d_logits.values;
      out.push_back(r.loss);
      return out;
    });
  table<std::int64_t> whole(1, 41), merged(1, 41), part(1, 41);
  auto const add = [&](matrix_view<double const> p, table<std::int64_t>& to) {
    gate_mass(serial{}, gate_form::softmax, p, {}, to.row(), memory(gate_mass_workspace_bytes(serial{}, p.rows, 40)));
  };
  add(d.p.seen(), whole), add(d.p.seen().middle_rows(0, 123), merged), add(d.p.seen().middle_rows(123, 477), part);
  merge(merged.row(), part.seen_row());
  CHECK(merged.values == whole.values);

  auto twice = d;  // scores of a sigmoid gate that sum to 2: the same P
  for (double& x : twice.p.values) x *= 2;
  table<std::int64_t> scaled(1, 41);
  gate_mass(serial{}, gate_form::sigmoid, twice.p.seen(), {}, scaled.row(),
            memory(gate_mass_workspace_bytes(serial{}, 600, 40)));
  for (offset_t e = 0; e < 40; ++e)
    CHECK(ticks<double>::value(scaled.at(0, e)) ==
          doctest::Approx(ticks<double>::value(whole.at(0, e))).epsilon(1e-12));
}
