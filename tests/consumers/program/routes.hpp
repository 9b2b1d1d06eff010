// What the two units of the consumer's program share.
#pragma once

float first_weight(int unit);
