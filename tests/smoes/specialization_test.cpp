// SMoES, oracle 11: the modality specialization index and load reports.
#include "fixture.hpp"

using namespace smoes_test;

namespace {
double index_of(table<std::int64_t> const& counts) {
  table<double> share(1, counts.cols);
  return specialization(counts.seen(), share.row());
}
}  // namespace

TEST_CASE("SMoES MSI: 0 for proportional use, 1 for disjoint use, whatever the tokens of each modality") {
  table<std::int64_t> counts(2, 6);
  for (offset_t e = 0; e < 6; ++e) counts.at(0, e) = 30 * (e + 1), counts.at(1, e) = 2 * (e + 1);
  CHECK(index_of(counts) == doctest::Approx(0.));
  for (offset_t e = 0; e < 6; ++e) counts.at(0, e) = e < 3 ? 100 : 0, counts.at(1, e) = e < 3 ? 0 : 1;
  CHECK(index_of(counts) == doctest::Approx(1.));
  CHECK(index_of(table<std::int64_t>(2, 6)) == 0.);  // nobody chosen: every share 1/2
}

TEST_CASE("SMoES MSI: hybrid layouts score their bound experts, as the closed form of pools says") {
  for (auto const& pools :
       {hybrid_pools(16, 32, 16), hybrid_pools(16, 16, 32), isolated_pools(32, 32), isolated_pools(16, 48)}) {
    table<std::int64_t> counts(2, pools.experts());
    for (index_t m = 0; m < 2; ++m) {
      index_t const open = m == text_modality ? pools.text + pools.shared : pools.vision + pools.shared;
      for (index_t e = 0; e < pools.experts(); ++e)
        if (pools.open(m, e)) counts.at(m, e) = 720720 / open;
    }
    CHECK(index_of(counts) == doctest::Approx(pools.specialization()).epsilon(1e-6));
  }
  CHECK(hybrid_pools(16, 32, 16).specialization() == doctest::Approx(.5));
  CHECK(isolated_pools(32, 32).specialization() == 1.);
}

TEST_CASE("SMoES MSI: layers are averaged; text against the rest for more modalities") {
  numbers n(1);
  table<std::int64_t> counts(6, 5);
  for (auto& c : counts.values) c = n.below(100);
  table<double> share(2, 5), per_layer(1, 2);
  double const msi = specialization(counts.seen(), 3, share.view(), per_layer.row(), 2);
  CHECK(msi == doctest::Approx((per_layer.at(0, 0) + per_layer.at(0, 1)) / 2));
  table<std::int64_t> two(2, 5);
  for (offset_t e = 0; e < 5; ++e) two.at(0, e) = counts.at(0, e) + counts.at(1, e), two.at(1, e) = counts.at(2, e);
  CHECK(index_of(two) == doctest::Approx(per_layer.at(0, 0)));
}

TEST_CASE("SMoES load: by bin, by device, inside bins") {
  std::vector<std::int64_t> const counts{10, 30, 5, 5};
  std::vector<index_t> const bin{0, 0, 1, 1};
  std::vector<std::int64_t> load(2);
  load_by_part(row_view<std::int64_t const>(counts), row_view<index_t const>(bin), row_view<std::int64_t>(load));
  CHECK(load == std::vector<std::int64_t>{40, 10});
  auto const report = load_of(row_view<std::int64_t const>(load));
  CHECK(report.most == .8);
  CHECK(report.least == .2);
  CHECK(report.variation == doctest::Approx(15. / 25));
  CHECK(variation_inside(row_view<std::int64_t const>(counts), row_view<index_t const>(bin), 2) ==
        doctest::Approx((.5 + 0) / 2));
  CHECK(load_of(row_view<std::int64_t const>(std::vector<std::int64_t>(3))).variation == 0.);
}
