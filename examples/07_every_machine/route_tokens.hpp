// What the unit that chooses and the levels share. Plain types only: a view of the library is another type at each level.
#pragma once

#include <cstdint>

namespace app {

inline constexpr int experts = 64, k = 4;

// logits: tokens x experts. ids, weights: tokens x k. Gives the name of the level that ran.
using route_tokens_function = char const*(float const* logits, std::int64_t tokens, std::int32_t* ids, float* weights);

namespace sse2 {
route_tokens_function route_tokens;
}
namespace avx2 {
route_tokens_function route_tokens;
}
namespace avx512 {
route_tokens_function route_tokens;
}
namespace avx512_vbmi2 {
route_tokens_function route_tokens;
}
namespace neon {
route_tokens_function route_tokens;
}
namespace plain {
route_tokens_function route_tokens;
}

}  // namespace app
