// What the units of the consumer's program share: one function, compiled for every level.
#pragma once

namespace consumer {

using weight_function = float(int expert);

namespace sse2 {
weight_function weight_of;
}
namespace avx2 {
weight_function weight_of;
}
namespace avx512 {
weight_function weight_of;
}
namespace neon {
weight_function weight_of;
}
namespace plain {
weight_function weight_of;
}

}  // namespace consumer
