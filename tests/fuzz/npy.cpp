// Decides whether any bytes can hurt the .npy reader: they are an array that writes back, or an input_error.
#include <cstdlib>

#include "support/npy.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace moeroute_examples;
  try {
    array const a = parse_npy(std::as_bytes(std::span(data, size)), "fuzz");
    array const again = parse_npy(npy_bytes(a), "again");
    if (again.type != a.type || again.shape != a.shape || again.bytes != a.bytes) std::abort();
    double sum = 0;
    for (double const x : a.values<double>()) sum += x;
    if (std::ssize(a.values<float>()) != a.size() || (sum == 0 && a.size() < 0)) std::abort();
  } catch (input_error const& e) {
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
