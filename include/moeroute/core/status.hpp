// Decides how a verb says what is wrong: a status that names the argument and both numbers.
#pragma once

#include <exception>
#if !defined(__cpp_exceptions)
#include <cstdio>
#include <cstdlib>
#endif

#include <moeroute/core/text.hpp>
#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class errc : std::uint8_t {
  ok,
  bad_shape,    // a size does not fit the others
  bad_stride,   // inner stride is not 1, or rows overlap where they are written
  bad_value,    // a parameter outside its range
  missing,      // an array that the policy needs was not given
  too_small,    // workspace or output smaller than needed
  unsupported,  // a legal wish that this build or policy does not serve
  device,       // the CUDA runtime refused; `found` is its error code, `relation` its words
};

// found/wanted are the two numbers; `relation` reads between them ("must be", "must be at most").
struct [[nodiscard]] status {
  errc code = errc::ok;
  char const* argument = "";
  char const* relation = "";
  std::int64_t found = 0;
  std::int64_t wanted = 0;

  constexpr bool ok() const { return code == errc::ok; }
};

constexpr text message(status const& s) {
  text t;
  if (s.ok()) return t.add("ok");
  if (s.code == errc::device)
    return t.add("moeroute: ").add(s.argument).add(": ").add(s.relation).add(" (CUDA error ").add(s.found).add(")");
  t.add("moeroute: ").add(s.argument).add(" = ").add(s.found).add(" ").add(s.relation);
  return t.add(" ").add(s.wanted);
}

class error : public std::exception {
 public:
  explicit error(status s) : status_(s), message_(message(s)) {}
  char const* what() const noexcept override { return message_.c_str(); }
  status const& why() const { return status_; }

 private:
  status status_;
  text message_;
};

// The friendly half of every verb: throws what the noexcept half returned.
inline void throw_if_bad(status s) {
  if (s.ok()) return;
#if defined(__cpp_exceptions)
  throw error(s);
#else
  std::fprintf(stderr, "%s\n", message(s).c_str());
  std::abort();
#endif
}

// First failure wins: checks{} .must_be("out.ids rows", found, wanted) ... .result().
class checks {
 public:
  constexpr checks& must_be(char const* what, offset_t found, offset_t wanted, errc code = errc::bad_shape) {
    return fail_unless(found == wanted, status{code, what, "must be", found, wanted});
  }
  constexpr checks& at_most(char const* what, offset_t found, offset_t most, errc code = errc::bad_value) {
    return fail_unless(found <= most, status{code, what, "must be at most", found, most});
  }
  constexpr checks& at_least(char const* what, offset_t found, offset_t least, errc code = errc::bad_value) {
    return fail_unless(found >= least, status{code, what, "must be at least", found, least});
  }
  constexpr checks& divides(char const* what, offset_t divisor, offset_t number) {
    return fail_unless(divisor > 0 && number % divisor == 0,
                       status{errc::bad_shape, what, "must be a divisor of", divisor, number});
  }
  // For reading: inner stride 1 (adapters mark another one by -1); rows may overlap or repeat.
  template <class M>
  constexpr checks& readable(char const* what, M const& m) {
    offset_t const stride = m.stride;
    return fail_unless(m.rows <= 1 || stride >= 0,
                       status{errc::bad_stride, what, "(row stride; inner stride not 1) must be at least", stride, 0});
  }
  // For writing: inner stride 1 and, for more than one row, a stride that holds a row.
  template <class M>
  constexpr checks& strided(char const* what, M const& m) {
    offset_t const stride = m.stride, cols = m.cols;
    return fail_unless(m.rows <= 1 || stride >= cols,
                       status{errc::bad_stride, what, "(row stride) must be at least", stride, cols});
  }
  // An optional row: absent, or one entry a row.
  template <class R>
  constexpr checks& empty_or(char const* what, R const& r, offset_t size) {
    offset_t const found = r.size;
    return fail_unless(found == 0 || found == size, status{errc::bad_shape, what, "must be 0 or", found, size});
  }
  constexpr checks& also(status s) { return fail_unless(s.ok(), s); }
  constexpr status result() const { return first_; }

 private:
  constexpr checks& fail_unless(bool good, status s) {
    if (!good && first_.ok()) first_ = s;
    return *this;
  }
  status first_{};
};

}  // namespace moeroute::inline MOEROUTE_ABI
