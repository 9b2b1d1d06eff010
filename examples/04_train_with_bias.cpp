// A tiny mixture of experts learns on real tokens (patches of images, words of glosses) while a loss-free bias
// evens out the load: the loss falls, the load flattens, and no balance term touches the gradient. Once with
// the bias and once without. Every gradient is a verb of the library; the experts are linear maps.
#include <Eigen/Core>
#include <cmath>
#include <cstdio>
#include <vector>

#include <moeroute/cpu/eigen.hpp>
#include <moeroute/moeroute.hpp>

#include "support/tokens.hpp"

using namespace moeroute;
using matrix = eigen_matrix<float>;

namespace {

int const classes = moeroute_examples::image_classes + moeroute_examples::topics;
offset_t const width = moeroute_examples::patch_pixels;
index_t const experts = 8, k = 2;

matrix drawn(offset_t rows, offset_t cols, float scale, std::uint32_t purpose) {
  draws const d{.seed = 11, .purpose = purpose};
  matrix m(rows, cols);
  for (offset_t r = 0; r < rows; ++r)
    for (offset_t c = 0; c < cols; ++c) m(r, c) = scale * d.normal(r, static_cast<index_t>(c));
  return m;
}

struct layer {
  matrix gate = drawn(experts, width, .3f, 1);
  std::vector<matrix> expert;  // width x classes: token to class scores
  std::vector<float> bias = std::vector<float>(experts);
  layer() {
    for (index_t e = 0; e < experts; ++e)
      expert.push_back(drawn(width, classes, .05f, 2 + static_cast<std::uint32_t>(e)));
  }
  auto router() const {
    return moeroute::router{.gate = linear_gate<float, eigen_gemm>{{gate.data(), experts, width}},
                            .score = sigmoid{},
                            .bias = correction_bias<float>{row_view<float const>(bias)},
                            .select = top_k{k},
                            .weigh = renormalize{}};
  }
};

struct figures {
  double loss = 0, accuracy = 0, load = 0;
};

// One step on a batch; without `learn` only the figures.
figures step(layer& net, matrix_view<float const> x, std::vector<std::int32_t> const& label, float rate, bool learn,
             bool balance) {
  auto const r = net.router();
  matrix logits(x.rows, experts), scores(x.rows, classes);
  throw_if_bad(r.gate(serial{}, x, matrix_view<float>(logits), {}));
  routing routed(x.rows, r);
  route(serial{}, r, {.logits = matrix_view<float const>(logits)}, routed);
  dispatch_plan const plan = make_plan(routed, experts);

  matrix grouped(plan.rows(), width), out(plan.rows(), classes);
  permute(serial{}, plan, x, matrix_view<float>(grouped));
  for (auto [e, run] : plan.runs())
    out.middleRows(run.first, run.count).noalias() =
        grouped.middleRows(run.first, run.count) * net.expert[static_cast<std::size_t>(e)];
  combine(serial{}, plan, matrix_view<float const>(out), matrix_view<float>(scores));

  figures f;
  matrix d_scores(x.rows, classes);
  for (offset_t t = 0; t < x.rows; ++t) {  // softmax cross-entropy
    Eigen::Index best;
    float const top = scores.row(t).maxCoeff(&best);
    Eigen::RowVectorXf const p = (scores.row(t).array() - top).exp();
    auto const want = label[static_cast<std::size_t>(t)];
    f.loss -= std::log(static_cast<double>(p(want) / p.sum())) / static_cast<double>(x.rows);
    f.accuracy += (best == want) / static_cast<double>(x.rows);
    d_scores.row(t) = p / p.sum() / static_cast<float>(x.rows);
    d_scores(t, want) -= 1 / static_cast<float>(x.rows);
  }
  f.load = summarize_load(row_view<offset_t const>(plan.counts)).max_over_mean();
  if (!learn) return f;

  matrix d_out(plan.rows(), classes), d_weights(x.rows, k), d_logits(x.rows, experts), d_gate(experts, width);
  combine_backward(serial{}, plan.view(),
                   combine_terms<float>{.rows = matrix_view<float const>(out), .weights = plan.weight_matrix()},
                   matrix_view<float const>(d_scores), combine_gradients<float>{.rows = d_out, .weights = d_weights});
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, x.rows, experts)));
  route_backward(serial{}, r, {.logits = matrix_view<float const>(logits)}, routed.view().ids,
                 matrix_view<float const>(d_weights), matrix_view<float>(d_logits), workspace(space));
  throw_if_bad(r.gate.backward(serial{}, x, matrix_view<float const>(d_logits), {.weight = d_gate}));
  for (auto [e, run] : plan.runs())
    net.expert[static_cast<std::size_t>(e)] -=
        rate * grouped.middleRows(run.first, run.count).transpose() * d_out.middleRows(run.first, run.count);
  net.gate -= rate * d_gate;
  if (balance)
    update_bias(serial{}, sign_update{.rate = 2e-3}, row_view<offset_t const>(plan.counts), row_view<float>(net.bias));
  return f;
}

}  // namespace

