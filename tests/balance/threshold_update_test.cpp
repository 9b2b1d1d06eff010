// Decides whether the causal thresholds (P36) reach their load.
#include <doctest/doctest.h>

#include <vector>

#include <moeroute/balance/threshold_update.hpp>
#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/loss/observe.hpp>

#include "support/skewed.hpp"

using namespace moeroute;

TEST_CASE("P36 threshold update: long-run load is k / E, padding and empty batches change nothing") {
  index_t const E = 4;
  std::vector<double> c(4);
  for (unsigned step = 0; step < 300; ++step) {
    auto const s = skewed(64, E, step);
    update_threshold(serial{}, threshold_update{.beta = .9, .k = 1}, matrix_view<double const>(s.data(), 64, E),
                     row_view<double>(c));
  }
  auto const fresh = skewed(4000, E, 12345);
  std::vector<double> load(4);
  for (std::size_t i = 0; i < fresh.size(); ++i) load[i % 4] += fresh[i] > c[i % 4] ? 1. / 4000 : 0.;
  for (double l : load) CHECK(l == doctest::Approx(.25).epsilon(.15));
  auto const kept = c;
  update_threshold(lockstep{3}, threshold_update{.beta = .9}, matrix_view<double const>(fresh.data(), 0, E),
                   row_view<double>(c));
  CHECK(c == kept);
  auto d = c;
  std::vector<std::uint8_t> valid(64, 0);
  for (std::size_t t = 0; t < 20; ++t) valid[t] = 1;
  update_threshold(serial{}, threshold_update{}, matrix_view<double const>(fresh.data(), 64, E), row_view<double>(c),
                   row_view<std::uint8_t const>(valid));
  update_threshold(lockstep{4}, threshold_update{}, matrix_view<double const>(fresh.data(), 20, E),
                   row_view<double>(d));
  CHECK(c == d);
}
