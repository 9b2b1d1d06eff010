# What a consumer sees: moeroute::moeroute (headers, nothing else), moeroute::eigen, moeroute::cuda.
add_library(moeroute INTERFACE)
add_library(moeroute::moeroute ALIAS moeroute)
target_compile_features(moeroute INTERFACE cxx_std_20)
target_include_directories(moeroute INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
