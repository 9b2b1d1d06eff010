#include <doctest/doctest.h>

#include <vector>

#include <moeroute/core/best.hpp>
#include <moeroute/cpu/lockstep.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

namespace {

struct best_body {
  row_view<float const> key;
  row_view<index_t> out;
  index_t every;  // only ids divisible by it are allowed
  index_t* filled;
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const& g, offset_t, scratch) const {
    index_t const n = take_best(g, memory_row<float const>{key.data, static_cast<index_t>(key.size)}, out,
                                [e = every](index_t id) { return id % e == 0; });
    if (g.rank() == g.size() - 1) *filled = n;
  }
};

}  // namespace

TEST_CASE("promise P1 P2 take_best: equals a full stable sort, for every group, over adversarial rows") {
  for (std::size_t experts : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{60}, std::size_t{257}}) {
    for (auto const& row : inputs::adversarial(experts)) {
      std::vector<int> const want = reference::order(reference::row(row.begin(), row.end()));
      for (index_t every : {1, 3}) {
        std::vector<int> allowed;
        for (int id : want)
          if (id % every == 0) allowed.push_back(id);
        for (std::size_t k : {std::size_t{1}, std::size_t{2}, std::size_t{6}, experts}) {
          if (k > experts) continue;
          std::vector<index_t> expected(k, no_expert);
          for (std::size_t j = 0; j < k && j < allowed.size(); ++j) expected[j] = allowed[j];
          auto const check = [&](auto const& exec) {
            std::vector<index_t> out(k, 99999);
            index_t filled = -1;
            REQUIRE(
                exec.run(1, best_body{row_view<float const>(row), row_view<index_t>(out), every, &filled}, {}).ok());
            CHECK(out == expected);
            CHECK(filled == static_cast<index_t>(std::min(k, allowed.size())));
          };
          check(serial{});
          if (experts <= 60)
            for (index_t lanes : {2, 3, 8}) check(lockstep{lanes});
        }
      }
    }
  }
}
