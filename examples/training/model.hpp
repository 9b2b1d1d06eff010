// Decides how the small model computes: a causal transformer whose feed-forward parts are mixtures of experts,
// forward with everything kept (the tape), and the gradient back. Routing is not decided here: the model
// asks a `layer_router`, which gets logits and gives experts and weights. Namespace: moeroute_training.
//
//   x = embedding[word] or patch P, + position
//   x += attention(rms(x));   h = rms(x);   x += sum_j weight_j expert_{id_j}(h),  expert(h) = silu(h W1) W2
//   option logits = answers[option] . rms(x at the answer slot)
//
// Rows are the tokens of all sequences of a batch, without padding. Real = float to train, double to test. All memory is
// aligned alike, so that the same calls give the same bits.
#pragma once

#include <cmath>

#include <moeroute/core/math.hpp>

#include "training/parameters.hpp"

namespace moeroute_training {

template <class Real>
struct expert_tape {
  std::vector<Eigen::Index> token, slot;  // who came, in token order
  matrix<Real> in, before, after, out;    // rows x width, hidden, hidden, width
};
template <class Real>
struct layer_tape {
  matrix<Real> x;  // stream before the attention branch
  matrix<Real> normed, qkv, context;
  Eigen::Matrix<Real, Eigen::Dynamic, 1>
      attention;         // for each sequence [heads, T, T], rows sum to 1; where: batch_tape::attention_at
  matrix<Real> added;    // what the attention branch adds
  matrix<Real> x2;       // stream before the experts
  matrix<Real> h;        // input of gate and experts
  matrix<Real> logits;   // tokens x experts
  id_matrix ids;         // tokens x k
  matrix<Real> weights;  // tokens x k
  std::vector<expert_tape<Real>> experts;
};
template <class Real>
struct batch_tape {
  std::vector<layer_tape<Real>> layers;
  std::vector<std::size_t> attention_at;  // sequences + 1
  matrix<Real> last, out;                 // sequences x width: stream and its norm at the answer slot
  matrix<Real> option_logits;             // sequences x 4
};

// Who routes. One object sees all layers of a step, forward in order and backward in reverse order.
template <class Real>
struct layer_router {
  virtual ~layer_router() = default;
  // After the attention of a layer (tape: x, attention, added, x2, h, logits), before choose: soft scores and the like.
  virtual void observe(int /*layer*/, batch const&, batch_tape<Real> const&) {}
  virtual void choose(int layer, batch const& b, matrix<Real> const& logits, id_matrix& ids, matrix<Real>& weights) = 0;
  // Adds to d_logits (zero at first): the pull of the weights, and of any loss on the gate.
  virtual void backward(int layer, batch const& b, layer_tape<Real> const& t, matrix<Real> const& d_weights,
                        matrix<Real>& d_logits) = 0;
};

template <class Real>
class model {
 public:
  explicit model(parameters<Real> const& p) : p_(p), s_(p.shape) {}
  bool detach_gate_input = false;

  void forward(batch const& b, layer_router<Real>* router, batch_tape<Real>& t) const {
    Eigen::Index const n = b.tokens();
    t.layers.resize(static_cast<std::size_t>(s_.layers));
    t.attention_at.assign(1, 0);
    for (std::int64_t q = 0; q < b.size(); ++q) {
      auto const T = static_cast<std::size_t>(length(b, q));
      t.attention_at.push_back(t.attention_at.back() + static_cast<std::size_t>(s_.heads) * T * T);
    }
    matrix<Real> x(n, s_.width);
    embed(b, x);
    for (int l = 0; l < s_.layers; ++l) {
      auto& a = t.layers[at(l)];
      auto const& w = p_.where.layers[at(l)];
      a.x = x;
      normalize(a.x, w.norm1, a.normed);
      a.qkv.noalias() = a.normed * p_[w.qkv];
      attend(b, t, a);
      a.added.noalias() = a.context * p_[w.out];
      a.x2 = a.x + a.added;
      normalize(a.x2, w.norm2, a.h);
      x = a.x2;
      if (s_.experts > 1) {
        a.logits.noalias() = a.h * p_[w.gate];
        a.ids.resize(n, s_.k);
        a.weights.resize(n, s_.k);
        router->observe(l, b, t);
        router->choose(l, b, a.logits, a.ids, a.weights);
      } else {
        a.ids = id_matrix::Zero(n, 1);
        a.weights = matrix<Real>::Ones(n, 1);
      }
      run_experts(w, a, x);
    }
    t.last.resize(b.size(), s_.width);
    for (std::int64_t q = 0; q < b.size(); ++q) t.last.row(q) = x.row(b.offset[at(q + 1)] - 1);
    normalize(t.last, p_.where.final_norm, t.out);
    t.option_logits.resize(b.size(), options);
    auto const answers = p_[p_.where.answers];
    for (std::int64_t q = 0; q < b.size(); ++q)
      for (int o = 0; o < options; ++o)
        t.option_logits(q, o) = answers.row(b.items[at(q)].option[at(o)]).dot(t.out.row(q));
  }

