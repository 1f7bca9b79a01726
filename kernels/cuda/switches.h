// Parts of the GPU path that can be turned off by an environment variable, one by one: to find out which of them is wrong on a machine, or what
// they gain there. None of them changes a bit of any result.
#pragma once

#include <cstdlib>
#include <string_view>

namespace riverrun::kernels::cuda {

inline constexpr const char* kOverlapSwitch = "RIVERRUN_GPU_OVERLAP";    // kernels start while the one before them runs (launch.h)
inline constexpr const char* kClustersSwitch = "RIVERRUN_GPU_CLUSTERS";  // WKV-7 has two multiprocessors to a head (wkv7_cluster_16.cu)
inline constexpr const char* kGraphsSwitch = "RIVERRUN_GPU_GRAPHS";      // steps of texts are recorded (graph.h)

// Unless the variable is 0.
inline bool is_on(const char* variable) {
  const char* const value = std::getenv(variable);
  return value == nullptr || std::string_view(value) != "0";
}

}  // namespace riverrun::kernels::cuda