int main() {
  using namespace moeroute_examples;
  auto const data = load_corpus(default_data_folder());
  auto const train = make_tokens(data.images_start, 400, data.glosses_train, 600);
  auto const test = make_tokens(data.images_test, 100, data.glosses_test, 150);
  auto const labels = [](token_batch const& b) {  // ten image classes, then eight topics
    std::vector<std::int32_t> out;
    for (std::size_t t = 0; t < b.label.size(); ++t)
      out.push_back(b.label[t] + (b.modality[t] == vision ? 0 : image_classes));
    return out;
  };
  auto const train_label = labels(train), test_label = labels(test);
  std::printf("%lld training tokens, %lld held out, %d classes, %d experts, top %d\n\n",
              static_cast<long long>(train.size()), static_cast<long long>(test.size()), classes, experts, k);

  bool good = true;
  double load[2] = {};
  for (bool balance : {false, true}) {
    layer net;
    std::printf("%s\n", balance ? "with the loss-free bias" : "without a bias");
    std::printf("  epoch   loss   accuracy   held-out loss   held-out accuracy   max/mean load\n");
    figures first, last;
    offset_t const batch_size = 512, batches = train.size() / batch_size;
    for (int epoch = 0; epoch <= 12; ++epoch) {
      figures mean;
      for (offset_t b = 0; b < batches; ++b) {  // strided through the set, so every batch holds both modalities
        matrix x(batch_size, width);
        std::vector<std::int32_t> label;
        for (offset_t i = 0; i < batch_size; ++i) {
          offset_t const t = (i * batches + b) % train.size();
          for (offset_t c = 0; c < width; ++c) x(i, c) = train.features[t * width + c];
          label.push_back(train_label[static_cast<std::size_t>(t)]);
        }
        figures const f = step(net, matrix_view<float const>(x), label, 1.f, epoch > 0, balance);
        mean.loss += f.loss / static_cast<double>(batches), mean.accuracy += f.accuracy / static_cast<double>(batches);
      }
      figures const held = step(net, test.features.matrix(), test_label, 0, false, false);
      if (epoch == 0) first = held;
      last = held;
      if (epoch % 3 == 0)
        std::printf("  %5d  %5.3f   %7.1f%%   %13.3f   %16.1f%%   %13.2f\n", epoch, mean.loss, 100 * mean.accuracy,
                    held.loss, 100 * held.accuracy, held.load);
    }
    std::printf("\n");
    good = good && last.loss < first.loss - .2;
    load[balance ? 1 : 0] = last.load;
  }
  good = good && load[1] < load[0] && load[1] < 1.25;
  std::printf("%s\n", good ? "the loss fell, and the bias kept the load even"
                           : "something is wrong: the loss did not fall or the load stayed uneven");
  return good ? 0 : 1;
}
