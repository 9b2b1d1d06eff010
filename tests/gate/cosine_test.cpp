#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/gate/cosine.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

namespace {
std::vector<double> wide(std::vector<float> const& x) { return {x.begin(), x.end()}; }
offset_t const tokens = 3, width = 6, dims = 4;
index_t const experts = 5;
struct parts {
  std::vector<double> x = wide(inputs::normal(18, 1)), w = wide(inputs::normal(24, 2)), b = wide(inputs::normal(4, 3)),
                      c = wide(inputs::normal(20, 4));
  double log_scale = .7;
  normalize_token token = normalize_token::yes;
  cosine_gate<double> gate() const {
    return {.projection = {w.data(), dims, width},
            .projection_bias = row_view<double const>(b),
            .expert = {c.data(), experts, dims},
            .log_scale = log_scale,
            .log_scale_max = 2,
            .token = token};
  }
  std::vector<double> logits() const {
    std::vector<double> out(15);
    std::vector<std::byte> space(4096);
    throw_if_bad(gate()(serial{}, matrix_view<double const>(x.data(), tokens, width),
                        matrix_view<double>(out.data(), tokens, experts), workspace(space)));
    return out;
  }
};
}  // namespace

TEST_CASE("cosine gate (S033): cosines times the scale, unchanged when x or an expert is scaled") {
  parts p;
  p.b.assign(4, 0);
  auto const z = p.logits();
  for (double v : z) CHECK(std::fabs(v) <= std::exp(.7) + 1e-12);
  for (auto& v : p.x) v *= 7;
  for (std::size_t i = 0; i < 4; ++i) p.c[i] *= .01;
  auto const scaled = p.logits();
  for (std::size_t i = 0; i < 15; ++i) CHECK(scaled[i] == doctest::Approx(z[i]));
  p.token = normalize_token::no;
  CHECK(p.logits()[0] != doctest::Approx(z[0]));
}

TEST_CASE("promise P14 cosine gate: every gradient by finite differences, the clamped temperature has none") {
  for (normalize_token token : {normalize_token::yes, normalize_token::no})
    for (double log_scale : {.7, 3.}) {
      parts p;
      p.token = token, p.log_scale = log_scale;
      std::vector<double> const d = wide(inputs::normal(15, 5));
      auto const loss = [&](parts const& q) {
        auto const y = q.logits();
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) sum += d[i] * y[i];
        return sum;
      };
      std::vector<double> dx(18), dw(24), db(4), dc(20);
      double ds = -1;
      std::vector<std::byte> space(8192);
      throw_if_bad(p.gate().backward(serial{}, matrix_view<double const>(p.x.data(), tokens, width),
                                     matrix_view<double const>(d.data(), tokens, experts),
                                     cosine_gate<double>::gradient<double>{{dx.data(), tokens, width},
                                                                           {dw.data(), dims, width},
                                                                           row_view<double>(db),
                                                                           {dc.data(), experts, dims},
                                                                           &ds},
                                     workspace(space)));
      auto const check = [&](std::vector<double> parts::* which, std::vector<double> const& got) {
        auto const want = reference::gradient(
            [&](auto const& v) {
              parts q = p;
              q.*which = v;
              return loss(q);
            },
            p.*which);
        for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::fabs(got[i] - want[i]) < 1e-6);
      };
      check(&parts::x, dx), check(&parts::w, dw), check(&parts::b, db), check(&parts::c, dc);
      parts up = p, down = p;
      up.log_scale += 1e-6, down.log_scale -= 1e-6;
      CHECK(std::fabs(ds - (loss(up) - loss(down)) / 2e-6) < 1e-6);
      if (log_scale > 2) CHECK(ds == 0);
    }
}

TEST_CASE("cosine gate: zero vectors give zero, not NaN; rows are rescaled; small workspace is named") {
  parts p;
  p.x.assign(18, 0), p.b.assign(4, 0);
  for (double v : p.logits()) CHECK(v == 0);
  std::vector<double> rows{3, 4, 0, 0};
  throw_if_bad(rescale_rows(matrix_view<double>(rows.data(), 2, 2), 1.5));
  CHECK(rows[0] == doctest::Approx(.9));
  CHECK(rows[1] == doctest::Approx(1.2));
  CHECK(rows[2] == 0);
  std::vector<double> z(15);
  CHECK(p.gate()(serial{}, matrix_view<double const>(p.x.data(), tokens, width),
                 matrix_view<double>(z.data(), tokens, experts), {})
            .code == errc::too_small);
}
