// A policy where the router belongs, and a router of the other kind: the verb names what it takes.
// expect: token_choice_router
#include <moeroute/moeroute.hpp>
#include <moeroute/select/top_tokens.hpp>

using namespace moeroute;

#if defined(FAIL)
status use(batch<> const& in, routing_view<> out, workspace w) {
  return try_route(serial{}, router{.select = top_tokens<>{}}, in, out, w);
}
#else
status use(batch<> const& in, routing_view<> out, workspace w) { return try_route(serial{}, router{}, in, out, w); }
#endif
