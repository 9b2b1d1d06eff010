// Decides how a scheme enters the comparison: a name, its catalogue id, and a function from the world to
// routes. Namespace: moeroute_examples.
//
// To add one, add a line to the list of a contenders_<family>.cpp (or write such a file; CMake finds it):
//
//   register_contenders const registered{{
//       contender_of<[](world const& w) { return moeroute::router{...}; }>("name", "S042"),
//       {"name", "S043", [](world const& w) -> preset_routes { ... any verb ... }},
//   }};
#pragma once

#include <functional>

#include "compare_schemes/world.hpp"

namespace moeroute_examples {

struct contender {
  std::string name, id;
  std::function<preset_routes(world const&)> run;
};
inline std::vector<contender>& all_contenders() {
  static std::vector<contender> all;
  return all;
}
struct register_contenders {
  register_contenders(std::initializer_list<contender> some) {
    all_contenders().insert(all_contenders().end(), some.begin(), some.end());
  }
};

// Any token-choice router.
template <auto Make>
contender contender_of(char const* name, char const* id) {
  return {name, id, [](world const& w) {
            auto const r = Make(w);
            auto const k = std::int64_t{r.select.experts_per_token()};
            preset_routes out{tensor<moeroute::index_t>({w.size(), k}), tensor<float>({w.size(), k}),
                              moeroute::describe(r).c_str()};
            auto work = memory(moeroute::route_workspace_bytes(w.executor, r, w.size(), w.experts()));
            moeroute::route(w.executor, r, w.batch(),
                            moeroute::routing_view<>{out.ids.matrix(), out.weights.matrix(), {}},
                            moeroute::workspace(work));
            return out;
          }};
}

}  // namespace moeroute_examples
