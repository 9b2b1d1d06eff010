// Decides what selection ranks: key = score + b_e. A bias steers the choice and never reaches a weight, so
// it has no gradient; balance/ moves it by a rule. Source: DeepSeek-V3 (auxiliary-loss-free balancing).
#pragma once

#include <moeroute/concepts.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct no_bias {
  static constexpr bool none = true;
  MOEROUTE_HD row_view<float const> parameters(row_context) const { return {}; }
  template <class V>
  MOEROUTE_HD V operator()(V score, V) const {
    return score;
  }
};

template <class P>
struct correction_bias {
  static_assert(std::same_as<P, float> || std::same_as<P, double>,
                "correction_bias: the bias is float or double; a 16-bit bias loses its small updates");
  static constexpr bool adds = true;
  row_view<P const> per_expert{};  // experts
  MOEROUTE_HD row_view<P const> parameters(row_context) const { return per_expert; }
  template <class V>
  MOEROUTE_HD V operator()(V score, V b) const {
    return score + b;
  }
  status validate(index_t experts) const {
    return checks{}.must_be("bias.per_expert size", per_expert.size, experts).result();
  }
  void describe(text& t) const { t.add(" + bias[e]"); }
};
template <class P>
correction_bias(row_view<P>) -> correction_bias<std::remove_const_t<P>>;
template <class R>
  requires requires(R& r) {
    r.data();
    r.size();
    *r.data();
  }
correction_bias(R&& r) -> correction_bias<std::remove_cvref_t<decltype(*r.data())>>;

// A bias row for each modality. Source: ERNIE-4.5-VL.
template <class P>
struct modality_bias {
  static_assert(std::same_as<P, float> || std::same_as<P, double>,
                "modality_bias: the bias is float or double; a 16-bit bias loses its small updates");
  static constexpr bool adds = true;
  matrix_view<P const> per_modality{};  // modalities x experts
  MOEROUTE_HD row_view<P const> parameters(row_context c) const { return per_modality[c.modality]; }
  template <class V>
  MOEROUTE_HD V operator()(V score, V b) const {
    return score + b;
  }
  MOEROUTE_HD offset_t modalities() const { return per_modality.rows; }
  status validate(index_t experts) const {
    checks c;
    c.must_be("bias.per_modality columns", per_modality.cols, experts).strided("bias.per_modality", per_modality);
    return c.at_least("bias.per_modality rows", per_modality.rows, 1, errc::missing).result();
  }
  void describe(text& t) const { t.add(" + bias[modality, e]"); }
};

static_assert(bias_policy<no_bias> && bias_policy<correction_bias<>> && bias_policy<modality_bias<double>>);

}  // namespace moeroute::inline MOEROUTE_ABI
