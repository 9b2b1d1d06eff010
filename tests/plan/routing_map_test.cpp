// Decides whether routing maps become the choices they hold and are padded from the top of each column.
#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/plan/routing_map.hpp>

using namespace moeroute;

namespace {
using map_t = std::vector<std::uint8_t>;
matrix_view<std::uint8_t const> view(map_t const& m, offset_t experts) {
  return {m.data(), static_cast<offset_t>(m.size()) / experts, experts};
}
template <class X>
map_t padded(X const& x, map_t const& m, offset_t experts, offset_t multiple) {
  map_t out(m.size(), 7);
  pad_routing_map(x, view(m, experts), multiple, {out.data(), view(m, experts).rows, experts});
  return out;
}
}  // namespace

TEST_CASE("routing map: the first zeros of a column are switched on") {
  map_t const m{0, 1, 0,  //
                1, 1, 0,  //
                0, 0, 0,  //
                1, 1, 0};
  map_t const by_4{1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0};
  CHECK(padded(serial{}, m, 3, 4) == by_4);
  CHECK(padded(threads{2}, m, 3, 4) == by_4);
  CHECK(padded(lockstep{4}, m, 3, 4) == by_4);
  CHECK(padded(serial{}, m, 3, 2) == map_t{0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0});
  CHECK(padded(serial{}, m, 3, 1) == m);
  CHECK(padded(serial{}, m, 3, 16) == map_t{1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0});  // all rows, and no more
  CHECK(try_pad_routing_map(serial{}, view(m, 3), 0, {nullptr, 4, 3}).code == errc::bad_value);
}

TEST_CASE("routing map: choices are the ones of a row, ascending") {
  map_t const m{0, 1, 1,  //
                0, 0, 0,  //
                1, 0, 1};
  auto const check = [&](auto const& x) {
    std::vector<offset_t> offsets(4);
    std::vector<index_t> ids(static_cast<std::size_t>(choices_in(view(m, 3))));
    choices_of_map(x, view(m, 3), row_view<offset_t>(offsets), row_view<index_t>(ids));
    CHECK(offsets == std::vector<offset_t>{0, 2, 2, 4});
    CHECK(ids == std::vector<index_t>{1, 2, 0, 2});
  };
  check(serial{}), check(threads{3}), check(lockstep{4});
  std::vector<offset_t> offsets(4);
  std::vector<index_t> few(2);
  CHECK(try_choices_of_map(serial{}, view(m, 3), row_view<offset_t>(offsets), row_view<index_t>(few)).code ==
        errc::bad_shape);
}
