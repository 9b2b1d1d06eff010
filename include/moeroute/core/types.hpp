// Decides the numbers everything is counted in: ids, offsets, element types, and the context of a row.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <moeroute/core/config.hpp>

namespace moeroute::inline MOEROUTE_ABI {

using index_t = std::int32_t;   // an expert, a lane, a choice
using offset_t = std::int64_t;  // a token, a slot, a size: products of two sizes always fit

// The one sentinel: "no expert here". Legal input of every verb that reads ids.
template <class Id>
inline constexpr Id no_expert_of = std::is_signed_v<Id> ? Id(-1) : std::numeric_limits<Id>::max();
inline constexpr index_t no_expert = no_expert_of<index_t>;

// A number the type can carry: top_k{.k = 8} keeps 8 at run time, top_k{.k = fixed<8>} in the type.
template <index_t N>
struct fixed_index {
  MOEROUTE_HD constexpr operator index_t() const { return N; }
  friend constexpr bool operator==(fixed_index, fixed_index) = default;
};
template <index_t N>
inline constexpr fixed_index<N> fixed{};

// ---- element types: float, double, and any 16-bit floating type that converts to float ------------

template <class T>
concept half_like = sizeof(T) == 2 && !std::integral<T> && !std::is_enum_v<T> && requires(T x, float f) {
  static_cast<float>(x);
  static_cast<T>(f);
};
// Formats of 16 bits, and that of a type: specialize for one of your own whose bits are those of one of them.
enum class half_format : std::uint8_t { unknown, bf16, fp16 };
template <class T>
inline constexpr half_format half_format_of = half_format::unknown;

template <class T>
concept element = std::same_as<T, float> || std::same_as<T, double> || half_like<T>;

// What arithmetic is done in: double for double, float for the rest.
template <element T>
using compute_t = std::conditional_t<std::same_as<T, double>, double, float>;

MOEROUTE_EXEC_CHECK_DISABLE
template <element T>
MOEROUTE_HD constexpr compute_t<T> load(T x) {
  return static_cast<compute_t<T>>(x);
}
MOEROUTE_EXEC_CHECK_DISABLE
template <element T, class V>
MOEROUTE_HD constexpr T store(V x) {
  return static_cast<T>(static_cast<compute_t<T>>(x));
}

// Names for limits: host constexpr functions may not be called on a device.
template <class V>
inline constexpr V infinity = std::numeric_limits<V>::infinity();
template <class V>
inline constexpr V not_a_number = std::numeric_limits<V>::quiet_NaN();
template <class I>
inline constexpr I largest = std::numeric_limits<I>::max();
// How many experts an id type can name beside its sentinel.
template <std::integral Id>
inline constexpr offset_t nameable_experts =
    sizeof(Id) >= sizeof(offset_t)
        ? largest<offset_t>
        : static_cast<offset_t>(static_cast<std::uint64_t>(largest<Id>) + (std::is_signed_v<Id> ? 1u : 0u));
template <class I>
inline constexpr I least = std::numeric_limits<I>::min();
template <class V>
MOEROUTE_HD constexpr bool is_nan(V x) {
  return x != x;
}

// What a policy may know of the row it works on. Fields a batch leaves out are 0.
struct row_context {
  offset_t token = 0;    // names the token for random draws: the same in any batch
  index_t sequence = 0;  // which sequence it belongs to
  index_t modality = 0;  // 0 vision, 1 text, or the caller's own numbering
  index_t group = 0;     // isolation group: one request
  offset_t row = 0;      // its number in the batch: for policies that hold an array with a row a token
};

// How far a choice may depend on other rows of the batch.
enum class cross_token_dependence : std::uint8_t { none, within_group, whole_batch };

}  // namespace moeroute::inline MOEROUTE_ABI
