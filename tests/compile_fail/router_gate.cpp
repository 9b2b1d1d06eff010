// A gate that does not say how many experts it has.
// expect: router.gate: give a type with  index_t experts() const
// also: nvcc
#include <moeroute/moeroute.hpp>

struct my_gate {
  moeroute::offset_t workspace_bytes(auto const&, moeroute::offset_t) const { return 0; }
  moeroute::status operator()(auto const&, auto, auto, moeroute::workspace) const noexcept { return {}; }
#if !defined(FAIL)
  moeroute::index_t experts() const { return 8; }
#endif
};

auto const r = moeroute::router{.gate = my_gate{}};
