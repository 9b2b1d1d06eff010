# Configures, builds and runs one consumer project in a fresh folder.
# usage: cmake -DSOURCE=<consumer> -DBINARY=<folder> -DCOMPILER=<c++> -DMOEROUTE_SOURCE=<repository>
#              [-DPREFIX=<install prefix> -DMOEROUTE_BUILD=<build folder>] -P consumer.cmake
cmake_minimum_required(VERSION 3.25)
function(must what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(code)
    message(FATAL_ERROR "${what} failed (${code}):\n${out}")
  endif()
  set(out "${out}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${BINARY})
set(where "")
if(PREFIX)
  file(REMOVE_RECURSE ${PREFIX})
  must("install" ${CMAKE_COMMAND} --install ${MOEROUTE_BUILD} --prefix ${PREFIX})
  set(where -DCMAKE_PREFIX_PATH=${PREFIX})
endif()
# Warnings in our headers would stop this consumer: they are on his -I path in a source tree.
must("configure" ${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE} -B ${BINARY} ${where}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=Debug
  "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror"
  -DMOEROUTE_SOURCE=${MOEROUTE_SOURCE} -DFETCHCONTENT_SOURCE_DIR_MOEROUTE=${MOEROUTE_SOURCE}
  -DFETCHCONTENT_FULLY_DISCONNECTED=ON)
must("build" ${CMAKE_COMMAND} --build ${BINARY} -j 1)
must("run" ${BINARY}/consumer)
message("${out}")
