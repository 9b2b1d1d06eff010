// Decides how arrays are read from and written to NumPy's .npy format: versions 1.0 to 3.0 are read,
// 1.0 is written; little-endian, C order. Any damage ends in an input_error, never in a crash: sizes are
// checked for overflow and against the bytes that are there before anything is allocated.
// Source: numpy.lib.format. Namespace: moeroute_examples.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "input_error.hpp"

namespace moeroute_examples {

static_assert(std::endian::native == std::endian::little, "arrays are used as they lie in the file");

enum class dtype : std::uint8_t { b1, i1, u1, i2, u2, i4, u4, i8, u8, f2, f4, f8 };

struct dtype_facts {
  dtype type;
  char const* code;  // as NumPy writes it
  std::size_t bytes;
};
inline constexpr dtype_facts all_dtypes[] = {{dtype::b1, "|b1", 1}, {dtype::i1, "|i1", 1}, {dtype::u1, "|u1", 1},
                                             {dtype::i2, "<i2", 2}, {dtype::u2, "<u2", 2}, {dtype::i4, "<i4", 4},
                                             {dtype::u4, "<u4", 4}, {dtype::i8, "<i8", 8}, {dtype::u8, "<u8", 8},
                                             {dtype::f2, "<f2", 2}, {dtype::f4, "<f4", 4}, {dtype::f8, "<f8", 8}};
constexpr dtype_facts const& facts(dtype t) { return all_dtypes[static_cast<std::size_t>(t)]; }
constexpr bool is_floating(dtype t) { return t == dtype::f2 || t == dtype::f4 || t == dtype::f8; }

template <class T>
constexpr dtype dtype_of() {
  if constexpr (std::is_same_v<T, bool>) return dtype::b1;
  else if constexpr (std::is_same_v<T, float>) return dtype::f4;
  else if constexpr (std::is_same_v<T, double>) return dtype::f8;
  else {
    static_assert(std::is_integral_v<T>);
    constexpr bool s = std::is_signed_v<T>;
    if constexpr (sizeof(T) == 1) return s ? dtype::i1 : dtype::u1;
    else if constexpr (sizeof(T) == 2) return s ? dtype::i2 : dtype::u2;
    else if constexpr (sizeof(T) == 4) return s ? dtype::i4 : dtype::u4;
    else return s ? dtype::i8 : dtype::u8;
  }
}

using shape_t = std::vector<std::int64_t>;  // empty: a scalar

inline std::string in_words(shape_t const& shape) {
  std::string out = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    out += (i == 0 ? "" : ", ") + (shape[i] < 0 ? std::string("any") : std::to_string(shape[i]));
  return out + (shape.size() == 1 ? ",)" : ")");
}
inline std::int64_t elements(shape_t const& shape) {
  std::int64_t n = 1;
  for (auto const d : shape) n *= d;
  return n;
}

inline float half_to_float(std::uint16_t bits) {
  auto const sign = (bits & 0x8000u) != 0 ? -1.f : 1.f;
  int const exponent = (bits >> 10) & 31;
  auto const fraction = static_cast<float>(bits & 1023u);
  if (exponent == 31)
    return fraction != 0 ? std::numeric_limits<float>::quiet_NaN() : sign * std::numeric_limits<float>::infinity();
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.f + fraction, exponent - 25));
}

// An array as it lies in the file.
struct array {
  dtype type = dtype::f4;
  shape_t shape;
  std::vector<std::byte> bytes;

  std::int64_t size() const { return elements(shape); }

  template <class T>
  static array of(std::span<T const> values, shape_t shape) {
    array out{dtype_of<T>(), std::move(shape), {}};
    if (out.size() != std::ssize(values))
      throw std::logic_error("array::of: shape " + in_words(out.shape) + " does not hold " +
                             std::to_string(values.size()) + " values");
    out.bytes.resize(values.size_bytes());
    if (!values.empty()) std::memcpy(out.bytes.data(), values.data(), values.size_bytes());
    return out;
  }
  template <class T>
  static array of(std::vector<T> const& values, shape_t shape) {
    return of(std::span<T const>(values), std::move(shape));
  }

