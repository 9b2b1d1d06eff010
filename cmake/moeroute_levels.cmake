# moeroute_add_levels(<target> SOURCES <file>... [LEVELS sse2 avx2 avx512 avx512_vbmi2])
#
# Compiles the sources once for each level of x86-64 and links all into the target: an executable, a shared or a static
# library. moeroute/cpu/level.hpp chooses among them when the program runs. On other processors there is one level, the
# compiler's own, and the sources are compiled once. They get all that the target's own sources get, then
#   sse2          -march=x86-64
#   avx2          -march=x86-64-v3
#   avx512        -march=x86-64-v4
#   avx512_vbmi2  -march=x86-64-v4 -mavx512vbmi2   (Ice Lake, Zen 4 and later)
#
# The order of linking matters. Of an inline function that is not ours, say std::vector<float>::resize, every object that
# calls it out of line brings a copy, and the linker keeps the FIRST, for all. So the target's own sources come first, then
# the levels as they rise: the copy that a level calls is then its own or one of a lower level. The sources are therefore
# added when CMake has read the whole project, whatever the order of calls (docs/performance.md, Levels). Compile the target
# itself for the oldest machine.

# The levels of x86-64 as they rise, in `levels`, and the flags of each, in flags_<level>.
macro(moeroute_x86_levels)
  set(levels sse2 avx2 avx512 avx512_vbmi2)
  set(flags_sse2 -march=x86-64)
  set(flags_avx2 -march=x86-64-v3)
  set(flags_avx512 -march=x86-64-v4)
  set(flags_avx512_vbmi2 -march=x86-64-v4 -mavx512vbmi2)
endmacro()

function(moeroute_add_levels target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LEVELS")
  if(NOT TARGET ${target} OR NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "moeroute_add_levels(<target> SOURCES <file>... [LEVELS <level>...]): got (${ARGV})")
  endif()
  moeroute_x86_levels()
  if(NOT arg_LEVELS)
    set(arg_LEVELS ${levels})
  endif()
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    target_sources(${target} PRIVATE ${arg_SOURCES})
    return()
  endif()

  get_target_property(deferred ${target} moeroute_levels_deferred)
  if(NOT deferred)
    set_target_properties(${target} PROPERTIES moeroute_levels_deferred TRUE)
    cmake_language(EVAL CODE
      "cmake_language(DEFER DIRECTORY [[${CMAKE_SOURCE_DIR}]] CALL moeroute_link_levels [[${target}]] ${levels})")
  endif()
  foreach(level IN LISTS arg_LEVELS)
    if(NOT level IN_LIST levels)
      message(FATAL_ERROR "moeroute_add_levels: level \"${level}\" must be one of ${levels}")
    endif()
    foreach(source IN LISTS arg_SOURCES)
      # One file cannot be twice in a target, but it can be included by two.
      get_filename_component(path ${source} ABSOLUTE)
      string(MAKE_C_IDENTIFIER ${source} name)
      set(unit ${CMAKE_CURRENT_BINARY_DIR}/${target}_levels/${level}/${name}.cpp)
      file(CONFIGURE OUTPUT ${unit} @ONLY CONTENT [[
#include "@path@"

#include <moeroute/cpu/level.hpp>
static_assert(moeroute::this_level == moeroute::level::@level@,
              "moeroute_add_levels: the flags of the target or of the project switch another level on");
]])
      set_source_files_properties(${unit} TARGET_DIRECTORY ${target} PROPERTIES
        COMPILE_OPTIONS "${flags_${level}}" SKIP_UNITY_BUILD_INCLUSION ON SKIP_PRECOMPILE_HEADERS ON)
      set_property(TARGET ${target} APPEND PROPERTY moeroute_level_${level} ${unit})
    endforeach()
  endforeach()
endfunction()

function(moeroute_link_levels target)
  foreach(level IN LISTS ARGN)
    get_target_property(units ${target} moeroute_level_${level})
    if(units)
      target_sources(${target} PRIVATE ${units})
    endif()
  endforeach()
endfunction()
