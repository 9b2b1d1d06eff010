// Decides how numbers of any size are added so that shards, micro-batches and ranks merge bit for bit: a
// 128-bit fixed-point number in two integers. Merging is integer addition, so an integer all-reduce works.
#pragma once

#include <moeroute/core/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Value = whole + ticks * 2^-50. A term is rounded to a multiple of 2^-50; magnitudes above 2^50 count as
// 2^50, NaN adds nothing. An all-reduce may add the two words of up to 2^13 canonical sums blindly: every
// read carries first.
struct wide_sum {
  static constexpr int fraction_bits = 50;
  std::int64_t whole = 0;
  std::int64_t ticks = 0;  // [0, 2^50) when canonical

  MOEROUTE_HD static constexpr wide_sum of(std::int64_t n) { return {n, 0}; }
  MOEROUTE_HD void add(double x) {
    x = x != x ? 0. : (x > 0x1p50 ? 0x1p50 : (x < -0x1p50 ? -0x1p50 : x));
    double const low = MOEROUTE_LIBM(floor)(x);
    whole += integer(low);
    ticks += integer((x - low) * 0x1p50);
    carry();
  }
  MOEROUTE_HD constexpr wide_sum& operator+=(wide_sum o) {
    whole += o.whole;
    ticks += o.ticks;
    carry();
    return *this;
  }
  MOEROUTE_HD constexpr wide_sum& operator+=(std::int64_t n) {
    whole += n;
    return *this;
  }
  MOEROUTE_HD constexpr double value() const {
    wide_sum c = *this;
    c.carry();
    return static_cast<double>(c.whole) + static_cast<double>(c.ticks) * 0x1p-50;
  }
  // Sums that were only counted up.
  MOEROUTE_HD constexpr std::int64_t count() const { return whole; }
  friend constexpr bool operator==(wide_sum, wide_sum) = default;

 private:
  MOEROUTE_HD static std::int64_t integer(double x) {  // |x| < 2^51, to nearest; vectorizes
    return math::as<std::int64_t>(x + 0x1.8p52) - math::as<std::int64_t>(0x1.8p52);
  }
  MOEROUTE_HD constexpr void carry() {
    whole += ticks >> fraction_bits;
    ticks &= (std::int64_t{1} << fraction_bits) - 1;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