  // Calls f(index, value) with the value in its own type (f2 as float, b1 as 0 or 1).
  template <class F>
  void each(F&& f) const {
    auto const walk = [&]<class S>(S) {
      for (std::int64_t i = 0; i < size(); ++i) {
        S x;
        std::memcpy(&x, bytes.data() + static_cast<std::size_t>(i) * sizeof(S), sizeof(S));
        f(i, x);
      }
    };
    switch (type) {
      case dtype::b1:
      case dtype::u1:
        return walk(std::uint8_t{});
      case dtype::i1:
        return walk(std::int8_t{});
      case dtype::i2:
        return walk(std::int16_t{});
      case dtype::u2:
        return walk(std::uint16_t{});
      case dtype::i4:
        return walk(std::int32_t{});
      case dtype::u4:
        return walk(std::uint32_t{});
      case dtype::i8:
        return walk(std::int64_t{});
      case dtype::u8:
        return walk(std::uint64_t{});
      case dtype::f4:
        return walk(float{});
      case dtype::f8:
        return walk(double{});
      case dtype::f2:
        for (std::int64_t i = 0; i < size(); ++i) {
          std::uint16_t x;
          std::memcpy(&x, bytes.data() + static_cast<std::size_t>(i) * 2, 2);
          f(i, half_to_float(x));
        }
        return;
    }
  }
  // The values as T, by a plain conversion: checks of kind and range are the reader's (case_file.hpp).
  template <class T>
  std::vector<T> values() const {
    std::vector<T> out(static_cast<std::size_t>(size()));
    each([&](std::int64_t i, auto x) { out[static_cast<std::size_t>(i)] = static_cast<T>(x); });
    return out;
  }
};

namespace npy_detail {

// Reads the Python dict of the header: only what the format allows there.
class header_reader {
 public:
  header_reader(std::string_view words, std::string const& file) : words_(words), file_(file) {}

  void read(array& out) {
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      std::string const key = quoted("header key");
      expect(':');
      if (key == "descr" && !descr) descr = true, out.type = type_named(quoted("dtype"));
      else if (key == "fortran_order" && !order) order = true, c_order();
      else if (key == "shape" && !shape) shape = true, out.shape = tuple();
      else bad("header", "the keys descr, fortran_order and shape, each once", "'" + key + "'");
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (!descr) bad("header", "the key 'descr'", "none");
    if (!order) bad("header", "the key 'fortran_order'", "none");
    if (!shape) bad("header", "the key 'shape'", "none");
    blanks();
    if (at_ != words_.size()) bad("header", "nothing after the closing brace", rest());
  }

