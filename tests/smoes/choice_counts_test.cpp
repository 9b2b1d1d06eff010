// SMoES: choices by modality and expert.
#include "fixture.hpp"

using namespace smoes_test;

namespace {
template <class X>
table<std::int64_t> counted(X const& x, table<index_t> const& ids, table<index_t> const& modality, index_t modalities,
                            index_t experts, std::vector<std::uint8_t> const& valid = {}) {
  table<std::int64_t> c(modalities, experts);
  choice_counts(x, count_weight::hard, ids.seen(), modality.row(), modality_scores<float>{},
                row_view<std::uint8_t const>(valid), c.view(),
                memory(choice_counts_workspace_bytes(x, ids.rows, modalities, experts)));
  return c;
}
}  // namespace

TEST_CASE("SMoES counts: a loop over the choices, empty places and padding left out") {
  auto ids = numbers(1).ids(700, 3, 12);
  auto const modality = numbers(2).ids(1, 700, 2);
  std::vector<std::uint8_t> valid(700, 1);
  for (offset_t t = 0; t < 700; t += 7) ids.at(t, 1) = no_expert, valid[static_cast<std::size_t>(t + 3)] = 0;
  table<std::int64_t> wanted(2, 12);
  for (offset_t t = 0; t < 700; ++t)
    for (offset_t j = 0; j < 3; ++j)
      if (valid[static_cast<std::size_t>(t)] != 0 && ids.at(t, j) != no_expert)
        ++wanted.at(modality.at(0, t), ids.at(t, j));
  same_everywhere([&](auto const& x) { return counted(x, ids, modality, 2, 12, valid).values; });
  CHECK(counted(serial{}, ids, modality, 2, 12, valid).values == wanted.values);
}

TEST_CASE("SMoES counts: adding, merging shards, one row without labels, nothing at all") {
  auto const ids = numbers(3).ids(300, 2, 8);
  auto const modality = numbers(4).ids(1, 300, 2);
  auto const whole = counted(serial{}, ids, modality, 2, 8);
  table<std::int64_t> merged(2, 8);
  for (offset_t cut = 0; cut < 300; cut += 100) {
    table<index_t> part(100, 2), label(1, 100);
    for (offset_t t = 0; t < 100; ++t) {
      part.at(t, 0) = ids.at(cut + t, 0), part.at(t, 1) = ids.at(cut + t, 1);
      label.at(0, t) = modality.at(0, cut + t);
    }
    merge(merged.row(), counted(serial{}, part, label, 2, 8).seen_row());
  }
  CHECK(merged.values == whole.values);
  auto const plain = counted(serial{}, ids, table<index_t>(1, 0), 1, 8);
  for (offset_t e = 0; e < 8; ++e) CHECK(plain.at(0, e) == whole.at(0, e) + whole.at(1, e));
  CHECK(counted(serial{}, table<index_t>(0, 2), table<index_t>(1, 0), 2, 8).values == std::vector<std::int64_t>(16, 0));
}

TEST_CASE("SMoES counts: soft counts split a choice by score; hard scores give the hard counts") {
  auto const ids = numbers(5).ids(50, 2, 6);
  auto const modality = numbers(6).ids(1, 50, 2);
  table<float> u(50, 1), quarter(50, 1, .25f);
  fill_hard_scores(modality.row(), u.view());
  auto const soft = [&](table<float> const& scores) {
    table<std::int64_t> c(2, 6);
    choice_counts(serial{}, count_weight::soft, ids.seen(), {}, modality_scores<float>(scores.seen()), {}, c.view(),
                  memory(choice_counts_workspace_bytes(serial{}, 50, 2, 6)));
    return c;
  };
  auto const hard = counted(serial{}, ids, modality, 2, 6);
  auto const by_score = soft(u), split = soft(quarter);
  for (std::size_t i = 0; i < 12; ++i) CHECK(by_score.values[i] == hard.values[i] * (1 << 20));
  for (offset_t e = 0; e < 6; ++e) CHECK(split.at(0, e) == 3 * split.at(1, e));
  table<std::int64_t> c(2, 6);
  CHECK(try_choice_counts(serial{}, count_weight::hard, ids.seen(), {}, modality_scores<float>{}, {}, c.view(), {})
            .code == errc::bad_shape);
}
