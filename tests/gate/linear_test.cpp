#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/cpu/eigen.hpp>
#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/moeroute.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

namespace {
std::vector<double> wide(std::vector<float> const& x) { return {x.begin(), x.end()}; }
offset_t const tokens = 4, width = 5;
index_t const experts = 3;
std::vector<double> const hidden = wide(inputs::normal(20, 1)), weight = wide(inputs::normal(15, 2)),
                          bias = wide(inputs::normal(3, 3)), d_logits = wide(inputs::normal(12, 4));

template <class Gemm>
std::vector<double> logits_of(std::vector<double> const& h, std::vector<double> const& w,
                              std::vector<double> const& b) {
  std::vector<double> out(12, -1);
  linear_gate<double, Gemm> const gate{{w.data(), experts, width}, row_view<double const>(b)};
  throw_if_bad(gate(serial{}, matrix_view<double const>(h.data(), tokens, width),
                    matrix_view<double>(out.data(), tokens, experts), {}));
  return out;
}
}  // namespace

TEST_CASE_TEMPLATE("promise P14 linear gate: forward by its sum, backward by finite differences, accumulation", Gemm,
                   plain_gemm, eigen_gemm) {
  auto const z = logits_of<Gemm>(hidden, weight, bias);
  for (std::size_t t = 0; t < 4; ++t)
    for (std::size_t e = 0; e < 3; ++e) {
      double sum = bias[e];
      for (std::size_t i = 0; i < 5; ++i) sum += weight[5 * e + i] * hidden[5 * t + i];
      CHECK(z[3 * t + e] == doctest::Approx(sum));
    }
  auto const loss = [&](auto const& h, auto const& w, auto const& b) {
    auto const y = logits_of<Gemm>(h, w, b);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += d_logits[i] * y[i];
    return sum;
  };
  std::vector<double> d_hidden(20, 1), d_weight(15, 1), d_bias(3, 1);
  linear_gate<double, Gemm> const gate{{weight.data(), experts, width}, row_view<double const>(bias)};
  typename linear_gate<double, Gemm>::template gradient<double> d{
      {d_hidden.data(), tokens, width}, {d_weight.data(), experts, width}, row_view<double>(d_bias)};
  matrix_view<double const> const h{hidden.data(), tokens, width}, dz{d_logits.data(), tokens, experts};
  for (bool accumulate : {false, true}) {
    d.accumulate = accumulate;
    throw_if_bad(gate.backward(serial{}, h, dz, d));
    double const times = accumulate ? 2 : 1;
    auto const same = [&](std::vector<double> const& got, std::vector<double> const& want) {
      for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::fabs(got[i] - times * want[i]) < 1e-7);
    };
    same(d_hidden, reference::gradient([&](auto const& x) { return loss(x, weight, bias); }, hidden));
    same(d_weight, reference::gradient([&](auto const& x) { return loss(hidden, x, bias); }, weight));
    same(d_bias, reference::gradient([&](auto const& x) { return loss(hidden, weight, x); }, bias));
  }
}

TEST_CASE("linear gate: inside a router, from hidden states; the same bits for every executor; wrong sizes are named") {
  std::vector<float> const x = inputs::normal(6 * 40, 5), w = inputs::normal(16 * 40, 6);
  router const r{.gate = linear_gate<>{{w.data(), 16, 40}}, .select = top_k{2}, .weigh = renormalize{}};
  auto const run = [&](auto const& on) {
    std::vector<index_t> ids(12);
    std::vector<float> weights(12);
    std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(on, r, 6, 16)));
    route(on, r, {.hidden = {x.data(), 6, 40}}, routing_view<>{{ids.data(), 6, 2}, {weights.data(), 6, 2}},
          workspace(space));
    return std::pair{ids, weights};
  };
  auto const want = run(serial{});
  CHECK(run(lockstep{3}) == want);
  CHECK(run(threads{2}) == want);
  std::vector<float> z(96);
  throw_if_bad(r.gate(serial{}, matrix_view<float const>(x.data(), 6, 40), matrix_view<float>(z.data(), 6, 16), {}));
  std::vector<index_t> ids(12);
  std::vector<float> weights(12);
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, 6, 16)));
  route(serial{}, r, {.logits = {z.data(), 6, 16}}, routing_view<>{{ids.data(), 6, 2}, {weights.data(), 6, 2}},
        workspace(space));
  CHECK(std::pair{ids, weights} == want);
  CHECK_FALSE(
      r.gate(serial{}, matrix_view<float const>(x.data(), 6, 39), matrix_view<float>(z.data(), 6, 16), {}).ok());
  CHECK_FALSE(try_route(serial{}, r, batch<>{.logits = {z.data(), 12, 8}},
                        routing_view<>{{ids.data(), 6, 2}, {weights.data(), 6, 2}}, workspace(space))
                  .ok());
}
