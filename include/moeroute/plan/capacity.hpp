// Decides how many rows an expert may take: the formulas of the frameworks under one roof, each with its
// own rounding. T tokens, E experts, k choices a token, f the factor; all in double, in the written order.
//
//   megatron     ceil((T k / E) f)                   Megatron-LM, MindSpeed
//   deepspeed    ceil((T / E) (f k))                 DeepSpeed; Switch and GShard with k = 1, 2
//   tutel        k int(f ceil(T / E)); f = 0: the largest count; f < 0: the smaller of that and k int(-f ceil(T / E))
//   torchscale   2 ceil(T / E), f not read           torchscale top-2 (fairseq, NLLB)
//   vmoe         ceil(T k f / E), `multiple` is 4 in the paper's code
//   flaxformer   round(f T / E), half to even        T5X mixture of experts
//   given        slots
// Then: at least `floor`, then rounded up to `multiple`.
#pragma once

#include <moeroute/core/status.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class capacity_formula : std::uint8_t {
  unlimited,
  given,
  megatron,
  deepspeed,
  tutel,
  torchscale,
  vmoe,
  flaxformer
};

struct capacity_rule {
  capacity_formula formula = capacity_formula::megatron;
  double factor = 1;
  offset_t slots = 0;  // of `given`
  offset_t floor = 0;
  offset_t multiple = 1;

  status validate() const {
    checks c;
    c.at_least("capacity.slots", slots, 0).at_least("capacity.floor", floor, 0);
    c.at_least("capacity.multiple", multiple, 1).at_most("capacity.multiple", multiple, offset_t{1} << 40);
    bool const signed_factor = formula == capacity_formula::tutel;
    bool const good = factor <= 1e12 && factor >= (signed_factor ? -1e12 : 0.);  // not NaN
    if (!good) c.must_be("capacity.factor is a number in range (0: no, 1: yes)", 0, 1, errc::bad_value);
    return c.result();
  }
  void describe(text& t) const {
    constexpr char const* words[] = {"no capacity",
                                     "capacity ",
                                     "capacity ceil((T k / E) f)",
                                     "capacity ceil((T / E) (f k))",
                                     "capacity k int(f ceil(T / E))",
                                     "capacity 2 ceil(T / E)",
                                     "capacity ceil(T k f / E)",
                                     "capacity round(f T / E)"};
    t.add(words[static_cast<int>(formula)]);
    if (formula == capacity_formula::unlimited) return;
    if (formula == capacity_formula::given) t.add(slots);
    else if (formula != capacity_formula::torchscale) t.add(", f = ").add(factor);
    if (floor != 0) t.add(", at least ").add(floor);
    if (multiple != 1) t.add(", a multiple of ").add(multiple);
  }
};

// What a formula is told. Padding tokens are not counted.
struct capacity_sizes {
  offset_t tokens = 0;
  offset_t choices = 0;  // tokens * k
  index_t experts = 1;
  offset_t largest_count = 0;  // of any expert; read by tutel with f <= 0
};

namespace detail {

// Exact for numbers below 2^53; what lies above any count stays there.
MOEROUTE_HD constexpr offset_t to_offset(double x) {
  return x >= 0x1p62 ? offset_t{1} << 62 : x <= 0 ? 0 : static_cast<offset_t>(x);
}
MOEROUTE_HD constexpr double ceiling(double x) {
  if (!(x < 0x1p52)) return x;
  auto const down = static_cast<double>(static_cast<offset_t>(x));
  return down < x ? down + 1 : down;
}
MOEROUTE_HD constexpr double half_to_even(double x) {
  if (!(x < 0x1p52)) return x;
  auto const down = static_cast<offset_t>(x);
  double const rest = x - static_cast<double>(down);
  return static_cast<double>(rest > .5 || (rest == .5 && down % 2 != 0) ? down + 1 : down);
}

}  // namespace detail

MOEROUTE_HD constexpr offset_t capacity(capacity_rule const& rule, capacity_sizes const& s) {
  double const f = rule.factor, tokens = static_cast<double>(s.tokens), experts = s.experts;
  double const choices = static_cast<double>(s.choices), k = s.tokens == 0 ? 0 : choices / tokens;
  double const share = detail::ceiling(tokens / experts);
  offset_t slots = 0;
  switch (rule.formula) {
    case capacity_formula::unlimited:
      return offset_t{1} << 62;
    case capacity_formula::given:
      slots = rule.slots;
      break;
    case capacity_formula::megatron:
      slots = detail::to_offset(detail::ceiling((choices / experts) * f));
      break;
    case capacity_formula::deepspeed:
      slots = detail::to_offset(detail::ceiling((tokens / experts) * (f * k)));
      break;
    case capacity_formula::tutel: {
      double const magnitude = f < 0 ? -f : f;
      slots = detail::to_offset(k * static_cast<double>(detail::to_offset(magnitude * share)));
      if (f == 0 || (f < 0 && s.largest_count < slots)) slots = s.largest_count;
      break;
    }
    case capacity_formula::torchscale:
      slots = 2 * detail::to_offset(share);
      break;
    case capacity_formula::vmoe:
      slots = detail::to_offset(detail::ceiling(choices * f / experts));
      break;
    case capacity_formula::flaxformer:
      slots = detail::to_offset(detail::half_to_even(f * tokens / experts));
      break;
  }
  if (slots < rule.floor) slots = rule.floor;
  return slots > (offset_t{1} << 60) ? slots : (slots + rule.multiple - 1) / rule.multiple * rule.multiple;
}

}  // namespace moeroute::inline MOEROUTE_ABI
