// One shared library: routes one token, from everything the CUDA side offers.
#if __has_include(<moeroute/cuda.cuh>)
#include <moeroute/cuda.cuh>
#else
#include <moeroute/moeroute.hpp>
#endif

extern "C" int LIBRARY(float const* logits, moeroute::index_t* ids, float* weights, void* work) {
  moeroute::router const r{.select = moeroute::top_k{.k = moeroute::fixed<2>}};
#if __has_include(<moeroute/cuda.cuh>)
  auto const where = moeroute::on_cuda{};
#else
  auto const where = moeroute::serial{};
#endif
  return moeroute::try_route(where, r, moeroute::batch<>{.logits = {logits, 1, 4}},
                             moeroute::routing_view<>{.ids = {ids, 1, 2}, .weights = {weights, 1, 2}},
                             moeroute::workspace{work, 65536})
                 .ok()
             ? 0
             : 1;
}
