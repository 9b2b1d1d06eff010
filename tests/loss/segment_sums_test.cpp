// Decides whether the sums of a segment lie where they are read: tokens, slots, counts, mass.
#include <doctest/doctest.h>

#include <vector>

#include <moeroute/loss/segment_sums.hpp>

using namespace moeroute;

TEST_CASE("segment_sums: choices are counted in their segment, odd ids only as slots") {
  index_t const experts = 4;
  std::vector<wide_sum> all(static_cast<std::size_t>(2 * segment_sums_of(experts)));
  std::vector<index_t> const ids{2, 2, no_expert, 7};
  std::vector<float> scores{.5f, .25f, .125f, .125f};
  token_row<float, index_t, softmax> row;
  row.experts = experts;
  row.scores = {scores.data(), experts};
  row.ids = row_view<index_t const>(ids);
  segment_sums<wide_sum> const second{row_view<wide_sum>(all), experts, 1};
  second.add_scores(serial_group{}, row, false, 0);
  second.add_choices(row, 4);
  CHECK(second.tokens() == 1);
  CHECK(second.slot_count() == 4);
  CHECK(second.count(2) == 2);
  CHECK(second.count(0) + second.count(1) + second.count(3) == 0);
  for (index_t e = 0; e < experts; ++e)
    CHECK(second.mass(e) == static_cast<double>(scores[static_cast<std::size_t>(e)]));
  segment_sums<wide_sum> const first{row_view<wide_sum>(all), experts, 0};
  CHECK(first.tokens() == 0);
  CHECK(first.slot_count() == 0);
}

TEST_CASE("segment_sums: a segment number beyond the last is counted as such, a negative one is nobody's") {
  wide_sum beyond{};
  CHECK(segment_in(serial_group{}, 1, 2, beyond) == 1);
  CHECK(segment_in(serial_group{}, -1, 2, beyond) == -1);
  CHECK(beyond.count() == 0);
  CHECK(segment_in(serial_group{}, 2, 2, beyond) == -1);
  CHECK(beyond.count() == 1);
}
