// Decides whether the .npy reader of the examples gives back what was written and refuses damage by name.
#include <doctest/doctest.h>

#include "../../examples/support/npy.hpp"

using namespace moeroute_examples;

namespace {

std::vector<std::byte> with_header(std::string head, std::size_t data_bytes, int version = 1) {
  std::string out = std::string("\x93NUMPY") + static_cast<char>(version) + '\0';
  out += static_cast<char>(head.size() & 255u);
  out += static_cast<char>(head.size() >> 8);
  if (version > 1) out += std::string(2, '\0');
  out += head + std::string(data_bytes, '\1');
  std::vector<std::byte> bytes(out.size());
  std::memcpy(bytes.data(), out.data(), out.size());
  return bytes;
}
std::string complaint(std::vector<std::byte> const& bytes) {
  try {
    (void)parse_npy(bytes, "x.npy");
  } catch (input_error const& e) { return e.what(); }
  return "accepted";
}
bool mentions(std::string const& words, char const* part) { return words.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("npy: every dtype comes back as it was written") {
  auto const round = []<class T>(T) {
    std::vector<T> const values{T(0), T(1), T(2), T(3), T(100), T(5)};
    array const a = parse_npy(npy_bytes(array::of(values, {2, 3})), "x");
    CHECK(a.type == dtype_of<T>());
    CHECK(a.shape == shape_t{2, 3});
    CHECK(a.values<T>() == values);
  };
  round(float{}), round(double{}), round(std::int8_t{}), round(std::uint8_t{}), round(std::int16_t{});
  round(std::uint16_t{}), round(std::int32_t{}), round(std::uint32_t{}), round(std::int64_t{});
  round(std::uint64_t{});
}

TEST_CASE("npy: scalars, empty arrays and one-dimensional arrays") {
  CHECK(parse_npy(npy_bytes(array::of(std::vector<float>{2.5f}, {})), "x").values<double>().at(0) == 2.5);
  CHECK(parse_npy(npy_bytes(array::of(std::vector<float>{}, {0, 7})), "x").shape == shape_t{0, 7});
  CHECK(parse_npy(npy_bytes(array::of(std::vector<int>{4, 5}, {2})), "x").shape == shape_t{2});
  CHECK(npy_bytes(array::of(std::vector<int>{4, 5}, {2})).size() == 128 + 8);
}

TEST_CASE("npy: half precision is read exactly") {
  CHECK(half_to_float(0x3c00) == 1.f);
  CHECK(half_to_float(0xc000) == -2.f);
  CHECK(half_to_float(0x0001) == 0x1p-24f);
  CHECK(half_to_float(0x7bff) == 65504.f);
  CHECK(half_to_float(0x7c00) == std::numeric_limits<float>::infinity());
  CHECK(half_to_float(0x7e00) != half_to_float(0x7e00));
  CHECK(half_to_float(0x8000) == 0.f);
}

TEST_CASE("npy: header versions 2.0 and 3.0, other key orders and blanks") {
  auto const head = "{ \"shape\":(2,) ,'fortran_order' : False, 'descr':'<f4'}  \n";
  for (int const version : {1, 2, 3}) CHECK(complaint(with_header(head, 8, version)) == "accepted");
  CHECK(mentions(complaint(with_header(head, 8, 4)), "version: expected 1.0, 2.0 or 3.0, found 4.0"));
}

TEST_CASE("npy: damage is named") {
  auto const says = [](char const* head, std::size_t bytes, char const* part) {
    auto const words = complaint(with_header(head, bytes));
    CAPTURE(words);
    CHECK(mentions(words, part));
    CHECK(mentions(words, "x.npy: "));
  };
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 23, "data: expected 24 bytes");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 25, "found 25");
  says("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 8, "dtype: expected one of");
  says("{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", 16, "'<c8'");
  says("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24, "fortran_order: expected False");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, "non-negative");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 8, "extents up to");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1099511627776), }", 8, "2^46");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 0), }", 0, "modest extents");
  says("{'descr': '<f4', 'fortran_order': False}", 8, "shape");
  says("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8, "each once");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8, "closing brace");
  says("{'descr': '<f4", 8, "closing quote");
  says("", 8, "'{'");
  auto const good = npy_bytes(array::of(std::vector<float>{1, 2}, {2}));
  for (std::size_t n = 0; n < good.size(); ++n)
    CHECK(complaint({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)}) != "accepted");
  for (std::size_t n = 0; n < good.size(); ++n)
    for (int const flip : {1, 128}) {
      auto bytes = good;
      bytes[n] ^= static_cast<std::byte>(flip);
      (void)complaint(bytes);  // accepted or refused, never a crash
    }
}
