// Runs a router on plain vectors and hands back vectors: what nearly every test of route needs.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include <moeroute/route_backward.hpp>

namespace run {

using moeroute::index_t;
using moeroute::offset_t;

template <class W = float>
struct routed {
  std::vector<index_t> ids;
  std::vector<W> weights, scores;
  index_t k = 0;
  index_t id(std::size_t t, std::size_t j) const { return ids[t * static_cast<std::size_t>(k) + j]; }
  W weight(std::size_t t, std::size_t j) const { return weights[t * static_cast<std::size_t>(k) + j]; }
};

// Same bits, so that NaN equals itself.
template <class T>
bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Outputs and workspace start as garbage. T x E logits in row-major order; `in` may carry the other views.
template <class X, class R, class T, class W = moeroute::compute_t<T>>
routed<W> route(X const& x, R const& r, std::vector<T> const& logits, offset_t experts, moeroute::batch<T> in = {}) {
  offset_t const tokens = experts == 0 ? 0 : static_cast<offset_t>(logits.size()) / experts;
  index_t const k = r.select.experts_per_token();
  in.logits = {logits.data(), tokens, experts};
  routed<W> out{std::vector<index_t>(static_cast<std::size_t>(tokens * k), 123456789),
                std::vector<W>(static_cast<std::size_t>(tokens * k), W(-7)), std::vector<W>(logits.size(), W(-7)), k};
  std::vector<std::byte> space(
      static_cast<std::size_t>(moeroute::route_workspace_bytes<X, R, T>(x, r, tokens, static_cast<index_t>(experts))),
      std::byte{0xff});
  moeroute::route(
      x, r, in,
      moeroute::routing_view<index_t, W>{
          {out.ids.data(), tokens, k}, {out.weights.data(), tokens, k}, {out.scores.data(), tokens, experts}},
      moeroute::workspace(space));
  return out;
}

template <class X, class R, class T, class W>
std::vector<W> route_backward(X const& x, R const& r, std::vector<T> const& logits, offset_t experts,
                              std::vector<index_t> const& ids, std::vector<W> const& d_weights,
                              moeroute::batch<T> in = {}) {
  offset_t const tokens = experts == 0 ? 0 : static_cast<offset_t>(logits.size()) / experts;
  index_t const k = r.select.experts_per_token();
  in.logits = {logits.data(), tokens, experts};
  std::vector<W> d_logits(logits.size(), W(-7));
  std::vector<std::byte> space(
      static_cast<std::size_t>(moeroute::route_workspace_bytes<X, R, T>(x, r, tokens, static_cast<index_t>(experts))),
      std::byte{0xff});
  moeroute::route_backward(x, r, in, moeroute::matrix_view<index_t const>{ids.data(), tokens, k},
                           moeroute::matrix_view<W const>{d_weights.data(), tokens, k},
                           moeroute::matrix_view<W>{d_logits.data(), tokens, experts}, moeroute::workspace(space));
  return d_logits;
}

}  // namespace run
