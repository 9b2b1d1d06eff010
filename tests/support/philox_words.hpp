// Decides whether a form of Philox on vectors gives the words of one expert after the other.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include <moeroute/core/philox.hpp>

namespace philox_test {

using namespace moeroute;

// N registers at once: of one token and consecutive experts, or of one block of experts and consecutive tokens.
template <class Form, int N>
void registers_of(draws const& d, offset_t token, index_t first, bool complements) {
  constexpr int at_once = Form::at_once;
  auto const high = static_cast<std::uint32_t>(static_cast<std::uint64_t>(token) >> 32);
  Form const from(d);
  std::vector<typename Form::of_expert> e;
  std::vector<typename Form::of_token> t;
  for (int i = 0; i < N; ++i) {
    e.push_back(from.expert(first + i * at_once, high));
    t.push_back(from.token(static_cast<std::uint32_t>(token) + static_cast<std::uint32_t>(i)));
  }
  for (bool const of_tokens : {false, true}) {
    std::vector<std::uint32_t> word(std::size_t{N} * at_once), want;
    from.template words<N>(e.data(), of_tokens ? 0 : 1, t.data(), of_tokens ? 1 : 0, complements,
                           [&](int i, auto w) { simd::store(word.data() + i * at_once, w); });
    for (int i = 0; i < N; ++i)
      for (int j = 0; j < at_once; ++j) {
        auto const one = of_tokens ? d.bits(token + i, first + j) : d.bits(token, first + i * at_once + j);
        want.push_back(complements ? ~one : one);
      }
    CHECK_MESSAGE(word == want, N, " registers of token ", token, " from expert ", first);
  }
}
template <class Form>
void words_of() {
  for (draws const& d : {draws{1, 2, 3}, draws{0xFFFFFFFF00000001u, 77, 0x47}, draws{0, 0, 0xFFFFFFFFu}})
    for (offset_t const token : {offset_t{0}, offset_t{0xFFFFFFF0}, (offset_t{1} << 40) + 7})
      for (index_t const first : {0, 64, 4096})
        for (bool const complements : {false, true}) {
          registers_of<Form, 1>(d, token, first, complements);
          registers_of<Form, 4>(d, token, first, complements);
          registers_of<Form, 8>(d, token, first, complements);
        }
}

}  // namespace philox_test