  // Adds the gradients of the parts in `trained` to g.
  void backward(batch const& b, layer_router<Real>* router, batch_tape<Real> const& t, matrix<Real> const& d_options,
                parameters<Real>& g, part trained) const {
    bool const body = holds(trained, part::body);
    auto const answers = p_[p_.where.answers];
    matrix<Real> d_out = matrix<Real>::Zero(b.size(), s_.width), d_last;
    for (std::int64_t q = 0; q < b.size(); ++q)
      for (int o = 0; o < options; ++o) {
        auto const word = b.items[at(q)].option[at(o)];
        d_out.row(q) += d_options(q, o) * answers.row(word);
        if (body) g[g.where.answers].row(word) += d_options(q, o) * t.out.row(q);
      }
    normalize_backward(t.last, p_.where.final_norm, d_out, d_last, body ? &g : nullptr);
    matrix<Real> d = matrix<Real>::Zero(b.tokens(), s_.width);
    for (std::int64_t q = 0; q < b.size(); ++q) d.row(b.offset[at(q + 1)] - 1) = d_last.row(q);

    matrix<Real> d_h, d_logits, d_weights, d_context, d_qkv, d_normed, d_x;
    for (int l = s_.layers; l-- > 0;) {
      auto const& a = t.layers[at(l)];
      auto const& w = p_.where.layers[at(l)];
      d_h.setZero(b.tokens(), s_.width);
      d_weights.setZero(a.weights.rows(), a.weights.cols());
      run_experts_backward(w, a, d, d_h, d_weights, holds(trained, part::experts) ? &g : nullptr);
      if (s_.experts > 1) {
        d_logits.setZero(a.logits.rows(), a.logits.cols());
        router->backward(l, b, a, d_weights, d_logits);
        if (!detach_gate_input) d_h.noalias() += d_logits * p_[w.gate].transpose();
        if (holds(trained, part::gates)) g[w.gate].noalias() += a.h.transpose() * d_logits;
      }
      normalize_backward(a.x2, w.norm2, d_h, d_x, body ? &g : nullptr);
      d += d_x;
      if (l == 0 && !body) break;  // nothing below is trained
      d_context.noalias() = d * p_[w.out].transpose();
      if (body) g[w.out].noalias() += a.context.transpose() * d;
      attend_backward(b, t, a, d_context, d_qkv);
      d_normed.noalias() = d_qkv * p_[w.qkv].transpose();
      if (body) g[w.qkv].noalias() += a.normed.transpose() * d_qkv;
      normalize_backward(a.x, w.norm1, d_normed, d_x, body ? &g : nullptr);
      d += d_x;
    }
    if (body) embed_backward(b, d, g);
  }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  static Eigen::Index length(batch const& b, std::int64_t q) { return b.offset[at(q + 1)] - b.offset[at(q)]; }

  void embed(batch const& b, matrix<Real>& x) const {
    auto const words = p_[p_.where.embedding], places = p_[p_.where.positions];
    matrix<Real> const seen = patches(b) * p_[p_.where.patches];
    for (Eigen::Index i = 0; i < b.tokens(); ++i) {
      int const w = b.word[at(i)];
      if (w < 0) x.row(i) = seen.row(-1 - w);
      else x.row(i) = words.row(w);
      x.row(i) += places.row(b.place[at(i)]);
    }
  }
  void embed_backward(batch const& b, matrix<Real> const& d, parameters<Real>& g) const {
    auto words = g[g.where.embedding], places = g[g.where.positions];
    matrix<Real> d_seen = matrix<Real>::Zero(std::ssize(b.patch), s_.width);
    for (Eigen::Index i = 0; i < b.tokens(); ++i) {
      int const w = b.word[at(i)];
      if (w < 0) d_seen.row(-1 - w) = d.row(i);
      else words.row(w) += d.row(i);
      places.row(b.place[at(i)]) += d.row(i);
    }
    g[g.where.patches].noalias() += patches(b).transpose() * d_seen;
  }
  static matrix<Real> patches(batch const& b) {
    matrix<Real> out(std::ssize(b.patch), 49);
    for (Eigen::Index i = 0; i < out.rows(); ++i)
      for (Eigen::Index j = 0; j < 49; ++j) out(i, j) = static_cast<Real>(b.patch[at(i)][at(j)]);
    return out;
  }

