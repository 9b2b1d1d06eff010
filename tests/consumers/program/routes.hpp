// What the units of the consumer's program share: one function, compiled for several levels.
#pragma once

namespace consumer {

using weight_function = float(int expert);

namespace sse2 {
weight_function weight_of;
}
namespace avx2 {
weight_function weight_of;
}
namespace neon {
weight_function weight_of;
}
namespace plain {
weight_function weight_of;
}

}  // namespace consumer
