// Decides whether one pass gives the bits of two: the gradient of the weights, then that of the terms.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/whole_backward.hpp>
#include <moeroute/loss/z_loss.hpp>
#include <moeroute/presets_training.hpp>
#include <moeroute/prior/noise.hpp>

#include "support/lockstep_lanes.hpp"

using namespace p14;

namespace {

template <class T>
struct problem {
  tokens<T> t;
  std::vector<T> d_weights;
};
// Rows of every kind: closed, NaN, infinite and huge logits, no expert, one expert twice, padding.
template <class T>
problem<T> odd_problem(index_t experts) {
  auto t = sample(29, experts, 3).template as<T>();
  auto const at = [&](offset_t i, index_t e) -> T& { return t.logits[static_cast<std::size_t>(i * experts + e)]; };
  for (index_t e = 0; e < experts; ++e) at(0, e) = -infinity<T>, at(3, e) = e % 2 == 0 ? T(1e4) : T(-1e4);
  at(1, 2) = at(5, 1) = -infinity<T>, at(2, 0) = T(std::nan("")), at(4, 1) = infinity<T>;
  t.ids[18] = no_expert, t.ids[21] = t.ids[22] = 2;
  t.valid.assign(29, 1);
  t.valid[7] = t.valid[28] = 0;
  std::vector<T> d;
  for (std::size_t i = 0; i < t.ids.size(); ++i) d.push_back(T(std::sin(1. + static_cast<double>(i))));
  return {t, d};
}

template <class D, class X, class R, class T>
std::vector<D> in_one_pass(X const& x, R const& r, problem<T> const& p, std::vector<wide_sum> const& sums, double scale,
                           bool accumulate) {
  auto const& t = p.t;
  std::vector<D> d(t.logits.size(), D(.375));
  auto w = poisoned(whole_backward_workspace_bytes<X, R, T>(x, r, t.count, t.experts));
  whole_backward(x, r, t.view(), t.choices(), matrix_view<T const>(p.d_weights.data(), t.count, t.k),
                 row_view<wide_sum const>(sums), matrix_view<D>(d.data(), t.count, t.experts), workspace(w), scale,
                 accumulate);
  return d;
}
template <class D, class R, class T>
std::vector<D> in_two_passes(R const& r, problem<T> const& p, std::vector<wide_sum> const& sums, double scale,
                             bool accumulate) {
  auto const& t = p.t;
  std::vector<D> d(t.logits.size(), D(.375));
  matrix_view<D> const out(d.data(), t.count, t.experts);
  auto w = poisoned(
      route_workspace_bytes<serial, R, T>(serial{}, r, t.count, t.experts) +
      add_gradient_workspace_bytes<serial, decltype(r.regularize), T>(serial{}, r.regularize, t.count, t.experts));
  route_backward(serial{}, r, t.view(), t.choices(), matrix_view<T const>(p.d_weights.data(), t.count, t.k), out,
                 workspace(w), accumulate);
  add_gradient(serial{}, r, t.view(), t.choices(), row_view<wide_sum const>(sums), out, workspace(w), scale);
  return d;
}
template <class D>
bool same_bits(std::vector<D> const& a, std::vector<D> const& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) same = a[i] == b[i] || (a[i] != a[i] && b[i] != b[i]);
  return same;
}
template <class D, class T, class R>
void same_as_two(R const& r, index_t experts) {
  CAPTURE(experts);
  auto const p = odd_problem<T>(experts);
  auto const sums = sums_of(serial{}, r.regularize, r, p.t);
  for (bool const accumulate : {false, true})
    for (double const scale : {1., -.75}) {
      auto const want = in_two_passes<D>(r, p, sums, scale, accumulate);
      CHECK(same_bits(in_one_pass<D>(serial{}, r, p, sums, scale, accumulate), want));
      CHECK(same_bits(in_one_pass<D>(threads{2}, r, p, sums, scale, accumulate), want));
      CHECK(same_bits(in_one_pass<D>(lockstep{3}, r, p, sums, scale, accumulate), want));
      CHECK(same_bits(in_one_pass<D>(lockstep_lanes::warp<lockstep_lanes::words<8>>{}, r, p, sums, scale, accumulate),
                      want));
      CHECK(same_bits(in_one_pass<D>(lockstep_lanes::block<8, 2>{}, r, p, sums, scale, accumulate), want));
    }
}
auto with(auto r, auto... losses) { return with_losses(r, losses...); }

}  // namespace

