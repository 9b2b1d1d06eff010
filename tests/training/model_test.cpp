// The small transformer of the training examples: every gradient against central differences, in double.
#include <cmath>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <nlohmann/json.hpp>

#include "training/routing.hpp"
#include "training/supervised.hpp"

using namespace moeroute_training;

namespace {

struct world {
  image_set images;
  std::vector<gloss> glosses;
  world() {
    generator g(5);
    for (int i = 0; i < 4; ++i) {
      images.labels.push_back(static_cast<std::uint8_t>(g.below(10)));
      for (int j = 0; j < 784; ++j) images.pixels.push_back(static_cast<std::uint8_t>(g.below(256)));
    }
    glosses.push_back({2, {"the", "part", "of", "a", "bone", "nearest"}});
    glosses.push_back({5, {"someone", "who", "makes", "or", "sells", "hats", "and", "caps"}});
  }
  sources from() const { return {&images, &glosses}; }
};

struct fixture {
  world w;
  vocabulary words{w.glosses};
  parameters<double> p{{.width = 16, .heads = 2, .hidden = 12, .layers = 2, .experts = 4, .k = 2}};
  batch b;
  library_router<double> router;
  fixture() {
    p.draw(3);
    generator g(9);
    for (auto& x : p.values) x += .05 * g.normal();
    for (auto const& l : p.where.layers)
      for (auto& x : p[l.gate].reshaped()) x = g.normal() * .3;
    auto items = ask(w.from(), {0, 1}, {0, 1}, 4);
    for (std::size_t i : {0u, 3u, 8u, 14u}) append(b, items[i], w.from(), words);
    router.experts = 4;
  }
  double loss(parameters<double> const& at) {
    batch_tape<double> t;
    matrix<double> d;
    model<double>(at).forward(b, &router, t);
    return cross_entropy(b, t.option_logits, d);
  }
};

}  // namespace

TEST_CASE("training: whole-model gradient equals central differences, routes replayed, both weightings") {
  for (bool const renormalized : {true, false}) {
    fixture f;
    f.router.renormalized = renormalized;
    f.router.mode = route_mode::draw;
    batch_tape<double> t;
    model<double> const m(f.p);
    m.forward(f.b, &f.router, t);
    for (auto const& l : t.layers) f.router.trace.push_back(l.ids);
    f.router.mode = route_mode::replay;
    batch_tape<double> again;
    m.forward(f.b, &f.router, again);
    CHECK(again.option_logits == t.option_logits);  // replay equals the rollout bit for bit
    matrix<double> d;
    cross_entropy(f.b, again.option_logits, d);
    parameters<double> g(f.p.shape);
    m.backward(f.b, &f.router, again, d, g, part::everything);
    generator pick(1);
    for (auto const& info : f.p.where.tensors) {
      for (int i = 0; i < 12; ++i) {
        auto const at = static_cast<std::size_t>(info.offset + pick.below(static_cast<int>(info.rows * info.cols)));
        auto moved = f.p;
        double const h = 1e-5;
        moved.values[at] += h;
        double const up = f.loss(moved);
        moved.values[at] -= 2 * h;
        double const want = (up - f.loss(moved)) / (2 * h);
        CHECK_MESSAGE(std::fabs(g.values[at] - want) < 1e-6 * std::max(1e-1, std::fabs(want)), info.name);
      }
    }
  }
}

TEST_CASE("training: later tokens leak nothing; frozen parts stay as they are") {
  fixture f;
  batch_tape<double> a, c;
  model<double> const m(f.p);
  m.forward(f.b, &f.router, a);
  auto moved = f.b;
  auto const last = static_cast<std::size_t>(moved.offset[1] - 2);
  moved.patch[static_cast<std::size_t>(-1 - moved.word[last])][7] += 3.f;
  m.forward(moved, &f.router, c);
  auto const rows = static_cast<Eigen::Index>(last);
  CHECK((a.layers[1].x2.topRows(rows) - c.layers[1].x2.topRows(rows)).cwiseAbs().maxCoeff() < 1e-12);
  CHECK((a.option_logits.row(0) - c.option_logits.row(0)).cwiseAbs().maxCoeff() > 1e-6);
  CHECK((a.option_logits.row(1) - c.option_logits.row(1)).cwiseAbs().maxCoeff() < 1e-12);

  auto before = f.p;
  parameters<double> g(f.p.shape);
  matrix<double> d;
  cross_entropy(f.b, a.option_logits, d);
  m.backward(f.b, &f.router, a, d, g, part::gates);
  adam<double>(f.p).step(f.p, g, part::gates, {}, 0);
  for (auto const& info : f.p.where.tensors)
    for (Eigen::Index i = info.offset; i < info.offset + info.rows * info.cols; ++i)
      if (info.which != part::gates)
        REQUIRE(f.p.values[static_cast<std::size_t>(i)] == before.values[static_cast<std::size_t>(i)]);
  CHECK(f.p.values != before.values);
}

TEST_CASE("training: a policy loss and a balance loss on the gate have the gradients of their values") {
  fixture f;
  f.router.mode = route_mode::draw;
  batch_tape<double> t;
  model<double> const m(f.p);
  m.forward(f.b, &f.router, t);
  for (auto const& l : t.layers) f.router.trace.push_back(l.ids);
  f.router.mode = route_mode::replay;
  auto const tokens = static_cast<std::size_t>(f.b.tokens());
  generator g0(8);
  f.router.d_log_prob.assign(2, std::vector<double>(tokens));
  for (auto& l : f.router.d_log_prob)
    for (auto& x : l) x = g0.normal() / 50;
  auto const value = [&](parameters<double> const& p) {
    batch_tape<double> u;
    model<double>(p).forward(f.b, &f.router, u);
    double sum = 0;
    std::vector<double> lp(tokens);
    for (int l = 0; l < 2; ++l) {
      f.router.log_prob(l, f.b, u.layers[static_cast<std::size_t>(l)], row_view<double>(lp));
      for (std::size_t i = 0; i < tokens; ++i) sum += f.router.d_log_prob[static_cast<std::size_t>(l)][i] * lp[i];
    }
    return sum;
  };
  parameters<double> g(f.p.shape);
  m.backward(f.b, &f.router, t, matrix<double>::Zero(f.b.size(), options), g, part::everything);
  generator pick(2);
  for (auto const& info : f.p.where.tensors)
    for (int i = 0; i < 6; ++i) {
      auto const at = static_cast<std::size_t>(info.offset + pick.below(static_cast<int>(info.rows * info.cols)));
      auto moved = f.p;
      moved.values[at] += 1e-5;
      double const up = value(moved);
      moved.values[at] -= 2e-5;
      double const want = (up - value(moved)) / 2e-5;
      CHECK_MESSAGE(std::fabs(g.values[at] - want) < 1e-6 * std::max(1e-1, std::fabs(want)), info.name);
    }
}
