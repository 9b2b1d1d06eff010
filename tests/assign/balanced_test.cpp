// Decides whether the auction balances exactly and stays within its bound of an exact optimum.
#include <cmath>

#include <moeroute/assign/balanced.hpp>

#include "support/assignment.hpp"
#include "support/choice.hpp"

using namespace choice_test;

namespace {

template <class X, class V>
std::vector<index_t> assign(X const& x, std::vector<V> const& s, offset_t experts, assignment_report& report,
                            auction how = {}) {
  offset_t const tokens = static_cast<offset_t>(s.size()) / experts;
  std::vector<index_t> out(static_cast<std::size_t>(tokens), 77);
  auto work = memory(balanced_workspace_bytes<X, V>(x, tokens, experts));
  report = balanced_assignment(x, how, matrix_view<V const>{s.data(), tokens, experts}, row_view<index_t>(out),
                               workspace(work));
  return out;
}
}  // namespace

TEST_CASE("S019 preset P37 balanced assignment: optimal on small cases") {
  for (unsigned seed = 0; seed < 30; ++seed) {
    std::size_t const experts = 2 + seed % 3, tokens = 6 * experts / (seed % 2 + 1);
    if (tokens % experts != 0) continue;
    auto const s = normal_numbers(tokens * experts, seed);
    assignment_report report;
    auto const out = assign(serial{}, s, static_cast<offset_t>(experts), report, {.epsilon = 1e-6});
    check_balanced(out, experts);
    CHECK(report.total_score ==
          doctest::Approx(optimum(s, tokens, experts)).epsilon(1e-4 / std::fabs(report.total_score)));
  }
}

TEST_CASE("S019 balanced assignment: within T epsilon of the optimum, random and skewed 64 x 8") {
  for (unsigned seed = 0; seed < 20; ++seed) {
    auto s = normal_numbers(64 * 8, 100 + seed);
    if (seed % 2 == 1)
      for (std::size_t i = 0; i < s.size(); ++i) s[i] += i % 8 < 2 ? 3 : 0;
    assignment_report report;
    auto const out = assign(serial{}, s, 8, report);
    check_balanced(out, 8);
    double const best = optimum(s, 64, 8);
    CHECK(report.total_score <= best + 1e-9);
    CHECK(report.total_score >= best - 64 * report.epsilon);
    CHECK(report.gap <= 64 * report.epsilon);
    CHECK(report.total_score >= best - report.gap - 1e-9);
    CHECK(report.rounds < 64);  // the released rule settles these
    assignment_report second;
    auto const sure = assign(serial{}, s, 8, second, {.fast_rounds = 0});
    check_balanced(sure, 8);
    CHECK(second.total_score >= best - 64 * second.epsilon);
    CHECK(second.gap <= 64 * second.epsilon);
    double total = 0;
    for (std::size_t t = 0; t < 64; ++t) total += s[t * 8 + static_cast<std::size_t>(out[t])];
    CHECK(total == doctest::Approx(report.total_score));
  }
}

TEST_CASE("S019 balanced assignment: equal scores, not finite scores, one expert, no token") {
  assignment_report report;
  check_balanced(assign(serial{}, std::vector<double>(48, 1.), 4, report), 4);
  check_balanced(assign(serial{}, std::vector<float>(48, -infinity<float>), 4, report), 4);
  auto s = narrow(normal_numbers(48, 3));
  s[3] = not_a_number<float>, s[7] = infinity<float>, s[9] = -infinity<float>;
  check_balanced(assign(serial{}, s, 4, report), 4);
  check_balanced(assign(serial{}, s, 1, report), 1);
  CHECK(assign(serial{}, std::vector<float>{}, 4, report).empty());
  std::vector<float> huge(64);
  for (std::size_t i = 0; i < 64; ++i) huge[i] = 1e30f * (static_cast<float>(i % 7) - 3);
  check_balanced(assign(serial{}, huge, 4, report), 4);
}

TEST_CASE("S019 balanced assignment: tokens that do not divide are refused; executors agree") {
  std::vector<float> const s(42);
  std::vector<index_t> out(14);
  CHECK(try_balanced_assignment(serial{}, {}, matrix_view<float const>{s.data(), 14, 3}, row_view<index_t>(out), {})
            .argument == std::string("experts of a balanced assignment"));
  auto const f = narrow(normal_numbers(96 * 8, 4));
  assignment_report report;
  auto const a = assign(serial{}, f, 8, report);
  CHECK(a == assign(lockstep{.lanes = 4}, f, 8, report));
  CHECK(a == assign(threads{2}, f, 8, report));
}
