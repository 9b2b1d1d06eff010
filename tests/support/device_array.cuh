// Decides how a test keeps data on the device: an array between two guard bands, poisoned before use, so
// that a kernel that reads what it should write first, or writes beside it, is caught.
#pragma once

#include <moeroute/cuda/error.cuh>

#include <cstring>
#include <vector>

namespace moeroute_test {

template <class T>
class device_array {
 public:
  explicit device_array(std::size_t n) : n_(n) {
    moeroute::check(cudaMalloc(&memory_, bytes() + 2 * band), "cudaMalloc");
    moeroute::check(cudaMemset(memory_, 0xff, bytes() + 2 * band), "cudaMemset");
  }
  explicit device_array(std::vector<T> const& host) : device_array(host.size()) { write(host); }
  device_array(device_array const&) = delete;
  device_array& operator=(device_array const&) = delete;
  ~device_array() { cudaFree(memory_); }

  void write(std::vector<T> const& host) {
    moeroute::check(cudaMemcpy(data(), host.data(), bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  std::vector<T> read() const {
    std::vector<T> host(n_);
    moeroute::check(cudaMemcpy(host.data(), data(), bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return host;
  }
  bool bands_whole() const {
    std::vector<unsigned char> all(bytes() + 2 * band);
    moeroute::check(cudaMemcpy(all.data(), memory_, all.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    for (std::size_t i = 0; i < band; ++i)
      if (all[i] != 0xff || all[all.size() - 1 - i] != 0xff) return false;
    return true;
  }
  T* data() const { return reinterpret_cast<T*>(static_cast<unsigned char*>(memory_) + band); }
  std::size_t size() const { return n_; }

 private:
  static constexpr std::size_t band = 4096;
  std::size_t bytes() const { return n_ * sizeof(T); }
  std::size_t n_;
  void* memory_ = nullptr;
};

}  // namespace moeroute_test
