// Decides how words are put together without a stream or an allocation: a line in a fixed buffer.
#pragma once

#include <cstdint>

#include <moeroute/core/config.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Appends what fits and never overruns; `describe` of a policy and error messages are written in it.
class text {
 public:
  constexpr text() = default;
  constexpr text& add(char const* words) {
    while (*words != '\0') put(*words++);
    return *this;
  }
  constexpr text& add(std::int64_t n) {
    char digits[20];
    int count = 0;
    std::uint64_t rest = n < 0 ? 0u - static_cast<std::uint64_t>(n) : static_cast<std::uint64_t>(n);
    do digits[count++] = static_cast<char>('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (n < 0) put('-');
    while (count > 0) put(digits[--count]);
    return *this;
  }
  constexpr text& add(int n) { return add(static_cast<std::int64_t>(n)); }
  // Six significant digits, as %g.
  constexpr text& add(double x) {
    if (x != x) return add("nan");
    if (x < 0) put('-'), x = -x;
    if (x > 1.7e308) return add("inf");
    if (x == 0) return add("0");
    int exponent = 0;
    while (x >= 10) x /= 10, ++exponent;
    while (x < 1) x *= 10, --exponent;
    std::int64_t mantissa = (static_cast<std::int64_t>(x * 1e6) + 5) / 10;  // six digits, rounded in integers
    if (mantissa == 1'000'000) mantissa /= 10, ++exponent;
    char digits[7]{};
    for (int i = 5; i >= 0; --i, mantissa /= 10) digits[i] = static_cast<char>('0' + mantissa % 10);
    int last = 5;
    while (last > 0 && digits[last] == '0') --last;
    bool const scientific = exponent < -5 || exponent > 5;
    int const point = scientific ? 0 : exponent;
    if (point < 0) {
      add("0.");
      for (int i = -1; i > point; --i) put('0');
    }
    for (int i = 0; i <= last || i <= point; ++i) {
      put(digits[i]);
      if (i == point && i < last) put('.');
    }
    if (scientific) put('e'), add(exponent);
    return *this;
  }
  constexpr text& add(float x) { return add(static_cast<double>(x)); }
  constexpr text& add(text const& other) { return add(other.c_str()); }
  constexpr char const* c_str() const { return buffer_; }
  constexpr bool empty() const { return size_ == 0; }

 private:
  constexpr void put(char c) {
    if (size_ + 1 < capacity) buffer_[size_++] = c, buffer_[size_] = '\0';
  }
  static constexpr int capacity = 1024;
  int size_ = 0;
  char buffer_[capacity]{};
};

}  // namespace moeroute::inline MOEROUTE_ABI
