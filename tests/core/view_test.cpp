#include <doctest/doctest.h>

#include <array>
#include <span>
#include <type_traits>
#include <vector>

#include <moeroute/core/view.hpp>

using namespace moeroute;

namespace {
// The shape of std::mdspan, which this standard library lacks.
struct mdspan_like {
  float* p;
  long rows, cols, row_stride, col_stride;
  float* data_handle() const { return p; }
  long extent(int i) const { return i == 0 ? rows : cols; }
  long stride(int i) const { return i == 0 ? row_stride : col_stride; }
};
struct device_pointer {  // the shape of thrust::device_ptr
  float* p;
  float* get() const { return p; }
};
struct device_vector {
  std::vector<float>* v;
  device_pointer data() const { return {v->data()}; }
  std::size_t size() const { return v->size(); }
};
}  // namespace

TEST_CASE("views: from spans, vectors, arrays, device vectors, mdspans") {
  std::vector<float> v(12);
  std::array<float, 3> a{};
  CHECK(row_view<float>(v).size == 12);
  CHECK(row_view<float const>(v).data == v.data());
  CHECK(row_view<float>(a).data == a.data());
  CHECK(row_view<float const>(std::span<float const>(v)).size == 12);
  CHECK(row_view<float>(device_vector{&v}).data == v.data());
  row_view<float> const r(v);
  row_view<float const> const c = r;
  CHECK(c.data == r.data);
  matrix_view<float const> const m = mdspan_like{v.data(), 3, 2, 4, 1};
  CHECK(m.rows == 3);
  CHECK(m.stride == 4);
  CHECK(&m[2][1] == &v[9]);
  CHECK(matrix_view<float>(mdspan_like{v.data(), 3, 2, 4, 2}).stride == -1);  // inner stride 2: refused at the verb
  matrix_view<float const> const k = matrix_view<float>(v.data(), 3, 4);
  CHECK(k.middle_rows(1, 2)[0].data == v.data() + 4);
  static_assert(!std::is_convertible_v<row_view<float const>, row_view<float>>);
  static_assert(std::is_trivially_copyable_v<row_view<float>> && std::is_trivially_copyable_v<matrix_view<float>>);
}

TEST_CASE("promise P12 views: offsets are 64 bits wide") {
  static float x[16];
  matrix_view<float> const m{x, offset_t{1} << 20, offset_t{1} << 20, 0};  // 2^40 elements, 16 in memory
  CHECK(m.rows * m.cols == offset_t{1} << 40);
  matrix_view<std::uint8_t> const far{nullptr, offset_t{1} << 20, 1, 1 << 20};
  CHECK(far[(offset_t{1} << 20) - 1].data - far[0].data == ((offset_t{1} << 20) - 1) << 20);
}
