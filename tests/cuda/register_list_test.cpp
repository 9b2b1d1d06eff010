#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/register_list.hpp>
#include <moeroute/select/top_k.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <vector>

using namespace moeroute;

template <>
inline constexpr half_format moeroute::half_format_of<Eigen::bfloat16> = half_format::bf16;

namespace {

struct lane {
  index_t place;
  index_t rank() const { return place; }
};

// The lists of all lanes, pass by pass, against all keys of the lane's experts, sorted.
template <class Layout, class R, class T>
void check(R const& r, Layout place, std::vector<T> const& row) {
  using lists = register_list<R, T, Layout>;
  CAPTURE(row.size());
  for (bool const vectors : {true, false}) {
    if (vectors != place.on_vectors(row.data()) && (vectors || Layout::known)) continue;
    if (!vectors) place.without_vectors();
    auto const list = lists::of(place);
    for (index_t l = 0; l < Layout::lanes; ++l) {
      std::vector<std::pair<std::int32_t, index_t>> mine;  // exact numbers, larger and then lower ids first
      for (index_t i = 0; i < place.chunks() * Layout::chunk; ++i)
        if (place.holds(l, i)) {
          index_t const e = place.id(l, i);
          float const z = load(row[static_cast<std::size_t>(e)]);
          mine.push_back({order_key<float>(detail::key_of(r, {}, e, z, ranks_logits<R> ? z : sigmoid{}(z))), -e});
        }
      std::sort(mine.begin(), mine.end(), std::greater<>{});
      typename lists::keys own;
      network::key ceiling = 0;
      for (std::size_t first = 0; first < std::max<std::size_t>(mine.size(), 1); first += 8, ceiling = own[7]) {
        list.best(lane{l}, r, row_context{}, no_summary{}, row.data(), first > 0, ceiling, own);
        CHECK(std::is_sorted(std::begin(own), std::end(own), std::greater<>{}));
        for (std::size_t i = 0; i < 8 && first + i < mine.size(); ++i) {
          index_t const e = place.expert(own[i]);
          if constexpr (lists::exact_keys) {
            CHECK(e == -mine[first + i].second);
          } else if (mine[first + i].first != least<std::int32_t>) {  // whoever belongs here reaches the floor
            CHECK(std::count_if(mine.begin(), mine.end(), [&](auto m) { return m.second == -e; }) == 1);
            CHECK(own[i] >= list.floor_of(mine[first + i].first));
          }
        }
      }
    }
  }
}

template <class T>
std::vector<T> some_row(index_t experts, int kind) {
  std::vector<T> row(static_cast<std::size_t>(experts) + 8);  // vectors may reach beyond, but are not read
  for (std::size_t e = 0; e < row.size(); ++e) {
    float x = draws{.seed = 4}.normal(kind, static_cast<index_t>(e));
    if (kind == 1) x = static_cast<float>(static_cast<int>(2 * x)) / 2;  // ties
    if (kind == 2) x = math::as<float>(static_cast<std::int32_t>(draws{.seed = 9}.bits(kind, static_cast<index_t>(e))));
    row[e] = static_cast<T>(x);
  }
  return row;
}

template <class T, class R>
void check_all(R const& r) {
  constexpr index_t vec = detail::vector_of<T>(0);
  for (int kind : {0, 1, 2}) {
    for (index_t experts : {1, 8, 60, 64, 65, 128, 200, 300})
      check(r, register_layout<8, vec, false>::of(experts, 1), some_row<T>(experts, kind));
    check(r, register_layout<32, vec, false>::of(300, 1), some_row<T>(300, kind));
    check(r, register_layout<8, vec, false, 256>{}, some_row<T>(256, kind));
    check(r, register_layout<8, 4, false, 60>{}, some_row<T>(60, kind));
    check(r, register_layout<8, vec, true, 256>{}, some_row<T>(256, kind));
    for (index_t groups : {1, 2, 8})
      for (index_t width : {1, 8, 33})
        check(r, register_layout<8, vec, true>::of(groups * width, groups), some_row<T>(groups * width, kind));
  }
}

}  // namespace

TEST_CASE("a lane's list: the best of its experts, ties by the lower id, pass after pass") {
  check_all<Eigen::bfloat16>(router{.select = top_k{8}});
}

TEST_CASE("a lane's list of filter keys: whoever belongs in it is not below the floor") {
  check_all<float>(router{.select = top_k{8}});
  std::vector<float> bias;
  for (index_t e = 0; e < 320; ++e) bias.push_back(draws{.seed = 6}.normal(0, e));
  correction_bias<> const b{row_view<float const>(bias)};
  check_all<float>(router{.score = sigmoid{}, .bias = b, .select = top_k{8}});
  check_all<float>(router{.score = sigmoid{}, .select = top_k{8}});
}
