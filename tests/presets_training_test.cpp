// Decides whether the training presets route as in inference and carry the loss that their model publishes.
#include <cmath>

#include <moeroute/presets_training.hpp>

#include "loss/promise14.hpp"

using namespace p14;

namespace {

struct probabilities {
  std::vector<double> p;  // tokens x experts, rows sum to 1
  index_t experts;
  double operator()(offset_t t, index_t e) const { return p[static_cast<std::size_t>(t * experts + e)]; }
};
probabilities softmax_of(tokens<double> const& t, bool with_sigmoid = false) {
  probabilities r{t.logits, t.experts};
  for (offset_t i = 0; i < t.count; ++i) {
    double sum = 0;
    for (index_t e = 0; e < t.experts; ++e) {
      double& x = r.p[static_cast<std::size_t>(i * t.experts + e)];
      x = with_sigmoid ? 1 / (1 + std::exp(-x)) : std::exp(x), sum += x;
    }
    for (index_t e = 0; e < t.experts; ++e) r.p[static_cast<std::size_t>(i * t.experts + e)] /= sum;
  }
  return r;
}
// E sum_e f_e P_e over the tokens that `in` names; f counts the first `columns` choices over their number or the tokens.
template <class In>
double balance(tokens<double> const& t, probabilities const& p, index_t columns, bool over_tokens, In const& in) {
  double n = 0, sum = 0;
  for (offset_t i = 0; i < t.count; ++i) n += in(i) ? 1 : 0;
  for (index_t e = 0; e < t.experts; ++e) {
    double f = 0, P = 0;
    for (offset_t i = 0; i < t.count; ++i) {
      if (!in(i)) continue;
      P += p(i, e) / n;
      for (index_t j = 0; j < columns; ++j)
        f += t.ids[static_cast<std::size_t>(i * t.k + j)] == e ? 1 / (over_tokens ? n : n * columns) : 0;
    }
    sum += t.experts * f * P;
  }
  return sum;
}
double squared_lse(tokens<double> const& t) {
  double sum = 0;
  for (offset_t i = 0; i < t.count; ++i) {
    double all = 0;
    for (index_t e = 0; e < t.experts; ++e) all += std::exp(t.logits[static_cast<std::size_t>(i * t.experts + e)]);
    sum += std::log(all) * std::log(all) / static_cast<double>(t.count);
  }
  return sum;
}
template <class R>
double loss_of(R const& r, tokens<double> const& t) {
  return value_of(r.regularize, r, t);
}
template <class R>
std::vector<double> routed(R const& r, tokens<double> const& t) {
  auto const k = static_cast<std::size_t>(r.select.experts_per_token()), n = static_cast<std::size_t>(t.count);
  std::vector<index_t> ids(n * k);
  std::vector<double> weights(n * k), out;
  std::vector<std::byte> space(1 << 16);
  route(serial{}, r, t.view(),
        routing_view<index_t, double>{{ids.data(), t.count, offset_t(k)}, {weights.data(), t.count, offset_t(k)}, {}},
        workspace(space));
  for (std::size_t i = 0; i < ids.size(); ++i) out.push_back(ids[i]), out.push_back(weights[i]);
  return out;
}
bool everywhere(offset_t) { return true; }

}  // namespace

TEST_CASE("training presets: the routes of inference, the loss in words; inference carries none") {
  auto const t = sample(30, 16, 2);
  std::vector<float> const bias(16, .1f);
  using namespace presets;
  CHECK(routed(training::switch_transformer(), t) == routed(switch_top1(), t));
  CHECK(routed(training::mixtral(), t) == routed(mixtral(), t));
  CHECK(routed(training::olmoe(), t) == routed(olmoe(), t));
  CHECK(routed(training::deepseek_v3(bias, 3), t) == routed(deepseek_v3(bias), t));
  CHECK(routed(training::deepseek_v2(1, 1), t) == routed(deepseek_v2(), t));
  auto const pair = routed(training::jetmoe(1), t), served = routed(jetmoe(), t);
  for (std::size_t i = 0; i < pair.size(); ++i) CHECK(pair[i] == doctest::Approx(served[i]).epsilon(1e-12));
  CHECK(std::string(describe(training::st_moe(.01)).c_str()).find("; loss: ") != std::string::npos);
  CHECK(std::string(describe(mixtral()).c_str()).find("loss") == std::string::npos);
  static_assert(is_none<decltype(mixtral().regularize)> && is_none<decltype(deepseek_v3({}).regularize)>);
  static_assert(sizeof(mixtral()) < sizeof(training::mixtral()));
}

