// Decides whether the alignment of SAM's two routers is 0 where they agree, and its gradient the derivative.
#include <cmath>

#include <moeroute/loss/group_alignment.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
struct aligned {
  double loss = 0;
  std::vector<double> d_groups, d_experts;
};
template <class X>
aligned align(X const& x, group_alignment rule, std::vector<double> const& zg, std::vector<double> const& ze,
              offset_t groups) {
  offset_t const tokens = static_cast<offset_t>(zg.size()) / groups,
                 experts = static_cast<offset_t>(ze.size()) / tokens;
  aligned a{0, std::vector<double>(zg.size(), 77.), std::vector<double>(ze.size(), 77.)};
  std::vector<double> each(static_cast<std::size_t>(tokens));
  auto work = memory(group_alignment_workspace_bytes<X, double>(x, groups));
  group_alignment_loss(x, rule, matrix_view<double const>{zg.data(), tokens, groups},
                       matrix_view<double const>{ze.data(), tokens, experts}, row_view<double>(each),
                       matrix_view<double>{a.d_groups.data(), tokens, groups},
                       matrix_view<double>{a.d_experts.data(), tokens, experts}, workspace(work));
  for (double const l : each) a.loss += l;
  return a;
}
}  // namespace

TEST_CASE("S017 SAM alignment: 0 when the mass of every group equals its probability, above 0 otherwise") {
  std::size_t const tokens = 6, groups = 3, each = 4;
  auto const ze = normal_numbers(tokens * groups * each, 1);
  std::vector<double> zg(tokens * groups);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t n = 0; n < groups; ++n) {
      double mass = 0;
      for (std::size_t e = 0; e < each; ++e) mass += std::exp(ze[(t * groups + n) * each + e]);
      zg[t * groups + n] = std::log(mass);
    }
  auto const agree = align(serial{}, {}, zg, ze, 3);
  CHECK(agree.loss == doctest::Approx(0).scale(1).epsilon(1e-14));
  for (double const d : agree.d_groups) CHECK(std::fabs(d) < 1e-14);
  for (double const d : agree.d_experts) CHECK(std::fabs(d) < 1e-14);
  zg[0] += 1;
  CHECK(align(serial{}, {}, zg, ze, 3).loss > 1e-4);
  auto const one = normal_numbers(6, 2);  // one group: nothing to disagree about
  CHECK(align(serial{}, {}, one, ze, 1).loss == doctest::Approx(0).scale(1).epsilon(1e-14));
}

TEST_CASE("S017 SAM alignment: gradients to both routers by central differences; executors agree; refusals") {
  auto zg = normal_numbers(5 * 2, 3), ze = normal_numbers(5 * 6, 4);
  group_alignment const rule{.alpha = .7};
  auto const here = align(serial{}, rule, zg, ze, 2);
  auto const check = [&](std::vector<double>& z, std::vector<double> const& found) {
    for (std::size_t i = 0; i < z.size(); ++i) {
      double const kept = z[i];
      z[i] = kept + 1e-6;
      double const up = align(serial{}, rule, zg, ze, 2).loss;
      z[i] = kept - 1e-6;
      double const down = align(serial{}, rule, zg, ze, 2).loss;
      z[i] = kept;
      CHECK(found[i] == doctest::Approx((up - down) / 2e-6).epsilon(1e-6).scale(1));
    }
  };
  check(zg, here.d_groups), check(ze, here.d_experts);
  auto const lanes = align(lockstep{.lanes = 4}, rule, zg, ze, 2);
  CHECK(same_bits(here.d_groups, lanes.d_groups));
  CHECK(same_bits(here.d_experts, lanes.d_experts));
  CHECK_THROWS(align(serial{}, rule, zg, normal_numbers(5 * 5, 1), 2));
}
