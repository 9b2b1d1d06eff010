#include <doctest/doctest.h>

#include <moeroute/select/top_k.hpp>

using namespace moeroute;

static_assert(sizeof(top_k{fixed<8>}) == 1 && std::same_as<decltype(top_k{8}), top_k<index_t>>);

TEST_CASE("promise P2 top_k: best first; fixed and run-time k alike; magnitude takes large negatives (S067)") {
  float const key[] = {1, -9, 3, 3, 2};
  memory_row<float const> const row{key, 5};
  index_t out[3];
  row_view<index_t> const ids{out, 3};
  top_k{3}(serial_group{}, {}, row, ids);
  CHECK((out[0] == 2 && out[1] == 3 && out[2] == 4));
  top_k{fixed<3>}(serial_group{}, {}, row, ids);
  CHECK((out[0] == 2 && out[1] == 3 && out[2] == 4));
  magnitude_top_k{3}(serial_group{}, {}, row, ids);
  CHECK((out[0] == 1 && out[1] == 2 && out[2] == 3));
  CHECK_FALSE(top_k{6}.validate(5).ok());
  CHECK_FALSE(magnitude_top_k{0}.validate(5).ok());
}