TEST_CASE("training presets: one balance loss, by batch, first choices, sequence, groups of experts") {
  auto const t = sample(30, 16, 2);
  auto const p = softmax_of(t);
  using namespace presets;
  CHECK(loss_of(training::mixtral(), t) == doctest::Approx(.02 * 2 * balance(t, p, 2, false, everywhere)));
  CHECK(loss_of(training::dbrx(), t) == doctest::Approx(.05 * 2 * balance(t, p, 2, false, everywhere)));
  CHECK(loss_of(training::qwen3_moe(.5), t) == doctest::Approx(.5 * balance(t, p, 2, false, everywhere)));
  CHECK(loss_of(training::gshard(.5), t) == doctest::Approx(.5 * balance(t, p, 1, true, everywhere)));
  CHECK(loss_of(training::minimax_text01(.5), t) == doctest::Approx(.5 * balance(t, p, 1, true, everywhere)));
  auto const one = sample(30, 16, 1);
  CHECK(loss_of(training::switch_transformer(), one) == doctest::Approx(.01 * balance(one, p, 1, false, everywhere)));
  double by_sequence = 0;
  for (index_t s = 0; s < 3; ++s)
    by_sequence += balance(t, softmax_of(t, true), 2, false,
                           [&](offset_t i) { return t.sequence[static_cast<std::size_t>(i)] == s; }) /
                   3;
  std::vector<float> const bias(16, 0.f);
  CHECK(loss_of(training::deepseek_v3(bias, 3, .5), t) == doctest::Approx(.5 * by_sequence));
  double of_devices = 0;  // eight devices of two experts: E sum over devices of (mean load) (sum of P)
  for (index_t e = 0; e < 16; e += 2)
    for (offset_t i = 0; i < 30; ++i)
      for (index_t id : t.ids) of_devices += id / 2 == e / 2 ? 16 * (1. / 60 / 2) * (p(i, e) + p(i, e + 1)) / 30 : 0.;
  CHECK(loss_of(training::deepseek_v2(.5, .25), t) ==
        doctest::Approx(.5 * balance(t, p, 2, false, everywhere) + .25 * of_devices));
  CHECK(loss_of(training::deepseek_moe_16b(.5, .25, 16), t) ==
        doctest::Approx(.75 * balance(t, p, 2, false, everywhere)));
}

TEST_CASE("training presets: with a z-loss, by CV^2, by entropy") {
  auto const t = sample(30, 16, 2);
  auto const p = softmax_of(t);
  using namespace presets;
  double const even = balance(t, p, 2, false, everywhere), z = squared_lse(t);
  CHECK(loss_of(training::olmoe(), t) == doctest::Approx(.01 * even + .001 * z));
  CHECK(loss_of(training::st_moe(.5), t) == doctest::Approx(.5 * balance(t, p, 1, true, everywhere) + .001 * z));
  CHECK(loss_of(training::jetmoe(.5), t) == doctest::Approx(.5 * even + .05 * z));
  std::vector<float> const bias(16, 0.f);
  CHECK(loss_of(training::ling2(bias), t) == doctest::Approx(3.5e-6 * z));

  std::vector<double> importance(16), load(16);
  std::vector<float> noise(30 * 16);
  std::mt19937 g(3);
  std::normal_distribution<float> normal(0, 1.f / 16);
  for (float& x : noise) x = normal(g);
  for (offset_t i = 0; i < 30; ++i) {
    std::vector<double> noisy(16);
    for (std::size_t e = 0; e < 16; ++e)
      noisy[e] = t.logits[static_cast<std::size_t>(i) * 16 + e] + double(noise[static_cast<std::size_t>(i) * 16 + e]);
    auto sorted = noisy;
    std::sort(sorted.rbegin(), sorted.rend());
    for (index_t e = 0; e < 16; ++e) {
      importance[static_cast<std::size_t>(e)] += p(i, e);
      double const distance = (t.logits[static_cast<std::size_t>(i * 16 + e)] - sorted[1]) * 16;
      load[static_cast<std::size_t>(e)] += .5 * std::erfc(-distance / std::sqrt(2.));
    }
  }
  auto const cv2 = [](std::vector<double> const& x) {
    double mean = 0, squares = 0;
    for (double v : x) mean += v / 16;
    for (double v : x) squares += (v - mean) * (v - mean) / 16;
    return squares / (mean * mean);
  };
  CHECK(loss_of(training::v_moe({noise.data(), 30, 16}, 16, .5), t) ==
        doctest::Approx(.25 * cv2(importance) + .25 * cv2(load)));

  double local = 0, global = 0;
  double const tau = 2.75;
  for (index_t m = 0; m < 2; ++m) {
    std::vector<double> mean(16);
    double n = 0, h = 0, of_mean = 0;
    for (offset_t i = 0; i < 30; ++i) {
      if (t.modality[static_cast<std::size_t>(i)] != m) continue;
      n += 1;
      for (index_t e = 0; e < 16; ++e) h -= p(i, e) * std::log(p(i, e)), mean[static_cast<std::size_t>(e)] += p(i, e);
    }
    for (double const x : mean) of_mean -= x / n * std::log(x / n);
    local += h / n, global += std::max(0., tau - of_mean);
  }
  CHECK(global > 0);
  CHECK(loss_of(training::limoe(.5, .25, tau), t) == doctest::Approx(.5 * local + .25 * global));

  double tsallis = 0;
  for (offset_t i = 0; i < 30; ++i) {
    double powers = 0;
    for (index_t e = 0; e < 16; ++e) powers += std::pow(p(i, e), 1.1);
    tsallis += (1 - powers) / (1 - std::pow(16., -.1)) / 30;
  }
  CHECK(loss_of(training::dynmole(16, 1, 0), t) == doctest::Approx(tsallis));
}

TEST_CASE("training presets: gradients of a whole list against central differences, adamoe's null experts averaged") {
  auto const t = sample(12, 8, 2);
  using namespace presets;
  CHECK(gradient_error(training::olmoe().regularize, training::olmoe(), t) < 1e-6);
  CHECK(gradient_error(training::jetmoe(1).regularize, training::jetmoe(1), t) < 1e-6);
  CHECK(gradient_error(training::dynmole(8).regularize, training::dynmole(8), t) < 1e-6);
  CHECK(gradient_error(training::adamoe(3, 2, 1).regularize, training::adamoe(3, 2, 1), t) < 1e-6);
  auto shuffled = t;  // who among the nulls was chosen does not matter
  for (index_t& e : shuffled.ids)
    if (e >= 5) e = e == 7 ? 5 : e + 1;
  CHECK(loss_of(training::adamoe(3, 2, 1), shuffled) ==
        doctest::Approx(loss_of(training::adamoe(3, 2, 1), t)).epsilon(1e-12));
}
