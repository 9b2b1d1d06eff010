// Decides whether any logits, shapes and parameters can hurt the router: a status, or ids that are distinct,
// in range and best first, weights without NaN, and the same bits under a parallel group.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/route_backward.hpp>
#include <moeroute/select/group_limited_top_k.hpp>
#include <moeroute/select/top_p.hpp>

using namespace moeroute;

namespace {

struct reader {
  std::uint8_t const* at;
  std::size_t left;
  std::uint8_t byte() { return left == 0 ? std::uint8_t{0} : (--left, *at++); }
};
void must(bool good) {
  if (!good) std::abort();
}

bool parallel = false;  // every eighth input: threads are slow to start

// Serial by itself takes the vector path where there is one; `row_by_row` spares the compiler the rest of them.
template <class R, class X = row_by_row<serial>>
void run(R const& r, std::vector<float> const& logits, index_t experts, X const& x = {}) {
  auto const tokens = static_cast<offset_t>(logits.size()) / experts,
             k = static_cast<offset_t>(r.select.experts_per_token());
  if (k < 0 || k > 64) return;
  auto const n = static_cast<std::size_t>(tokens * k);
  batch<> const in{.logits = {logits.data(), tokens, experts}};
  std::vector<std::byte> work(static_cast<std::size_t>(
      std::max(route_workspace_bytes(lockstep{4}, r, tokens, experts), route_workspace_bytes(x, r, tokens, experts))));
  std::vector<index_t> ids(n), ids2(n);
  std::vector<float> weights(n), weights2(n), d(n, 1.f), d_logits(logits.size());
  status const s =
      try_route(x, r, in, routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}, {}}, workspace(work));
  if (!s.ok()) return must(message(s).c_str()[0] != '\0');
  if (parallel) {
    must(try_route(lockstep{4}, r, in, routing_view<>{{ids2.data(), tokens, k}, {weights2.data(), tokens, k}, {}},
                   workspace(work))
             .ok());
    must(ids == ids2);
    must(n == 0 || std::memcmp(weights.data(), weights2.data(), n * sizeof(float)) == 0);
  }
  for (offset_t t = 0; t < tokens; ++t)
    for (offset_t j = 0; j < k; ++j) {
      auto const i = static_cast<std::size_t>(t * k + j);
      must(ids[i] == no_expert || (ids[i] >= 0 && ids[i] < experts));
      must(weights[i] == weights[i]);
      must(ids[i] != no_expert || weights[i] == 0);
      for (offset_t q = 0; q < j; ++q) must(ids[i] == no_expert || ids[static_cast<std::size_t>(t * k + q)] != ids[i]);
    }
  must(try_route_backward(row_by_row{serial{}}, r, in, matrix_view<index_t const>{ids.data(), tokens, k},
                          matrix_view<float const>{d.data(), tokens, k},
                          matrix_view<float>{d_logits.data(), tokens, experts}, workspace(work))
           .ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  reader in{data, size};
  auto const what = in.byte();
  parallel = what / 8 % 8 == 1;
  index_t const experts = 1 + in.byte() % 40, k = static_cast<std::int8_t>(in.byte()) % 12;
  index_t const groups = static_cast<std::int8_t>(in.byte()) % 10, top = static_cast<std::int8_t>(in.byte()) % 10;
  std::vector<float> bias(static_cast<std::size_t>(experts));
  for (auto& b : bias) b = static_cast<float>(static_cast<std::int8_t>(in.byte())) / 16;
  auto const tokens = std::min<std::size_t>(in.left / (sizeof(float) * static_cast<std::size_t>(experts)), 8);
  std::vector<float> logits(tokens * static_cast<std::size_t>(experts));
  if (!logits.empty()) std::memcpy(logits.data(), in.at, logits.size() * sizeof(float));
  auto const b = correction_bias{row_view<float const>(bias)};
  switch (what % 8) {
    case 0:
      run(router{.score = softmax{}, .select = top_k{k}, .weigh = renormalize{}}, logits, experts, serial{});
      break;
    case 1:
      run(router{.score = sigmoid{}, .bias = b, .select = top_k{k}, .weigh = renormalize{.keep_single = true}}, logits,
          experts);
      break;
    case 2:
      run(router{.score = identity{}, .select = top_k{k}, .weigh = softmax_over_chosen{}}, logits, experts);
      break;
    case 3:
      run(router{.score = sigmoid{},
                 .bias = b,
                 .select = group_limited_top_k<sum_of_top>{k, groups, top, {2}, {}},
                 .weigh = renormalize{}},
          logits, experts, serial{});
      break;
    case 4:
      run(router{.score = softmax{},
                 .select = group_limited_top_k<best_of_group>{k, groups, top, {}, {}},
                 .weigh = keep_scores{}},
          logits, experts);
      break;
    case 5:
      run(router{.score = sqrt_softplus{}, .bias = b, .select = top_k{k}, .weigh = renormalize{}}, logits, experts);
      break;
    case 6:
      run(router{.score = softmax{},
                 .select = top_p{.p = static_cast<float>(top) / 10, .max_experts = k},
                 .weigh = keep_scores{}},
          logits, experts);
      break;
    default:
      run(router{.score = softmax{}, .select = top_k{k}, .weigh = p_norm{.p = static_cast<float>(groups)}}, logits,
          experts);
  }
  return 0;
}
