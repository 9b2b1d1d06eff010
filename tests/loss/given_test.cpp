// Decides whether a matrix without a router means what its type says: logits with their score, or scores as they are.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/given.hpp>
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/z_loss.hpp>

using namespace p14;

namespace {

struct found {
  double value = 0;
  std::vector<double> d;
};
template <class P, class M>
found found_of(P const& term, tokens<double> const& t, M const& given) {
  std::vector<std::byte> space(1 << 16);
  std::vector<wide_sum> sums(static_cast<std::size_t>(term.sums(t.experts)));
  found r{0, std::vector<double>(t.logits.size())};
  observe(serial{}, term, given, t.choices(), row_view<wide_sum>(sums), workspace(space));
  r.value = loss_value(term, t.experts, sums);
  add_gradient(serial{}, term, given, t.choices(), row_view<wide_sum const>(sums),
               matrix_view<double>(r.d.data(), t.count, t.experts), workspace(space));
  return r;
}
template <class P, class R, class M>
void same_as_router(P const& term, R const& r, tokens<double> const& t, M const& given) {
  auto const sums = sums_of(serial{}, term, r, t);
  auto const f = found_of(term, t, given);
  CHECK(f.value == loss_value(term, t.experts, sums));
  CHECK(f.d == gradient_of(serial{}, term, r, t, sums));
}

}  // namespace

TEST_CASE("from_logits: what a router with that score says, padding left out") {
  auto t = sample(20, 6, 2);
  matrix_view<double const> const logits(t.logits.data(), t.count, t.experts);
  same_as_router(switch_balance{}, router<>{}, t, from_logits{logits});
  same_as_router(z_loss{}, router<>{}, t, from_logits{logits});
  same_as_router(switch_balance{}, router{.score = sigmoid{}}, t, from_logits{logits, sigmoid{}});
  t.valid.assign(20, 1), t.valid[4] = t.valid[19] = 0;
  same_as_router(switch_balance{}, router<>{}, t,
                 from_logits{logits, softmax{}, row_view<std::uint8_t const>(t.valid)});
}

TEST_CASE("from_scores: taken as they are, the gradient is that of the scores") {
  auto t = sample(20, 6, 2);
  std::vector<double> p(t.logits.size());
  for (offset_t i = 0; i < t.count; ++i) {
    double sum = 0;
    for (index_t e = 0; e < 6; ++e) sum += std::exp(t.logits[static_cast<std::size_t>(i * 6 + e)]);
    for (index_t e = 0; e < 6; ++e)
      p[static_cast<std::size_t>(i * 6 + e)] = std::exp(t.logits[static_cast<std::size_t>(i * 6 + e)]) / sum;
  }
  matrix_view<double const> const scores(p.data(), t.count, t.experts);
  switch_balance const term{.alpha = 1};
  auto const f = found_of(term, t, from_scores{scores});
  CHECK(f.value == doctest::Approx(value_of(term, router<>{}, t)).epsilon(1e-12));
  for (std::size_t i = 0; i < p.size(); ++i) {  // linear in the scores: any step will do
    double const x = p[i];
    p[i] = x + .01;
    double const up = found_of(term, t, from_scores{scores}).value;
    p[i] = x - .01;
    double const down = found_of(term, t, from_scores{scores}).value;
    p[i] = x;
    CHECK(f.d[i] == doctest::Approx((up - down) / .02).epsilon(1e-9));
  }
  p[3] = -infinity<double>;  // a closed expert scores 0 and learns nothing
  auto const closed = found_of(term, t, from_scores{scores});
  CHECK(std::isfinite(closed.value));
  CHECK(closed.d[3] == 0);
  CHECK(closed.d[9] == f.d[9]);
}
