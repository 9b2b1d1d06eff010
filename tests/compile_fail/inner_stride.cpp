// A column-major matrix where rows must be contiguous.
// expect: matrix_view
#include <moeroute/moeroute.hpp>

// What Eigen's matrices look like from here.
struct matrix {
#if defined(FAIL)
  static constexpr bool IsRowMajor = false;
#else
  static constexpr bool IsRowMajor = true;
#endif
  static constexpr int ColsAtCompileTime = -1;
  float* data() const { return nullptr; }
  long rows() const { return 0; }
  long cols() const { return 0; }
  long outerStride() const { return 0; }
  long innerStride() const { return 1; }
};

moeroute::matrix_view<float const> const view = matrix{};
