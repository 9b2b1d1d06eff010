// SMoES, oracle 8: bins.
#include "fixture.hpp"

#include <moeroute/route.hpp>

using namespace smoes_test;

namespace {

struct bins_state {
  table<double> moving, preference;
  table<index_t> order, bin;
  bins_state(index_t modalities, offset_t experts)
      : moving(modalities, experts), preference(1, experts), order(1, experts), bin(1, experts) {}
};
template <class X>
void step(X const& x, expert_binning const& rule, table<std::int64_t> const& counts, bins_state& s) {
  update_bins(x, rule, counts.seen(), s.moving.view(), s.preference.row(), s.order.row(), s.bin.row(),
              memory(x.workspace_bytes(0)));
}
table<std::int64_t> random_counts(unsigned seed, offset_t experts) {
  numbers n(seed);
  table<std::int64_t> c(2, experts);
  for (auto& v : c.values) v = n.below(1000);
  return c;
}

}  // namespace

TEST_CASE("SMoES bins: equal runs of the experts by text share, ties to the lower id") {
  for (index_t const bins : {1, 2, 4, 8, 16}) {
    bins_state s(2, 16);
    auto const counts = random_counts(1, 16);
    step(serial{}, {.bins = bins, .beta = .9}, counts, s);
    std::vector<index_t> size(static_cast<std::size_t>(bins), 0), wanted(16);
    for (offset_t e = 0; e < 16; ++e) {
      ++size[static_cast<std::size_t>(s.bin.at(0, e))];
      wanted[static_cast<std::size_t>(e)] = static_cast<index_t>(e);
      CHECK(s.moving.at(0, e) == doctest::Approx(.1 * static_cast<double>(counts.at(0, e))));
    }
    for (index_t const n : size) CHECK(n == 16 / bins);
    std::stable_sort(wanted.begin(), wanted.end(), [&](index_t a, index_t b) {
      auto const ratio = [&](index_t e) { return s.moving.at(1, e) / (s.moving.at(0, e) + s.moving.at(1, e)); };
      return ratio(a) < ratio(b);
    });
    CHECK(s.order.values == wanted);
    for (offset_t r = 0; r < 16; ++r) CHECK(s.bin.at(0, wanted[static_cast<std::size_t>(r)]) == r * bins / 16);
  }
  bins_state even(2, 6);
  step(serial{}, {.bins = 3}, table<std::int64_t>(2, 6), even);  // nobody was chosen: all 1/2
  CHECK(even.order.values == std::vector<index_t>{0, 1, 2, 3, 4, 5});
  CHECK(even.preference.at(0, 3) == .5);
}

TEST_CASE(
    "SMoES bins: scaling one modality's counts leaves them; beta 0 follows the batch, beta 1 is "
    "frozen") {
  auto const counts = random_counts(2, 32);
  auto scaled = counts;
  for (offset_t e = 0; e < 32; ++e) scaled.at(0, e) *= 7;
  bins_state a(2, 32), b(2, 32);
  step(serial{}, {.bins = 8}, counts, a), step(serial{}, {.bins = 8}, scaled, b);
  CHECK(a.order.values == b.order.values);
  CHECK(a.bin.values == b.bin.values);

  auto const later = random_counts(3, 32);
  bins_state fresh(2, 32);
  step(serial{}, {.bins = 8, .beta = 0}, later, fresh);
  auto followed = a;
  step(serial{}, {.bins = 8, .beta = 0}, later, followed);
  CHECK(followed.bin.values == fresh.bin.values);
  auto frozen = a;
  step(serial{}, {.bins = 8, .beta = 1}, later, frozen);
  CHECK(frozen.bin.values == a.bin.values);
}

