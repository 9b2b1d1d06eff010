// Decides whether a product is rounded before it is added: sums whose parts are known one by one.
#pragma once

#include <moeroute/balance/bias_update.hpp>
#include <moeroute/estimate/reinforce.hpp>
#include <moeroute/loss/entropy.hpp>
#include <moeroute/loss/info_nce.hpp>
#include <moeroute/select/identity_experts.hpp>
#include <moeroute/soft/soft_moe.hpp>
#include <moeroute/stats/calibration.hpp>
#include <moeroute/stats/load.hpp>

#include "level_report.hpp"

namespace levels {

inline double product(double a, double b) {
  double const volatile hidden = a;  // or it is the library's own product, which is then not fused
  double const volatile rounded = hidden * b;
  return rounded;
}

// What training moves step by step.
inline void steps_apart(report& to) {
  using namespace moeroute;
  std::size_t const n = 64;
  std::vector<double> bias(n), target(n), online(n), want_bias(n), want_target(n);
  std::vector<std::int64_t> counts(n);
  running_baseline reward{.value = .1, .started = true};
  std::int64_t slots = 0;
  for (std::size_t e = 0; e < n; ++e) {
    auto const wide = [&](std::uint32_t seed) { return static_cast<double>(noise(seed, e)) * .7; };
    bias[e] = wide(91), target[e] = wide(92), online[e] = wide(93);
    slots += counts[e] = static_cast<std::int64_t>(e * e);
  }
  for (std::size_t e = 0; e < n; ++e) {
    double const wanted = 8. / (12. * 64.), share = static_cast<double>(counts[e]) / static_cast<double>(slots);
    want_bias[e] = bias[e] + product(1e-3, wanted - share);
    want_target[e] = product(1 - .005, target[e]) + product(.005, online[e]);
    double const want = reward.value + product(.05, online[e] - reward.value);
    reward.observe(online[e]);
    if (reward.value != want) to.failed("running baseline", static_cast<long long>(e));
  }
  target_update{}(serial_group{}, load_of_step<std::int64_t>{.counts = counts}, row_view<double>(bias));
  ema_copy{}(row_view<double const>(online), row_view<double>(target));
  for (std::size_t e = 0; e < n; ++e) {
    if (bias[e] != want_bias[e]) to.failed("bias moved to its target", static_cast<long long>(e));
    if (target[e] != want_target[e]) to.failed("slow copy", static_cast<long long>(e));
  }
}

// What is added to zeros is the rounded product itself; onto other numbers it must be the sum of both.
template <class V, class Add>
void added(report& to, char const* name, std::size_t n, Add const& add) {
  std::vector<V> alone(n), onto(n), want(n);
  for (std::size_t i = 0; i < n; ++i) onto[i] = static_cast<V>(noise(94, i)) * static_cast<V>(.7);
  if (!add(alone).ok()) to.failed(name, -1);
  for (std::size_t i = 0; i < n; ++i) want[i] = onto[i] + alone[i];
  if (!add(onto).ok()) to.failed(name, -1);
  for (std::size_t i = 0; i < n; ++i)
    if (onto[i] != want[i]) to.failed(name, static_cast<long long>(i));
}
inline void gradients_apart(report& to) {
  using namespace moeroute;
  constexpr offset_t rows = 8, cols = 16;
  std::vector<float> const a = noise_of(95, 128), b = noise_of(96, 128), c = noise_of(97, 8);
  matrix_view<float const> const x{a.data(), rows, cols}, y{b.data(), rows, cols};
  std::vector<index_t> const drawn(8, 3);
  std::vector<double> const weight{.3};
  std::vector<std::byte> w(1 << 12);
  added<float>(to, "reinforce", 128, [&](std::vector<float>& d) {
    return try_reinforce(serial{}, x, row_view<index_t const>(drawn), row_view<float const>(c), .1f, .3f,
                         matrix_view<float>{d.data(), rows, cols}, workspace(w));
  });
  added<float>(to, "logits of slots", 64, [&](std::vector<float>& d) {
    std::vector<float> d_x(128);
    return try_soft_slots_backward(serial{}, matrix_view<float const>{b.data(), rows, 8}, x, y,
                                   matrix_view<float>{d_x.data(), rows, cols}, matrix_view<float>{d.data(), rows, 8});
  });
  added<float>(to, "identity experts", 128, [&](std::vector<float>& d) {
    return try_add_identity_experts(serial{}, matrix_view<index_t const>{drawn.data(), rows, 1},
                                    matrix_view<float const>{c.data(), rows, 1}, 2, x,
                                    matrix_view<float>{d.data(), rows, cols}, .7f);
  });
  added<double>(to, "weighted second moments", 256, [&](std::vector<double>& d) {
    return try_weighted_gram(x.middle_rows(0, 1), row_view<double const>(weight),
                             matrix_view<double>{d.data(), cols, cols});
  });
}

inline void figures_apart(report& to) {
  using namespace moeroute;
  for (std::uint32_t i = 0; i < 20; ++i) {
    std::vector<wide_sum> sums(4);
    std::vector<std::int64_t> counts;
    sums[0] += std::int64_t{7}, sums[2] += std::int64_t{7};
    sums[1].add(static_cast<double>(noise(98, i))), sums[3].add(static_cast<double>(noise(99, i)));
    terms const both{token_entropy{.alpha = .1}, token_entropy{.alpha = .3}};
    double const one = product(.1 / 7, sums[1].value()), other = product(.3 / 7, sums[3].value());
    if (loss_value(both, 4, row_view<wide_sum const>(sums)) != one + other) to.failed("a sum of losses", i);

    for (std::size_t e = 0; e < 61; ++e)
      counts.push_back(static_cast<std::int64_t>(e) + static_cast<std::int64_t>(9 * noise(i, e) * noise(i, e)));
    load_summary const s = summarize_load(row_view<std::int64_t const>(counts));
    double squares = 0, entropy = 0;
    for (std::int64_t const n : counts) {
      double const off = static_cast<double>(n) - s.mean, p = static_cast<double>(n) / static_cast<double>(s.total);
      squares += product(off, off), entropy -= p > 0 ? product(p, math::log(p)) : 0;
    }
    if (s.cv != math::sqrt(squares / 61) / s.mean) to.failed("variation of the load", i);
    if (s.entropy != entropy) to.failed("entropy of the load", i);
  }
}

}  // namespace levels