TEST_CASE("whole_backward: the bits of route_backward and add_gradient, for lanes of every kind") {
  std::vector<float> const bias{.1f, -.2f, .3f, 0.f, .5f, -.1f, .2f, 0.f};
  correction_bias<float> const b{row_view<float const>(bias)};
  same_as_two<float, float>(with(router{.select = top_k{3}}, switch_balance{.alpha = 2}, z_loss{.alpha = 1}), 8);
  same_as_two<float, float>(with(router{.select = top_k{3}, .weigh = renormalize{}}, switch_balance{.alpha = 2}), 48);
  same_as_two<double, double>(with(router{.select = top_k{3}, .weigh = renormalize{}}, z_loss{.alpha = 1}), 8);
  same_as_two<float, double>(with(router{.select = top_k{3}}, switch_balance{.alpha = 2}, z_loss{.alpha = 1}), 8);
  same_as_two<float, float>(
      with(router{.score = sigmoid{}, .bias = b, .select = top_k{3}, .weigh = renormalize{.scale = 2.5f}},
           switch_balance{.alpha = 2, .by = segment_by::sequence, .segments = 3}),
      8);
  same_as_two<float, float>(
      with(router{.score = identity{}, .select = top_k{3}, .weigh = softmax_over_chosen{}}, z_loss{.alpha = 1}), 8);
  same_as_two<float, float>(with(router{.prior = logit_jitter<>{.epsilon = .3f}, .select = top_k{3}},
                                 switch_balance{.alpha = 2}, z_loss{.alpha = 1}),
                            8);
}

TEST_CASE("whole_backward: the derivative of weights and losses together, in double") {
  auto const r =
      with(router{.select = top_k{2}, .weigh = renormalize{}}, switch_balance{.alpha = 3}, z_loss{.alpha = 2});
  auto t = sample(9, 6, 2);
  std::vector<double> d_weights;
  for (std::size_t i = 0; i < t.ids.size(); ++i) d_weights.push_back(std::cos(static_cast<double>(i)));
  auto const d =
      in_one_pass<double>(serial{}, r, problem<double>{t, d_weights}, sums_of(serial{}, r.regularize, r, t), 1, false);
  auto const value = [&] {
    std::vector<index_t> ids(t.ids.size());
    std::vector<double> weights(t.ids.size());
    auto w = poisoned(route_workspace_bytes<serial, decltype(r), double>(serial{}, r, t.count, t.experts));
    route(serial{}, r, t.view(), routing_view<index_t, double>{{ids.data(), 9, 2}, {weights.data(), 9, 2}},
          workspace(w));
    REQUIRE(ids == t.ids);
    double sum = value_of(r.regularize, r, t);
    for (std::size_t i = 0; i < weights.size(); ++i) sum += d_weights[i] * weights[i];
    return sum;
  };
  double const h = 1e-5;
  for (std::size_t i = 0; i < d.size(); ++i) {
    double const z = t.logits[i];
    t.logits[i] = z + h;
    double const up = value();
    t.logits[i] = z - h;
    double const down = value();
    t.logits[i] = z;
    CHECK(std::fabs(d[i] - (up - down) / (2 * h)) < 1e-6);
  }
}

TEST_CASE("whole_backward: what does not fit is named") {
  auto const r = with(router{.select = top_k{3}}, switch_balance{});
  auto const p = odd_problem<float>(8);
  std::vector<wide_sum> sums(static_cast<std::size_t>(r.regularize.sums(8)));
  std::vector<float> d(29 * 8);
  std::vector<std::byte> space(1 << 14);
  auto const said = [&](offset_t columns, offset_t kept, offset_t rows, workspace w) {
    return try_whole_backward(serial{}, r, p.t.view(), p.t.choices(),
                              matrix_view<float const>(p.d_weights.data(), 29, columns),
                              row_view<wide_sum const>(sums.data(), kept), matrix_view<float>(d.data(), rows, 8), w);
  };
  offset_t const all = static_cast<offset_t>(sums.size());
  CHECK(said(3, all, 29, workspace(space)).ok());
  CHECK(said(2, all, 29, workspace(space)).code == errc::bad_shape);
  CHECK(said(3, all - 1, 29, workspace(space)).code == errc::bad_shape);
  CHECK(said(3, all, 28, workspace(space)).code == errc::bad_shape);
  CHECK(said(3, all, 29, workspace{}).code == errc::too_small);
}
