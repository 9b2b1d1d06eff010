// Decides what can be done to vectors but to reckon with them: lanes are put together, exchanged, compared, converted, read
// and written, register by register.
#pragma once

#include <moeroute/cpu/simd/vec_type.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

template <int N>
inline constexpr std::integral_constant<int, N> constant{};

// shuffle<M>(a, b, pick): lane i is lane pick(i) of the registers a and b laid end to end.
template <int M, class T, int N, class Pick>
MOEROUTE_SIMD_INLINE vec<T, M> shuffle(vec<T, N> a, vec<T, N> b, Pick) {
  return [&]<int... I>(std::integer_sequence<int, I...>) MOEROUTE_SIMD_LAMBDA {
    return vec<T, M>(__builtin_shufflevector(a.v, b.v, Pick{}(I)...), 0);
  }(std::make_integer_sequence<int, M>{});
}
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N / 2> low(vec<T, N> a) {
  if constexpr (one_register<T, N>) return shuffle<N / 2>(a, a, [](int i) { return i; });
  else return a.lo;
}
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N / 2> high(vec<T, N> a) {
  if constexpr (one_register<T, N>) return shuffle<N / 2>(a, a, [](int i) { return i + N / 2; });
  else return a.hi;
}
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, 2 * N> join(vec<T, N> a, vec<T, N> b) {
  if constexpr (one_register<T, 2 * N>) return shuffle<2 * N>(a, b, [](int i) { return i; });
  else return vec<T, 2 * N>(a, b);
}
// each(f, a, b, ...): f on every register of its arguments.
template <class F, class T, int N, class... V>
MOEROUTE_SIMD_INLINE auto each(F f, vec<T, N> a, V... more) {
  if constexpr (one_register<T, N>) return f(a, more...);
  else return join(each(f, a.lo, more.lo...), each(f, a.hi, more.hi...));
}
// A mask with every bit set, as whatever type a compiler's builtin wants it.
struct every_lane {
  template <std::integral T>
  constexpr operator T() const {
    return static_cast<T>(-1);
  }
};
inline constexpr every_lane all_lanes{}, all_eight{};

