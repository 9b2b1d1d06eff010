#include <doctest/doctest.h>

#include <moeroute/cuda/register_layout.hpp>

#include <vector>

using namespace moeroute;

namespace {

// Every expert has one place, codes order as ids do, and give them back.
template <class Layout>
void check(Layout const& l) {
  CAPTURE(l.experts());
  std::vector<int> seen(static_cast<std::size_t>(l.experts()));
  std::vector<std::uint32_t> code(seen.size());
  for (index_t rank = 0; rank < Layout::lanes; ++rank)
    for (index_t i = 0; i < l.chunks() * Layout::chunk; ++i)
      if (l.holds(rank, i)) {
        auto const e = static_cast<std::size_t>(l.id(rank, i));
        REQUIRE(e < seen.size());
        ++seen[e];
        index_t const n = i / Layout::chunk;
        auto const later = static_cast<std::uint32_t>(l.chunks() - 1 - n) * Layout::rise;
        code[e] = l.place_code(n, i % Layout::chunk) + later + l.lane_code(rank);
        CHECK(code[e] <= l.mask());
        CHECK(l.expert(code[e] | ~l.mask()) == static_cast<index_t>(e));
      }
  for (int n : seen) CHECK(n == 1);
  for (std::size_t e = 1; e < code.size(); ++e) CHECK(code[e] < code[e - 1]);
  for (std::uint32_t any = 0; any <= l.mask(); ++any) CHECK(l.expert(any) < l.experts());
}

}  // namespace

TEST_CASE("every expert has one place, and codes order as ids do") {
  for (index_t experts : {1, 7, 8, 60, 64, 65, 100, 256, 300, 1000}) {
    check(register_layout<8, 4, false>::of(experts, 1));
    check(register_layout<8, 8, false>::of(experts, 1));
    check(register_layout<32, 8, false>::of(experts, 1));
  }
  check(register_layout<8, 8, false, 256>{});
  check(register_layout<8, 4, false, 60>{});
  check(register_layout<8, 8, true, 256, 8>{});
  check(register_layout<32, 8, true, 256, 8>{});
  check(register_layout<8, 4, true, 160, 8>{});
  for (index_t groups : {1, 2, 4, 8, 16, 32})
    for (index_t width : {1, 3, 8, 20, 33}) {
      if (groups <= 8) check(register_layout<8, 8, true>::of(groups * width, groups));
      check(register_layout<32, 4, true>::of(groups * width, groups));
    }
}

TEST_CASE("vectors are told from the address and the length of a run") {
  alignas(16) float row[64] = {};
  CHECK(register_layout<8, 4, false, 64>{}.on_vectors(row));
  CHECK(!register_layout<8, 4, false, 64>{}.on_vectors(row + 1));
  CHECK(register_layout<8, 4, true>::of(64, 8).on_vectors(row));
  CHECK(!register_layout<8, 4, true>::of(48, 8).on_vectors(row));
  CHECK(detail::vector_of<float>(20) == 4);
  CHECK(detail::vector_of<std::uint16_t>(20) == 4);
}
