// Decides how a few candidates are put in order: sorting networks over lanes, on 64-bit keys that hold the
// score and the inverted id, so that the order is total and no branch depends on the data.
#pragma once

#include <moeroute/cpu/simd/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// ---- networks on segments of S lanes, descending; no lane is NaN ----------------------------------------------
template <int X, class V>
MOEROUTE_SIMD_INLINE V compare_exchange(V v) {
  V const p = swap<X>(v);
  return blend<int(std::bit_floor(unsigned(X)))>(max_of_numbers(v, p), min_of_numbers(v, p));
}
template <int S, class V>
MOEROUTE_SIMD_INLINE V merge(V v) {
  if constexpr (S == 1) return v;
  else return merge<S / 2>(compare_exchange<S / 2>(v));
}
template <int S, class V>
MOEROUTE_SIMD_INLINE V sort(V v) {
  if constexpr (S == 1) return v;
  else return merge<S / 2>(compare_exchange<S - 1>(sort<S / 2>(v)));
}
// The maximum, minimum, sum or union of each segment of S lanes, in all its lanes.
template <int S, class V>
MOEROUTE_SIMD_INLINE V segment_max(V v) {
  if constexpr (S == 1) return v;
  else return segment_max<S / 2>(max(v, swap<S / 2>(v)));
}
template <int S, class V>
MOEROUTE_SIMD_INLINE V segment_min(V v) {
  if constexpr (S == 1) return v;
  else return segment_min<S / 2>(min(v, swap<S / 2>(v)));
}
template <int S, class V>
MOEROUTE_SIMD_INLINE V segment_or(V v) {
  if constexpr (S == 1) return v;
  else return segment_or<S / 2>(v | swap<S / 2>(v));
}
template <int S, class V>
MOEROUTE_SIMD_INLINE V segment_sum(V v) {
  if constexpr (S == 1) return v;
  else return segment_sum<S / 2>(v + swap<S / 2>(v));
}

// ---- packed keys ------------------------------------------------------------------------------------------------
// A float's bits, moved into the exponent and upper mantissa of a double, leave 29 bits for the id. Doubles
// then order as (score descending, lower id), by the min and max every machine has. One is added to the
// exponent, so that no key is subnormal and infinities are ordinary numbers. NaN must be gone before.
inline constexpr std::int32_t id_bits = (1 << 20) - 1;

template <int N>
MOEROUTE_SIMD_INLINE vec<double, N> pack(vec<float, N> x, vec<std::int32_t, N> id) {
  using I = vec<std::int32_t, N>;
  using L = vec<std::int64_t, N>;
  I const b = bits_as<std::int32_t>(x + vec<float, N>(0.f));  // -0 becomes 0
  I const tie = id ^ (I(id_bits) & ~(b >> 31));
  return bits_as<double>((((convert<std::int64_t>(b) << 29) & L(~(std::int64_t{7} << 60))) + L(std::int64_t{1} << 52)) |
                         convert<std::int64_t>(tie));
}
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> unpack_key(vec<double, N> d) {
  using U = vec<std::uint64_t, N>;
  U const u = bits_as<std::uint64_t>(d);
  return bits_as<float>(convert<std::int32_t>((u - U(std::uint64_t{1} << 52)) >> 29) |
                        (convert<std::int32_t>(u >> 32) & vec<std::int32_t, N>(least<std::int32_t>)));
}
template <int N>
MOEROUTE_SIMD_INLINE vec<std::int32_t, N> unpack_id(vec<double, N> d) {
  using I = vec<std::int32_t, N>;
  auto const u = bits_as<std::uint64_t>(d);
  return (convert<std::int32_t>(u) ^ ~(convert<std::int32_t>(u >> 32) >> 31)) & I(id_bits);
}

inline constexpr float lowest = -infinity<float>;
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> closed_if_nan(vec<float, N> x) {
#if defined(__aarch64__)  // as a maximum clang takes an instruction that keeps a signaling NaN
  return select(x == x, x, vec<float, N>(lowest));
#else
  return max(x, vec<float, N>(lowest));
#endif
}

// ---- lanes as bits ------------------------------------------------------------------------------------------------
// Of masks of 32 bits.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE unsigned lane_bits(ints m) {
#if defined(__AVX512DQ__)
  return static_cast<unsigned short>(__builtin_ia32_cvtd2mask512(m.v));
#elif MOEROUTE_SIMD_BYTES >= 32
  auto const half = [](vec<std::int32_t, 8> h) MOEROUTE_SIMD_LAMBDA {
    return static_cast<unsigned>(__builtin_ia32_movmskps256(bits_as<float>(h).v));
  };
  return half(m.lo) | half(m.hi) << 8;
#elif defined(__aarch64__)
  return neon::bits_of_16(neon::as_bytes(m.lo.lo.v, m.lo.hi.v, m.hi.lo.v, m.hi.hi.v));
#elif defined(__x86_64__)
  return sse2::signs_of_16(m.lo.lo.v, m.lo.hi.v, m.hi.lo.v, m.hi.hi.v);
#else
  std::int32_t lane[16];
  store(lane, m);
  unsigned bits = 0;
  for (int i = 0; i < 16; ++i) bits |= static_cast<unsigned>(lane[i] & 1) << i;
  return bits;
#endif
}
MOEROUTE_SIMD_INLINE unsigned lane_bits(vec<std::int32_t, 32> m) { return lane_bits(m.lo) | lane_bits(m.hi) << 16; }
// Of a <= b and of a == b. g++ would make a vector of the mask, and a mask of the vector.
MOEROUTE_SIMD_INLINE unsigned bits_at_most(floats a, floats b) {
#if defined(__AVX512F__)
  return static_cast<unsigned short>(__builtin_ia32_cmpps512_mask(a.v, b.v, 0x12, 0xffff, 4));
#else
  return lane_bits(a <= b);
#endif
}
MOEROUTE_SIMD_INLINE unsigned bits_at_most(ints a, ints b) {
#if defined(__AVX512F__)
  return static_cast<unsigned short>(__builtin_ia32_cmpd512_mask(a.v, b.v, 2, 0xffff));
#else
  return lane_bits(a <= b);
#endif
}
MOEROUTE_SIMD_INLINE unsigned bits_equal(ints a, ints b) {
#if defined(__AVX512F__)
  return static_cast<unsigned short>(__builtin_ia32_cmpd512_mask(a.v, b.v, 0, 0xffff));
#else
  return lane_bits(a == b);
#endif
}
// Of 8 or 16 masks of 64 bits.
template <int N>
MOEROUTE_SIMD_INLINE unsigned lane_bits(vec<std::int64_t, N> m) {
  if constexpr (N > 8) {
    return lane_bits(low(m)) | lane_bits(high(m)) << N / 2;
  } else {
#if defined(__AVX512DQ__)
    return static_cast<unsigned char>(
        __builtin_ia32_cvtq2mask512(__builtin_bit_cast(long long __attribute__((vector_size(64))), m.v)));
#elif defined(__aarch64__)
    return lane_bits(join(convert<std::int32_t>(m), vec<std::int32_t, 8>(0)));
#else
    std::int64_t lane[std::size_t{N}];
    store(lane, m);
    unsigned bits = 0;
    for (int i = 0; i < N; ++i) bits |= static_cast<unsigned>(lane[i] & 1) << i;
    return bits;
#endif
  }
}

template <class M, int N>
MOEROUTE_SIMD_INLINE bool simd_any(vec<M, N> m) {
  if constexpr (N > 16) return simd_any(low(m)) || simd_any(high(m));
  else return lane_bits(m) != 0;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
