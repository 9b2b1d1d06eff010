// An executor whose run() knows no workspace: the verb names the contract.
// expect: executor
// expect: my_pool
// also: nvcc
#include <moeroute/moeroute.hpp>

using namespace moeroute;

struct my_pool {
  offset_t workspace_bytes(offset_t bytes) const { return bytes; }
  template <class Body>
#if defined(FAIL)
  status run(offset_t rows, Body const& body) const noexcept {
    return serial{}.run(rows, body, workspace{});
  }
#else
  status run(offset_t rows, Body const& body, workspace w) const noexcept {
    return serial{}.run(rows, body, w);
  }
#endif
};

status use(batch<> const& in, routing_view<> out, workspace w) { return try_route(my_pool{}, router{}, in, out, w); }