 private:
  [[noreturn]] void bad(std::string const& field, std::string const& expected, std::string const& found) const {
    throw input_error(file_, field, expected, found);
  }
  std::string rest() const { return at_ < words_.size() ? "'" + std::string(words_.substr(at_, 24)) + "'" : "the end"; }
  void blanks() {
    while (at_ < words_.size() && (words_[at_] == ' ' || words_[at_] == '\n' || words_[at_] == '\t')) ++at_;
  }
  bool accept(char c) {
    blanks();
    if (at_ >= words_.size() || words_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) bad("header", std::string("'") + c + "'", rest());
  }
  std::string quoted(char const* what) {
    blanks();
    char const quote = at_ < words_.size() ? words_[at_] : '\0';
    if (quote != '\'' && quote != '"') bad(what, "a quoted word", rest());
    auto const end = words_.find(quote, at_ + 1);
    if (end == std::string_view::npos) bad(what, "a closing quote", "none");
    std::string out(words_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return out;
  }
  dtype type_named(std::string const& code) const {
    for (auto const& known : all_dtypes)
      if (code == known.code || (known.bytes == 1 && code.size() == 3 && code.substr(1) == known.code + 1))
        return known.type;
    bad("dtype", "one of |b1 |i1 |u1 <i2 <u2 <i4 <u4 <i8 <u8 <f2 <f4 <f8", "'" + code + "'");
  }
  void c_order() {
    blanks();
    if (words_.substr(at_, 5) == "False") at_ += 5;
    else if (words_.substr(at_, 4) == "True")
      bad("fortran_order", "False (C order; np.ascontiguousarray gives it)", "True");
    else bad("fortran_order", "True or False", rest());
  }
  shape_t tuple() {
    shape_t out;
    expect('(');
    while (!accept(')')) {
      blanks();
      std::int64_t n = 0;
      auto const first = at_;
      for (; at_ < words_.size() && words_[at_] >= '0' && words_[at_] <= '9'; ++at_) {
        n = n * 10 + (words_[at_] - '0');
        if (n > max_extent) bad("shape", "extents up to " + std::to_string(max_extent), rest());
      }
      if (at_ == first) bad("shape", "a non-negative number", rest());
      out.push_back(n);
      if (out.size() > 32) bad("shape", "at most 32 dimensions", "more");
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return out;
  }

  static constexpr std::int64_t max_extent = std::int64_t{1} << 40;
  std::string_view words_;
  std::string const& file_;
  std::size_t at_ = 0;
};

// Bytes that the shape asks for. An empty array keeps its other extents small enough to loop over.
inline std::uint64_t bytes_wanted(array const& a, std::string const& file) {
  constexpr std::uint64_t most = std::uint64_t{1} << 46;
  std::uint64_t others = facts(a.type).bytes;
  bool empty = false;
  for (auto const d : a.shape) {
    if (d == 0) empty = true;
    else if (static_cast<std::uint64_t>(d) > most / others)
      throw input_error(file, "shape", "at most 2^46 bytes", in_words(a.shape));
    else others *= static_cast<std::uint64_t>(d);
  }
  if (empty && others > (std::uint64_t{1} << 31))
    throw input_error(file, "shape", "modest extents beside the 0", in_words(a.shape));
  return empty ? 0 : others;
}

}  // namespace npy_detail

// Reads an array from the bytes of a file; `file` is the name that errors carry.
inline array parse_npy(std::span<std::byte const> bytes, std::string const& file) {
  auto const byte = [&](std::size_t i) { return std::to_integer<unsigned>(bytes[i]); };
  constexpr char magic[] = "\x93NUMPY";
  if (bytes.size() < 10 || std::memcmp(bytes.data(), magic, 6) != 0)
    throw input_error(file, "magic", "a NumPy array file", std::to_string(bytes.size()) + " other bytes");
  unsigned const version = byte(6);
  if (version < 1 || version > 3 || byte(7) != 0)
    throw input_error(file, "version", "1.0, 2.0 or 3.0", std::to_string(version) + "." + std::to_string(byte(7)));
  std::size_t const start = version == 1 ? 10 : 12;
  if (bytes.size() < start) throw input_error(file, "header", "a header length", "the end of the file");
  std::size_t length = byte(8) + (std::size_t{byte(9)} << 8);
  if (version > 1) length += (std::size_t{byte(10)} << 16) + (std::size_t{byte(11)} << 24);
  if (length > bytes.size() - start)
    throw input_error(file, "header", std::to_string(length) + " bytes", std::to_string(bytes.size() - start));
  array out;
  auto const* const words = reinterpret_cast<char const*>(bytes.data() + start);
  npy_detail::header_reader({words, length}, file).read(out);
  auto const wanted = npy_detail::bytes_wanted(out, file);
  auto const data = bytes.subspan(start + length);
  if (data.size() != wanted)
    throw input_error(
        file, "data",
        std::to_string(wanted) + " bytes for shape " + in_words(out.shape) + " of " + facts(out.type).code,
        std::to_string(data.size()));
  out.bytes.assign(data.begin(), data.end());
  return out;
}

inline std::vector<std::byte> read_bytes(std::filesystem::path const& path) {
  std::error_code failed;
  if (!std::filesystem::is_regular_file(path, failed))
    throw input_error(path.string(), "file", "a file that can be read", "none");
  std::ifstream in(path, std::ios::binary);
  if (!in) throw input_error(path.string(), "file", "a file that can be read", "no permission");
  std::string const all{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  std::vector<std::byte> out(all.size());
  if (!all.empty()) std::memcpy(out.data(), all.data(), all.size());
  return out;
}

inline array read_npy(std::filesystem::path const& path) { return parse_npy(read_bytes(path), path.string()); }

inline std::vector<std::byte> npy_bytes(array const& a) {
  std::string head = "{'descr': '" + std::string(facts(a.type).code) +
                     "', 'fortran_order': False, 'shape': " + in_words(a.shape) + ", }";
  while ((10 + head.size() + 1) % 64 != 0) head += ' ';
  head += '\n';
  std::string out = "\x93NUMPY";
  out += '\1';
  out += '\0';
  out += static_cast<char>(head.size() & 255u);
  out += static_cast<char>(head.size() >> 8);
  out += head;
  std::vector<std::byte> bytes(out.size() + a.bytes.size());
  std::memcpy(bytes.data(), out.data(), out.size());
  if (!a.bytes.empty()) std::memcpy(bytes.data() + out.size(), a.bytes.data(), a.bytes.size());
  return bytes;
}

inline void write_bytes(std::filesystem::path const& path, std::span<std::byte const> bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<char const*>(bytes.data()), std::ssize(bytes));
  if (!out.flush()) throw input_error(path.string(), "file", "to be written", "an error");
}

inline void write_npy(std::filesystem::path const& path, array const& a) { write_bytes(path, npy_bytes(a)); }

}  // namespace moeroute_examples