  // y = gain x / sqrt(mean x^2 + 1e-5)
  static constexpr Real norm_epsilon = Real(1e-5);
  void normalize(matrix<Real> const& x, int gain, matrix<Real>& y) const {
    y.resize(x.rows(), x.cols());
    auto const scale = p_[gain];
    for (Eigen::Index i = 0; i < x.rows(); ++i) {
      Real const r = Real(1) / std::sqrt(x.row(i).squaredNorm() / static_cast<Real>(x.cols()) + norm_epsilon);
      y.row(i) = (r * x.row(i)).cwiseProduct(scale.row(0));
    }
  }
  void normalize_backward(matrix<Real> const& x, int gain, matrix<Real> const& d_y, matrix<Real>& d_x,
                          parameters<Real>* g) const {
    d_x.resize(x.rows(), x.cols());
    auto const scale = p_[gain];
    auto const width = static_cast<Real>(x.cols());
    for (Eigen::Index i = 0; i < x.rows(); ++i) {
      Real const r = Real(1) / std::sqrt(x.row(i).squaredNorm() / width + norm_epsilon);
      Real const dot = d_y.row(i).cwiseProduct(scale.row(0)).dot(x.row(i));
      d_x.row(i) = r * d_y.row(i).cwiseProduct(scale.row(0)) - (r * r * r * dot / width) * x.row(i);
      if (g != nullptr) (*g)[gain].row(0) += r * d_y.row(i).cwiseProduct(x.row(i));
    }
  }

  // Plain loops over short rows: at most 20 positions, a few numbers a head (8 known to the compiler).
  template <class F>
  void with_head_width(F&& f) const {
    if (s_.width / s_.heads == 8) f(std::integral_constant<int, 8>{});
    else f(s_.width / s_.heads);
  }
  static constexpr int widest_head = 64;
  // Numbers of a head by position: out[c][j] = from[j][c].
  using turned = std::array<std::array<Real, longest + 4>, widest_head>;
  static void turn(Real const* from, Eigen::Index step, Eigen::Index T, int width, turned& out) {
    for (Eigen::Index j = 0; j < T; ++j)
      for (int c = 0; c < width; ++c) out[at(c)][at(j)] = from[j * step + c];
  }
  void attend(batch const& b, batch_tape<Real> const& t, layer_tape<Real>& a) const {
    with_head_width([&](auto width) { attend(b, t, a, width); });
  }
  template <class Width>
  void attend(batch const& b, batch_tape<Real> const& t, layer_tape<Real>& a, Width width) const {
    turned keys;
    auto const scale = static_cast<Real>(1 / std::sqrt(static_cast<double>(width)));
    a.attention.resize(static_cast<Eigen::Index>(t.attention_at.back()));
    a.context.setZero(b.tokens(), s_.width);
    Eigen::Index const step = 3 * s_.width;
    for (std::int64_t q = 0; q < b.size(); ++q) {
      Eigen::Index const T = length(b, q), first = b.offset[at(q)];
      for (int head = 0; head < s_.heads; ++head) {
        Real const* const query = a.qkv.data() + first * step + head * width;
        Real const* const key = query + s_.width;
        Real const* const value = key + s_.width;
        Real* const share = a.attention.data() + t.attention_at[at(q)] + at(head * T * T);
        Real* const context = a.context.data() + first * s_.width + head * width;
        turn(key, step, T, width, keys);
        for (Eigen::Index i = 0; i < T; ++i) {  // a token sees itself and what came before
          Real* const row = share + i * T;
          Real top = -std::numeric_limits<Real>::infinity(), total = 0;
          for (Eigen::Index j = 0; j <= i; ++j) row[j] = 0;
          for (int d = 0; d < width; ++d) {
            Real const x = scale * query[i * step + d];
            for (Eigen::Index j = 0; j <= i; ++j) row[j] += x * keys[at(d)][at(j)];
          }
          for (Eigen::Index j = 0; j <= i; ++j) top = std::max(top, row[j]);
          for (Eigen::Index j = 0; j <= i; ++j) row[j] = moeroute::math::exp(row[j] - top);
          for (Eigen::Index j = 0; j <= i; ++j) total += row[j];
          Real const each = Real(1) / total;
          for (Eigen::Index j = 0; j <= i; ++j) {
            row[j] *= each;
            for (int d = 0; d < width; ++d) context[i * s_.width + d] += row[j] * value[j * step + d];
          }
          for (Eigen::Index j = i + 1; j < T; ++j) row[j] = 0;
        }
      }
    }
  }
  void attend_backward(batch const& b, batch_tape<Real> const& t, layer_tape<Real> const& a,
                       matrix<Real> const& d_context, matrix<Real>& d_qkv) const {
    with_head_width([&](auto width) { attend_backward(b, t, a, d_context, d_qkv, width); });
  }
  template <class Width>
  void attend_backward(batch const& b, batch_tape<Real> const& t, layer_tape<Real> const& a,
                       matrix<Real> const& d_context, matrix<Real>& d_qkv, Width width) const {
    turned values;
    auto const scale = static_cast<Real>(1 / std::sqrt(static_cast<double>(width)));
    Eigen::Index const step = 3 * s_.width;
    d_qkv.setZero(b.tokens(), step);
    std::array<Real, longest> d_share;
    for (std::int64_t q = 0; q < b.size(); ++q) {
      Eigen::Index const T = length(b, q), first = b.offset[at(q)];
      for (int head = 0; head < s_.heads; ++head) {
        Real const* const query = a.qkv.data() + first * step + head * width;
        Real const* const key = query + s_.width;
        Real const* const value = key + s_.width;
        Real* const d_query = d_qkv.data() + first * step + head * width;
        Real* const d_key = d_query + s_.width;
        Real* const d_value = d_key + s_.width;
        Real const* const share = a.attention.data() + t.attention_at[at(q)] + at(head * T * T);
        turn(value, step, T, width, values);
        for (Eigen::Index i = 0; i < T; ++i) {
          Real const* const row = share + i * T;
          Real const* const d = d_context.data() + (first + i) * s_.width + head * width;
          Real dot = 0;
          d_share.fill(Real(0));
          for (int c = 0; c < width; ++c)
            for (Eigen::Index j = 0; j <= i; ++j) d_share[at(j)] += d[c] * values[at(c)][at(j)];
          for (Eigen::Index j = 0; j <= i; ++j) {
            for (int c = 0; c < width; ++c) d_value[j * step + c] += row[j] * d[c];
            dot += d_share[at(j)] * row[j];
          }
          for (Eigen::Index j = 0; j <= i; ++j) {
            Real const x = scale * row[j] * (d_share[at(j)] - dot);
            for (int c = 0; c < width; ++c) {
              d_query[i * step + c] += x * key[j * step + c];
              d_key[j * step + c] += x * query[i * step + c];
            }
          }
        }
      }
    }
  }

