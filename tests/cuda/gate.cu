#include <doctest/doctest.h>

#include <moeroute/cuda.cuh>
#include <moeroute/cuda/gemm.cuh>

#include <support/device.hpp>
#include <support/device_array.cuh>

#include <vector>

using namespace moeroute;
using moeroute_test::device_array;
using moeroute_test::no_device;

namespace {

template <class T>
std::vector<T> numbers(std::size_t n, int seed) {  // small integers over 8: every product and sum is exact
  std::vector<T> x;
  for (std::size_t i = 0; i < n; ++i)
    x.push_back(static_cast<T>(
        static_cast<float>(static_cast<int>((i * 37 + i / 7 + static_cast<std::size_t>(seed)) % 17) - 8) / 8.f));
  return x;
}

// Logits and all gradients of a linear gate, on one CPU lane with plain loops and on the device.
template <class H, class W>
void compare(offset_t tokens, offset_t width, offset_t experts, cublasHandle_t handle) {
  auto const size = [](offset_t a, offset_t b) { return static_cast<std::size_t>(a * b); };
  auto const h = numbers<H>(size(tokens, width), 1);
  auto const w = numbers<W>(size(experts, width), 2);
  auto const b = numbers<W>(size(experts, 1), 3);
  auto const d = numbers<float>(size(tokens, experts), 4);
  std::vector<float> z(d.size()), dh(h.size(), 1), dw(w.size(), 1), db(b.size(), 1);
  using gradient = typename linear_gate<W>::template gradient<float>;

  linear_gate<W> const plain{.weight = {w.data(), experts, width}, .bias = {b.data(), experts}};
  throw_if_bad(plain(serial{}, matrix_view<H const>{h.data(), tokens, width},
                     matrix_view<float>{z.data(), tokens, experts}, {}));
  throw_if_bad(plain.backward(
      serial{}, matrix_view<H const>{h.data(), tokens, width}, matrix_view<float const>{d.data(), tokens, experts},
      gradient{{dh.data(), tokens, width}, {dw.data(), experts, width}, {db.data(), experts}, true}));

  device_array<H> const h_there(h);
  device_array<W> const w_there(w), b_there(b);
  device_array<float> const d_there(d), z_there(d.size());
  device_array<float> const dh_there(std::vector<float>(h.size(), 1)), dw_there(std::vector<float>(w.size(), 1)),
      db_there(std::vector<float>(b.size(), 1));
  linear_gate<W, cublas_gemm> const gate{
      .weight = {w_there.data(), experts, width}, .bias = {b_there.data(), experts}, .gemm = {handle}};
  throw_if_bad(gate(on_cuda{}, matrix_view<H const>{h_there.data(), tokens, width},
                    matrix_view<float>{z_there.data(), tokens, experts}, {}));
  using gradient_there = typename linear_gate<W, cublas_gemm>::template gradient<float>;
  throw_if_bad(gate.backward(
      on_cuda{}, matrix_view<H const>{h_there.data(), tokens, width},
      matrix_view<float const>{d_there.data(), tokens, experts},
      gradient_there{
          {dh_there.data(), tokens, width}, {dw_there.data(), experts, width}, {db_there.data(), experts}, true}));
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CHECK(z_there.read() == z);
  CHECK(dh_there.read() == dh);
  CHECK(dw_there.read() == dw);
  CHECK(db_there.read() == db);
  CHECK(z_there.bands_whole());
  CHECK(dh_there.bands_whole());
  CHECK(dw_there.bands_whole());
}

}  // namespace

TEST_CASE("the linear gate through cuBLAS and its backward equal the plain loops") {
  if (no_device()) return;
  cublasHandle_t handle;
  CHECK(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
  for (offset_t tokens : {1, 5, 64}) {
    compare<float, float>(tokens, 24, 8, handle);
    compare<__nv_bfloat16, __nv_bfloat16>(tokens, 24, 8, handle);
    compare<__nv_bfloat16, float>(tokens, 24, 8, handle);  // a pair that cuBLAS does not know
  }
  cublasDestroy(handle);
}

TEST_CASE("P17 a refusal of cuBLAS is a status") {
  status const s = detail::blas_status(CUBLAS_STATUS_NOT_INITIALIZED, "cublasGemmEx");
  CHECK(s.code == errc::device);
  CHECK(s.found == CUBLAS_STATUS_NOT_INITIALIZED);
  float x[4]{};
  linear_gate<float, cublas_gemm> const gate{.weight = {x, 2, 2}, .gemm = {nullptr}};
  CHECK(gate(on_cuda{}, matrix_view<float const>{x, 1, 2}, matrix_view<float>{x, 1, 2}, {}).code == errc::device);
  CHECK(gate(on_cuda{}, matrix_view<float const>{x, 1, 3}, matrix_view<float>{x, 1, 2}, {}).code == errc::bad_shape);
}