TEST_CASE(
    "SMoES bins: a count that bins do not divide is refused by name, or spread by the stated "
    "rule") {
  bins_state s(2, 10);
  auto const counts = random_counts(4, 10);
  status const refused = try_update_bins(serial{}, {.bins = 4}, counts.seen(), s.moving.view(), s.preference.row(),
                                         s.order.row(), s.bin.row(), {});
  CHECK(refused.code == errc::bad_shape);
  CHECK(std::string(refused.argument) == "binning.bins");
  CHECK((refused.found == 4 && refused.wanted == 10));
  step(serial{}, {.bins = 4, .uneven = uneven_bins::spread}, counts, s);
  for (offset_t r = 0; r < 10; ++r) {  // bin i: ranks from floor(10 i / 4)
    index_t i = 3;
    while (i * 10 / 4 > r) --i;
    CHECK(s.bin.at(0, s.order.at(0, r)) == i);
  }
  CHECK(expert_binning{.bins = 11}.validate(10).code == errc::bad_value);
  CHECK(expert_binning{.bins = 0}.validate(10).code == errc::bad_value);
}

TEST_CASE("SMoES bins: fixed bins are consecutive ids; every group the same bits") {
  bins_state s(2, 8);
  step(serial{}, {.bins = 2, .rule = bin_rule::fixed}, random_counts(5, 8), s);
  CHECK(s.bin.values == std::vector<index_t>{0, 0, 0, 0, 1, 1, 1, 1});
  same_everywhere([](auto const& x) {
    bins_state b(2, 40);
    step(x, {.bins = 8}, random_counts(6, 40), b), step(x, {.bins = 8}, random_counts(7, 40), b);
    auto out = b.moving.values;
    for (index_t const e : b.order.values) out.push_back(e);
    return out;
  });
}

TEST_CASE("SMoES bins: relabeled experts make bins consecutive and route as before") {
  constexpr offset_t tokens = 30;
  constexpr index_t experts = 12;
  bins_state s(2, experts);
  step(serial{}, {.bins = 4}, random_counts(8, experts), s);
  table<index_t> new_id(1, experts);
  relabel(s.order.row(), new_id.row());
  for (index_t e = 0; e < experts; ++e) CHECK(s.bin.at(0, e) == new_id.at(0, e) / 3);

  auto const gate = numbers(9).normals<double>(experts, 5), x = numbers(10).normals<double>(tokens, 5);
  auto const bodies = numbers(11).normals<double>(experts, 1);  // an expert: one number times the sum of x
  table<double> moved_gate(experts, 5), moved_bodies(experts, 1);
  permute_experts(row_view<index_t const>(s.order.row()), gate.seen(), moved_gate.view());
  permute_experts(row_view<index_t const>(s.order.row()), bodies.seen(), moved_bodies.view());
  auto const run = [&](table<double> const& w, table<double> const& body, table<index_t>& ids) {
    table<double> logits(tokens, experts), weights(tokens, 3), out(tokens, 1);
    for (offset_t t = 0; t < tokens; ++t)
      for (index_t e = 0; e < experts; ++e)
        for (offset_t d = 0; d < 5; ++d) logits.at(t, e) += w.at(e, d) * x.at(t, d);
    router const r{.select = top_k{3}, .weigh = renormalize{}};
    route(serial{}, r, batch<double, double>{.logits = logits.seen()},
          routing_view<index_t, double>{ids.view(), weights.view(), {}},
          memory(route_workspace_bytes<serial, decltype(r), double>(serial{}, r, tokens, experts)));
    for (offset_t t = 0; t < tokens; ++t)
      for (offset_t j = 0; j < 3; ++j) out.at(t, 0) += weights.at(t, j) * body.at(ids.at(t, j), 0);
    return out;
  };
  table<index_t> ids(tokens, 3), moved_ids(tokens, 3);
  auto const before = run(gate, bodies, ids), after = run(moved_gate, moved_bodies, moved_ids);
  for (offset_t t = 0; t < tokens; ++t) CHECK(after.at(t, 0) == doctest::Approx(before.at(t, 0)).epsilon(1e-14));
  relabel_ids(row_view<index_t const>(new_id.row()), ids.view());
  CHECK(ids.values == moved_ids.values);
}
