// SMoES, oracle 12: what a routing costs across devices.
#include "fixture.hpp"

#include <cmath>
#include <set>

using namespace smoes_test;

namespace {

table<index_t> random_choices(unsigned seed, offset_t tokens, index_t k, index_t experts) {
  numbers n(seed);
  table<index_t> ids(tokens, k);
  std::vector<index_t> all(static_cast<std::size_t>(experts));
  for (index_t e = 0; e < experts; ++e) all[static_cast<std::size_t>(e)] = e;
  for (offset_t t = 0; t < tokens; ++t) {
    std::shuffle(all.begin(), all.end(), n.g);
    for (index_t j = 0; j < k; ++j) ids.at(t, j) = all[static_cast<std::size_t>(j)];
  }
  return ids;
}

}  // namespace

TEST_CASE("SMoES transfers: sets of devices in plain words") {
  auto ids = random_choices(1, 200, 4, 12);
  for (offset_t t = 0; t < 200; t += 9) ids.at(t, t % 4) = no_expert;
  for (index_t j = 0; j < 4; ++j) ids.at(5, j) = no_expert;
  auto const device = numbers(2).ids(1, 12, 3), home = numbers(3).ids(1, 200, 3), modality = numbers(4).ids(1, 200, 2);
  transfer_tally wanted, of_text;
  std::vector<std::int64_t> load(3), found(3);
  for (offset_t t = 0; t < 200; ++t) {
    std::set<index_t> used;
    transfer_tally one;
    for (index_t j = 0; j < 4; ++j)
      if (index_t const e = ids.at(t, j); e != no_expert) {
        used.insert(device.at(0, e)), ++one.slots, ++load[static_cast<std::size_t>(device.at(0, e))];
        one.off_home += device.at(0, e) != home.at(0, t);
      }
    one.tokens = !used.empty(), one.span = used.size() > 1;
    used.erase(home.at(0, t));
    one.any = !used.empty(), one.copies = static_cast<std::int64_t>(used.size());
    wanted += one;
    if (modality.at(0, t) == 1) of_text += one;
  }
  auto const r = transfers(ids.seen(), device.row(), home.row(), row_view<std::int64_t>(found));
  auto const text = transfers(ids.seen(), device.row(), home.row(), {}, modality.row(), 1);
  for (auto const& [a, b] : {std::pair{r, wanted}, std::pair{text, of_text}}) {
    CHECK(a.tokens == b.tokens);
    CHECK(a.slots == b.slots);
    CHECK(a.any == b.any);
    CHECK(a.span == b.span);
    CHECK(a.off_home == b.off_home);
    CHECK(a.copies == b.copies);
  }
  CHECK(found == load);
  CHECK(r.bytes(64, 2) == r.copies * 256);
  CHECK(transfer_tally{}.r_any() == 0.);
}

TEST_CASE("SMoES transfers: uniform routing meets the closed forms; one device is free") {
  for (index_t const Q : {1, 2, 4}) {
    constexpr index_t experts = 16, k = 3;
    constexpr offset_t tokens = 40000;
    auto const ids = random_choices(5, tokens, k, experts);
    table<index_t> device(1, experts), home(1, tokens);
    place_in_order({}, Q, device.row());
    homes_in_runs(Q, home.row());
    auto const r = transfers(ids.seen(), row_view<index_t const>(device.row()), row_view<index_t const>(home.row()));
    CHECK(std::fabs(r.r_any() - uniform_r_any(experts, k, Q)) < .01);
    CHECK(std::fabs(r.r_slot() - uniform_r_slot(Q)) < .01);
    CHECK(std::fabs(r.r_span() - uniform_r_span(experts, k, Q)) < .01);
    CHECK(std::fabs(static_cast<double>(r.copies) / tokens - uniform_copies(experts, k, Q)) < .02);
    if (Q == 1) CHECK(r.copies == 0);
  }
  CHECK(uniform_r_any(64, 8, 2) == doctest::Approx(.9976236088972082).epsilon(1e-14));
  CHECK(uniform_r_any(8, 3, 4) == 1.);  // more choices than local experts
}

TEST_CASE("SMoES transfers: experts permuted inside a device change nothing") {
  auto const ids = random_choices(6, 300, 2, 8);
  table<index_t> device(1, 8), home(1, 300), moved = ids;
  place_in_order({}, 2, device.row());
  homes_in_runs(2, home.row());
  for (index_t& e : moved.values) e = e / 4 * 4 + (e + 1) % 4;
  auto const a = transfers(ids.seen(), row_view<index_t const>(device.row()), row_view<index_t const>(home.row()));
  auto const b = transfers(moved.seen(), row_view<index_t const>(device.row()), row_view<index_t const>(home.row()));
  CHECK((a.any == b.any && a.copies == b.copies && a.span == b.span && a.off_home == b.off_home));
}

TEST_CASE(
    "SMoES placement: bins in runs, any order in runs, homes by modality, sizes that do not "
    "divide") {
  std::vector<index_t> const bin{3, 0, 1, 2, 3, 0, 1, 2}, order{4, 0, 7, 3, 2, 6, 1, 5};
  table<index_t> device(1, 8);
  place_bins(row_view<index_t const>(bin), 4, 2, device.row());
  CHECK(device.values == std::vector<index_t>{1, 0, 0, 1, 1, 0, 0, 1});
  place_in_order(row_view<index_t const>(order), 4, device.row());
  for (index_t r = 0; r < 8; ++r) CHECK(device.at(0, order[static_cast<std::size_t>(r)]) == r / 2);
  CHECK(try_place_bins(row_view<index_t const>(bin), 4, 3, device.row()).code == errc::bad_shape);
  CHECK(try_place_in_order({}, 3, device.row()).code == errc::bad_shape);

  table<std::int64_t> counts(2, 8), by_device(2, 4);
  for (offset_t e = 0; e < 8; ++e)
    counts.at(0, e) = device.at(0, e) == 0 ? 5 : 1, counts.at(1, e) = device.at(0, e) == 3 ? 9 : 2;
  count_devices(counts.seen(), row_view<index_t const>(device.row()), by_device.view());
  table<index_t> home_of(1, 2), home(1, 3);
  home_by_modality(by_device.seen(), home_of.row());
  CHECK(home_of.values == std::vector<index_t>{0, 3});
  std::vector<index_t> const modality{1, 0, 1};
  homes_of_tokens(row_view<index_t const>(modality), row_view<index_t const>(home_of.row()), home.row());
  CHECK(home.values == std::vector<index_t>{3, 0, 3});
}

TEST_CASE("SMoES time: transfer hides behind compute, or adds to it") {
  link_model const link{.latency = 1e-3, .bandwidth = 1e6, .seconds_per_slot = 1e-4, .overlapped = true};
  CHECK(link.transfer(2, 3000) == doctest::Approx(5e-3));
  CHECK(link.layer(100, 2, 3000) == doctest::Approx(1e-2));
  CHECK(link.layer(10, 2, 3000) == doctest::Approx(5e-3));
  auto apart = link;
  apart.overlapped = false;
  CHECK(apart.layer(100, 2, 3000) == doctest::Approx(1.5e-2));
}
