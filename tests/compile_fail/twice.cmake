# usage: cmake -DCOMPILER=<c++> -DSOURCE=<file> -DINCLUDE=<folder> -P twice.cmake
if(COMPILER MATCHES "nvcc$")
  set(flags -std=c++20 -x cu -arch=sm_90 -c -o /dev/null)
else()
  set(flags -std=c++20 -fsyntax-only)
endif()
file(STRINGS ${SOURCE} lines REGEX "^// expect: ")
if(NOT lines)
  message(FATAL_ERROR "${SOURCE} has no line `// expect: text`")
endif()

execute_process(COMMAND ${COMPILER} ${flags} -I${INCLUDE} ${SOURCE}
  RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
if(code)
  message(FATAL_ERROR "as it stands it must compile:\n${out}")
endif()

execute_process(COMMAND ${COMPILER} ${flags} -DFAIL -I${INCLUDE} ${SOURCE}
  RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
if(NOT code)
  message(FATAL_ERROR "with -DFAIL it must not compile")
endif()
foreach(line IN LISTS lines)
  string(REGEX REPLACE "^// expect: *" "" text "${line}")
  string(FIND "${out}" "${text}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "the compiler does not say\n  ${text}\nbut\n${out}")
  endif()
endforeach()
