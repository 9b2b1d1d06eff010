// Decides the log-probability of one route and its slope, by one walk over the draws. With z~ the logits after prior and
// temperature, e_1..e_K the choice, L_j = logsumexp of the experts still available at draw j:
//
//   ordered          sum_j z~[e_j] - L_j                       what gumbel_top_k draws (MoE-GRPO, reading G1)
//   product          sum_j z~[e_j] - L_1                       what multinomial draws
//   per_expert_mean  product / K                               geometric mean of the experts' probabilities
//   set              log of the sum of `ordered` over all K! orders
//
// Stable and exact for any K up to all experts: L_K is the logsumexp of the never chosen and e_K, and
// L_j = logsumexp(L_{j+1}, z~[e_j]); nothing is subtracted. `set` walks the 2^K subsets (K <= 10) in the same
// way. Gradient: d/dz~[e] = (times e was chosen) - sum over draws of softmax of the available; closed experts
// get exactly 0. Places without an expert end the route.
#pragma once

#include <moeroute/core/exact_sum.hpp>
#include <moeroute/core/row.hpp>
#include <moeroute/core/status.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class probability_of : std::uint8_t { ordered, product, per_expert_mean, set };

struct route_measure {
  probability_of of = probability_of::ordered;
  float temperature = 1;

  static constexpr index_t most_in_set = 10;
  status validate(index_t k) const {
    checks c;
    if (of == probability_of::set) c.at_most("measure.of = set: k", k, most_in_set);
    return c
        .also(temperature > 0 ? status{}
                              : status{errc::bad_value, "measure.temperature", "must be above",
                                       static_cast<std::int64_t>(temperature), 0})
        .result();
  }
  // Numbers of scratch next to the logits: draws or subsets.
  MOEROUTE_HD offset_t memory(offset_t k) const {
    return of == probability_of::set ? offset_t{3} << (k < most_in_set ? k : most_in_set) : k;
  }
};

namespace detail {

// log(e^a + e^b).
template <class V>
MOEROUTE_HD V log_add(V a, V b) {
  V const top = math::max(a, b), low = a > b ? b : a;
  return top == -infinity<V> ? top : top + math::log1p_unit(math::exp(low - top));
}

// What every lane knows of a route: its log-probability, the logsumexp `rest` of the experts that stay
// unchosen, and how much every expert outside the choice loses for each unit of exp(z - rest).
template <class V>
struct route_facts {
  V log_prob = 0;
  V rest = 0;
  V loss = 0;
  index_t drawn = 0;
};

template <class V>
struct route_walk {
  route_measure m;
  V* z;       // experts: logits after prior and temperature; -inf closed
  V* memory;  // m.memory(k)

  // logsumexp of all experts for which `in` holds.
  template <class G, class In>
  MOEROUTE_HD V log_sum(G const& g, index_t experts, In const& in) const {
    memory_row<V> const row{z, experts};
    V top = -infinity<V>;
    row.each(g, [&](index_t e, V x) {
      if (in(e)) top = math::max(x, top);
    });
    top = g.max(top);
    if (top == -infinity<V>) return top;
    exact_sum<V> mass;
    row.each(g, [&](index_t e, V x) {
      if (in(e)) mass.add(math::where(x == top, V(1), math::exp(x - top)));
    });
    mass.ticks = g.sum(mass.ticks);
    return top + math::log(mass.value());
  }
  template <class Ids>
  MOEROUTE_HD static bool among(Ids const& id, index_t drawn, index_t e) {
    for (index_t j = 0; j < drawn; ++j)
      if (static_cast<index_t>(id[j]) == e) return true;
    return false;
  }

