// Everything, CPU and CUDA, in reading order.
#pragma once

#include <moeroute/moeroute.hpp>

#include <moeroute/cuda/error.cuh>
#include <moeroute/cuda/warp_group.cuh>
#include <moeroute/cuda/executor.cuh>
#include <moeroute/cuda/plan.cuh>