#if defined(__AVX512F__) && !defined(__clang__)
// 16 small numbers to 32 bits by one instruction, for which g++ takes five or more.
namespace detail {
typedef int words_16 __attribute__((vector_size(64)));
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE words_16 widened(vec<std::uint16_t, 16> a) {
  typedef short halves __attribute__((vector_size(32)));
  return __builtin_ia32_pmovzxwd512_mask(__builtin_bit_cast(halves, a.v), words_16{}, all_lanes);
}
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE words_16 widened(vec<std::uint8_t, 16> a) {
  typedef char bytes __attribute__((vector_size(16)));
  return __builtin_ia32_pmovzxbd512_mask(__builtin_bit_cast(bytes, a.v), words_16{}, all_lanes);
}
}  // namespace detail
#endif
template <class U, class T, int N>
MOEROUTE_SIMD_INLINE vec<U, N> convert(vec<T, N> a) {
#if defined(__AVX512F__) && !defined(__clang__)
  if constexpr (std::integral<U> && sizeof(U) == 4 && requires { detail::widened(a); })
    return vec<U, N>(__builtin_bit_cast(typename vec<U, N>::raw, detail::widened(a)), 0);
  else
#endif
#if defined(__aarch64__)
      if constexpr (N == 2 && neon::converts_pairs<T, U>)
    return vec<U, N>(neon::converted_pair<T, U, typename vec<U, N>::raw>(a.v), 0);
  else
#endif
      if constexpr (one_register<T, N> && one_register<U, N>)
    return vec<U, N>(__builtin_convertvector(a.v, typename vec<U, N>::raw), 0);
  else return join(convert<U>(low(a)), convert<U>(high(a)));
}
// The same bits as another element type, register by register (a struct of two would go through memory).
template <class U, class T, int N>
MOEROUTE_SIMD_INLINE vec<U, N* int{sizeof(T)} / int{sizeof(U)}> bits_as(vec<T, N> a) {
  return each(
      [](auto x) MOEROUTE_SIMD_LAMBDA {
        using R = vec<U, int{sizeof(x.v) / sizeof(U)}>;
        return R(__builtin_bit_cast(typename R::raw, x.v), 0);
      },
      a);
}
template <class M, class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> select(vec<M, N> m, vec<T, N> a, vec<T, N> b) {
  return each([](auto k, auto x, auto y) MOEROUTE_SIMD_LAMBDA { return decltype(x)(k.v ? x.v : y.v, 0); }, m, a, b);
}
// larger, smaller: the second operand where one is NaN. g++ makes two instructions of a comparison with a
// constant, so it is told the one it should take.
namespace detail {
template <class R>
MOEROUTE_SIMD_INLINE R larger(R a, R b) {
  return a > b ? a : b;
}
template <class R>
MOEROUTE_SIMD_INLINE R smaller(R a, R b) {
  return a < b ? a : b;
}
#if defined(__x86_64__) && !defined(__clang__)
#define MOEROUTE_SIMD_PICK(R, larger_call, smaller_call)          \
  MOEROUTE_SIMD_INLINE R larger(R a, R b) { return larger_call; } \
  MOEROUTE_SIMD_INLINE R smaller(R a, R b) { return smaller_call; }
using floats_128 = vec<float, 4, true>::raw;
using doubles_128 = vec<double, 2, true>::raw;
MOEROUTE_SIMD_PICK(floats_128, __builtin_ia32_maxps(a, b), __builtin_ia32_minps(a, b))
MOEROUTE_SIMD_PICK(doubles_128, __builtin_ia32_maxpd(a, b), __builtin_ia32_minpd(a, b))
#if defined(__AVX__)
using floats_256 = vec<float, 8, true>::raw;
using doubles_256 = vec<double, 4, true>::raw;
MOEROUTE_SIMD_PICK(floats_256, __builtin_ia32_maxps256(a, b), __builtin_ia32_minps256(a, b))
MOEROUTE_SIMD_PICK(doubles_256, __builtin_ia32_maxpd256(a, b), __builtin_ia32_minpd256(a, b))
#endif
#if defined(__AVX512F__)
using floats_512 = vec<float, 16, true>::raw;
using doubles_512 = vec<double, 8, true>::raw;
MOEROUTE_SIMD_PICK(floats_512, __builtin_ia32_maxps512_mask(a, b, a, short{-1}, 4),
                   __builtin_ia32_minps512_mask(a, b, a, short{-1}, 4))
MOEROUTE_SIMD_PICK(doubles_512, __builtin_ia32_maxpd512_mask(a, b, a, 0xff, 4),
                   __builtin_ia32_minpd512_mask(a, b, a, 0xff, 4))
#endif
#undef MOEROUTE_SIMD_PICK
#endif
}  // namespace detail
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> max(vec<T, N> a, vec<T, N> b) {
  return each([](auto x, auto y) MOEROUTE_SIMD_LAMBDA { return decltype(x)(detail::larger(x.v, y.v), 0); }, a, b);
}
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> min(vec<T, N> a, vec<T, N> b) {
  return each([](auto x, auto y) MOEROUTE_SIMD_LAMBDA { return decltype(x)(detail::smaller(x.v, y.v), 0); }, a, b);
}

// The same of numbers alone, where it does not matter which zero is the larger: what sorting takes.
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> max_of_numbers(vec<T, N> a, vec<T, N> b) {
#if defined(__aarch64__)
  if constexpr (std::is_floating_point_v<T>)
    return each([](auto x, auto y) MOEROUTE_SIMD_LAMBDA { return decltype(x)(neon::larger_number(x.v, y.v), 0); }, a,
                b);
  else
#endif
    return max(a, b);
}
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> min_of_numbers(vec<T, N> a, vec<T, N> b) {
#if defined(__aarch64__)
  if constexpr (std::is_floating_point_v<T>)
    return each([](auto x, auto y) MOEROUTE_SIMD_LAMBDA { return decltype(x)(neon::smaller_number(x.v, y.v), 0); }, a,
                b);
  else
#endif
    return min(a, b);
}