  void run_experts(layout::layer_ids const& w, layer_tape<Real>& a, matrix<Real>& x) const {
    a.experts.resize(at(s_.experts));
    for (auto& e : a.experts) e.token.clear(), e.slot.clear();
    for (Eigen::Index i = 0; i < a.ids.rows(); ++i)
      for (Eigen::Index j = 0; j < a.ids.cols(); ++j)
        if (a.ids(i, j) >= 0)
          a.experts[at(a.ids(i, j))].token.push_back(i), a.experts[at(a.ids(i, j))].slot.push_back(j);
    for (std::size_t e = 0; e < a.experts.size(); ++e) {
      auto& m = a.experts[e];
      auto const rows = static_cast<Eigen::Index>(m.token.size());
      m.in.resize(rows, s_.width);
      for (Eigen::Index r = 0; r < rows; ++r) m.in.row(r) = a.h.row(m.token[at(r)]);
      m.before.noalias() = m.in * p_[w.w1[e]];
      m.after = m.before.array() / (Real(1) + (-m.before.array()).exp());
      m.out.noalias() = m.after * p_[w.w2[e]];
      for (Eigen::Index r = 0; r < rows; ++r)
        x.row(m.token[at(r)]) += a.weights(m.token[at(r)], m.slot[at(r)]) * m.out.row(r);
    }
  }
  void run_experts_backward(layout::layer_ids const& w, layer_tape<Real> const& a, matrix<Real> const& d,
                            matrix<Real>& d_h, matrix<Real>& d_weights, parameters<Real>* g) const {
    matrix<Real> d_out, d_after, d_in;
    Eigen::Array<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> gate;
    for (std::size_t e = 0; e < a.experts.size(); ++e) {
      auto const& m = a.experts[e];
      auto const rows = static_cast<Eigen::Index>(m.token.size());
      if (rows == 0) continue;
      d_out.resize(rows, s_.width);
      for (Eigen::Index r = 0; r < rows; ++r) {
        auto const t = m.token[at(r)], j = m.slot[at(r)];
        d_weights(t, j) = d.row(t).dot(m.out.row(r));
        d_out.row(r) = a.weights(t, j) * d.row(t);
      }
      d_after.noalias() = d_out * p_[w.w2[e]].transpose();
      if (g != nullptr) (*g)[w.w2[e]].noalias() += m.after.transpose() * d_out;
      gate = (Real(1) + (-m.before.array()).exp()).inverse();
      d_after.array() *= gate * (Real(1) + m.before.array() * (Real(1) - gate));
      d_in.noalias() = d_after * p_[w.w1[e]].transpose();
      if (g != nullptr) (*g)[w.w1[e]].noalias() += m.in.transpose() * d_after;
      for (Eigen::Index r = 0; r < rows; ++r) d_h.row(m.token[at(r)]) += d_in.row(r);
    }
  }

  parameters<Real> const& p_;
  model_shape s_;
};

}  // namespace moeroute_training
