// A bias update into 16 bits, where a step of 1e-3 rounds away.
// expect: update_bias: the bias is float or double
#include <moeroute/balance/bias_update.hpp>

struct half {
  unsigned short bits{};
  half() = default;
  explicit half(double) {}
  explicit operator double() const { return 0; }
};
#if defined(FAIL)
using number = half;
#else
using number = float;
#endif

moeroute::status use(moeroute::row_view<std::int64_t const> counts, moeroute::row_view<number> bias) {
  return moeroute::try_update_bias(moeroute::serial{}, moeroute::sign_update{}, counts, bias);
}