// Lanes in segments of a power of two: swap<X> exchanges i with i ^ X, blend<B> takes b where i & B.
template <int X, class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> swap(vec<T, N> a) {
  if constexpr (one_register<T, N>) return shuffle<N>(a, a, [](int i) { return i ^ X; });
  else if constexpr ((X & (N / 2)) != 0) return vec<T, N>(swap<X - N / 2>(a.hi), swap<X - N / 2>(a.lo));
  else return vec<T, N>(swap<X>(a.lo), swap<X>(a.hi));
}
template <int B, class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> blend(vec<T, N> a, vec<T, N> b) {
  if constexpr (one_register<T, N>) return shuffle<N>(a, b, [](int i) { return (i & B) != 0 ? i + N : i; });
  else if constexpr ((B & (N / 2)) != 0) return vec<T, N>(a.lo, b.hi);
  else return vec<T, N>(blend<B>(a.lo, b.lo), blend<B>(a.hi, b.hi));
}
// even<0> / even<1>: lanes 0, 2, 4 ... / 1, 3, 5 ...; of runs of S lanes those runs.
template <int Odd, int S = 1, class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N / 2> even(vec<T, N> a) {
  constexpr auto lane = [](int i) { return (2 * (i / S) + Odd) * S + i % S; };
  if constexpr (one_register<T, N / 2> && !one_register<T, N>) return shuffle<N / 2>(a.lo, a.hi, lane);
  else if constexpr (one_register<T, N>) return shuffle<N / 2>(a, a, lane);
  else if constexpr (2 * S == N) return Odd == 1 ? a.hi : a.lo;
  else return vec<T, N / 2>(even<Odd, S>(a.lo), even<Odd, S>(a.hi));
}
// a0 b0 a1 b1 ...
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, 2 * N> weave(vec<T, N> a, vec<T, N> b) {
  if constexpr (one_register<T, N>)
    return join(shuffle<N>(a, b, [](int i) { return i / 2 + i % 2 * N; }),
                shuffle<N>(a, b, [](int i) { return N / 2 + i / 2 + i % 2 * N; }));
  else return vec<T, 2 * N>(weave(a.lo, b.lo), weave(a.hi, b.hi));
}

// Unaligned memory, register by register: a copy of several registers at once would be cut into smaller
// pieces, which the next read must wait for.
template <class V, class T>
MOEROUTE_SIMD_INLINE V load(T const* p) {
  if constexpr (requires(V x) { x.lo; }) {
    using half = typename V::half;
    return V(load<half>(p), load<half>(p + sizeof(half) / sizeof(T)));
  } else {
    typedef T unaligned __attribute__((vector_size(sizeof(V)), aligned(alignof(T)), may_alias));
    return V(__builtin_bit_cast(typename V::raw, *reinterpret_cast<unaligned const*>(p)), 0);
  }
}
template <class T, int N>
MOEROUTE_SIMD_INLINE void store(std::type_identity_t<T>* p, vec<T, N> v) {
  if constexpr (one_register<T, N>) {
    typedef T unaligned __attribute__((vector_size(sizeof(v)), aligned(alignof(T)), may_alias));
    *reinterpret_cast<unaligned*>(p) = __builtin_bit_cast(unaligned, v.v);
  } else {
    store(p, v.lo);
    store(p + N / 2, v.hi);
  }
}

template <class T, int N>
MOEROUTE_SIMD_INLINE T first_lane(vec<T, N> a) {
  if constexpr (one_register<T, N>) return a.v[0];
  else return first_lane(a.lo);
}

using floats = vec<float, 16>;  // what a policy sees: 16 experts of a token, or one expert of 16 tokens
using ints = vec<std::int32_t, 16>;

MOEROUTE_SIMD_INLINE ints lane_id() {
  static constexpr std::int32_t id[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load<ints>(id);
}

// R rows side by side are one longer vector: interleaving costs no code.
template <int R, int Q = 0, class F>
MOEROUTE_SIMD_INLINE auto side_by_side(F f) {
  if constexpr (R == 1) return f(Q);
  else return join(side_by_side<R / 2, Q>(f), side_by_side<R / 2, Q + R / 2>(f));
}
template <int R, class V>
MOEROUTE_SIMD_INLINE auto part_of(V v, int q) {
  if constexpr (R == 1) return v;
  else return q < R / 2 ? part_of<R / 2>(low(v), q) : part_of<R / 2>(high(v), q - R / 2);
}
template <int R, int Q = 0, class V, class F>
MOEROUTE_SIMD_INLINE void for_each_part(V v, F f) {
  if constexpr (R == 1) f(Q, v);
  else for_each_part<R / 2, Q>(low(v), f), for_each_part<R / 2, Q + R / 2>(high(v), f);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