  template <class G, class Ids>
  MOEROUTE_HD route_facts<V> forward(G const& g, index_t experts, Ids const& id) const {
    using Id = std::remove_cvref_t<decltype(id[0])>;
    route_facts<V> f;
    while (f.drawn < id.size && id[f.drawn] != no_expert_of<Id>) ++f.drawn;
    bool const with_replacement = m.of == probability_of::product || m.of == probability_of::per_expert_mean;
    f.rest = log_sum(g, experts, [&](index_t e) { return with_replacement || !among(id, f.drawn, e); });
    if (with_replacement) {
      V const share = m.of == probability_of::product || f.drawn == 0 ? V(1) : V(1) / static_cast<V>(f.drawn);
      for (index_t j = 0; j < f.drawn; ++j) f.log_prob += z[id[j]] - f.rest;
      f.log_prob *= share;
      f.loss = share * static_cast<V>(f.drawn);
    } else if (m.of == probability_of::ordered) {
      V available = f.rest;
      for (index_t j = f.drawn; j-- > 0;) {
        available = log_add(available, z[id[j]]);
        if (g.rank() == 0) memory[j] = available;
        f.log_prob += z[id[j]] - available;
        f.loss += of_rest(f.rest, available);
      }
    } else {
      g.sync();
      if (g.rank() == 0) subsets(id, f.drawn, f.rest);
      g.sync();
      index_t const all = (1 << f.drawn) - 1;
      for (index_t j = 0; j < f.drawn; ++j) f.log_prob += z[id[j]];
      f.log_prob += forward_of(all);
      for (index_t a = 0; a < all; ++a) f.loss += math::mul(share(a, all), of_rest(f.rest, available_of(a)));
    }
    if (!(f.log_prob > -infinity<V>)) f.log_prob = -infinity<V>, f.loss = 0;
    return f;
  }

  // d log_prob / d z~[e]
  template <class Ids>
  MOEROUTE_HD V slope(route_facts<V> const& f, Ids const& id, index_t e) const {
    V const x = z[e];
    if (x == -infinity<V> || f.log_prob == -infinity<V> || f.drawn == 0) return V(0);
    V const unchosen = f.rest == -infinity<V> ? V(0) : math::mul(math::exp(x - f.rest), f.loss);
    if (m.of == probability_of::product || m.of == probability_of::per_expert_mean) {
      index_t times = 0;
      for (index_t j = 0; j < f.drawn; ++j) times += static_cast<index_t>(id[j]) == e;
      V const share = m.of == probability_of::product ? V(1) : V(1) / static_cast<V>(f.drawn);
      return math::fma(share, static_cast<V>(times), -unchosen);
    }
    index_t at = 0;
    while (at < f.drawn && static_cast<index_t>(id[at]) != e) ++at;
    if (at == f.drawn) return -unchosen;
    V pull = 0;
    if (m.of == probability_of::ordered) {
      for (index_t j = 0; j <= at; ++j) pull += math::exp(x - memory[j]);
    } else {
      index_t const all = (1 << f.drawn) - 1;
      for (index_t a = 0; a < all; ++a)
        if ((a >> at & 1) == 0) pull += math::mul(share(a, all), math::exp(x - available_of(a)));
    }
    return V(1) - pull;
  }

 private:
  MOEROUTE_HD static V of_rest(V rest, V available) {
    return rest == -infinity<V> ? V(0) : math::exp(rest - available);
  }
  // The set form. For a subset A of the choice that is drawn first, in the bits of a:
  //   available(A) = logsumexp(rest, chosen outside A)
  //   forward(A) = log of the sum over orders of A of prod 1 / available;  backward(A) the same from A to all.
  MOEROUTE_HD V& available_of(index_t a) const { return memory[3 * a]; }
  MOEROUTE_HD V& forward_of(index_t a) const { return memory[3 * a + 1]; }
  MOEROUTE_HD V& backward_of(index_t a) const { return memory[3 * a + 2]; }
  // Probability that the draw passes through A, given that it ends in the whole choice.
  MOEROUTE_HD V share(index_t a, index_t all) const {
    return math::exp(forward_of(a) + backward_of(a) - forward_of(all));
  }
  template <class Ids>
  MOEROUTE_HD void subsets(Ids const& id, index_t drawn, V rest) const {
    index_t const all = (1 << drawn) - 1;
    for (index_t a = 0; a <= all; ++a) {
      V available = rest, paths = a == 0 ? V(0) : -infinity<V>;
      for (index_t j = drawn; j-- > 0;) {
        if ((a >> j & 1) == 0) available = log_add(available, z[id[j]]);
        else paths = log_add(paths, forward_of(a ^ (1 << j)) - available_of(a ^ (1 << j)));
      }
      available_of(a) = available;
      forward_of(a) = paths;
    }
    for (index_t a = all; a >= 0; --a) {
      V paths = a == all ? V(0) : -infinity<V>;
      for (index_t j = 0; j < drawn; ++j)
        if ((a >> j & 1) == 0) paths = log_add(paths, backward_of(a | (1 << j)));
      backward_of(a) = a == all ? paths : paths - available_of(a);
    }
  }
};

}  // namespace detail

}  // namespace moeroute::inline MOEROUTE_ABI
