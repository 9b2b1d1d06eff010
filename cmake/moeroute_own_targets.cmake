# How our own programs are compiled. Nothing here reaches a consumer.
option(MOEROUTE_WERROR "Warnings are errors in our own targets" ${PROJECT_IS_TOP_LEVEL})
set(MOEROUTE_MARCH "x86-64-v3" CACHE STRING
    "-march of our tests and benchmarks on x86-64 (the vector path); empty: the compiler's default")

# Our own builds are repeated often.
find_program(MOEROUTE_CCACHE ccache)
if(PROJECT_IS_TOP_LEVEL AND MOEROUTE_CCACHE)
  foreach(language CXX CUDA)
    if(NOT DEFINED CMAKE_${language}_COMPILER_LAUNCHER)
      set(CMAKE_${language}_COMPILER_LAUNCHER ${MOEROUTE_CCACHE})
    endif()
  endforeach()
endif()

find_package(Threads REQUIRED)
find_package(Eigen3 3.4 QUIET NO_MODULE)
find_package(CLI11 QUIET)
find_package(nlohmann_json QUIET)

set(moeroute_warnings -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND moeroute_warnings -Wdouble-promotion)  # clang reports it for the C library's NAN
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    list(APPEND moeroute_warnings -Wno-restrict)  # false alarms inside std::string, GCC bug 105651
  endif()
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND moeroute_warnings -Wno-deprecated-declarations)  # std::stable_sort of libstdc++ 12
endif()
if(MOEROUTE_WERROR)
  list(APPEND moeroute_warnings -Werror)
endif()

set(moeroute_march "")
if(MOEROUTE_MARCH AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(moeroute_march -march=${MOEROUTE_MARCH})
endif()

# moeroute_own(<target> [VECTOR]): our include path, our warnings, threads, and Eigen if it is there.
# VECTOR: compiled for MOEROUTE_MARCH; without it, as any user's default.
function(moeroute_own target)
  target_link_libraries(${target} PRIVATE moeroute::moeroute Threads::Threads)
  if(TARGET Eigen3::Eigen)
    target_link_libraries(${target} PRIVATE Eigen3::Eigen)
  endif()
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${moeroute_warnings}>")
  if(VECTOR IN_LIST ARGN)
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${moeroute_march}>")
  endif()
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# moeroute_own_cuda(<target>): the same for the .cu files of a target.
function(moeroute_own_cuda target)
  target_link_libraries(${target} PRIVATE moeroute::cuda)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wshadow>")
  if(MOEROUTE_WERROR)
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>")
  endif()
  set_target_properties(${target} PROPERTIES CUDA_EXTENSIONS OFF)
endfunction()

# moeroute_missing(<out> <source>...): the packages these sources include and this machine lacks.
function(moeroute_missing out)
  set(missing "")
  foreach(source IN LISTS ARGN)
    file(STRINGS ${source} lines REGEX "^ *# *include *[<\"](Eigen/|moeroute/cpu/eigen\\.hpp|CLI/|nlohmann/)")
    if(lines MATCHES "Eigen/|cpu/eigen" AND NOT TARGET Eigen3::Eigen)
      list(APPEND missing Eigen3)
    endif()
    if(lines MATCHES "CLI/" AND NOT TARGET CLI11::CLI11)
      list(APPEND missing CLI11)
    endif()
    if(lines MATCHES "nlohmann/" AND NOT TARGET nlohmann_json::nlohmann_json)
      list(APPEND missing nlohmann_json)
    endif()
  endforeach()
  list(REMOVE_DUPLICATES missing)
  set(${out} "${missing}" PARENT_SCOPE)
endfunction()
