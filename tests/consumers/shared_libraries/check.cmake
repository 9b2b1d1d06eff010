# Two shared libraries, one built for sm_80 and one for sm_90, in one program: no function of ours may
# be exported by both, or the loader would give both libraries the launcher (and kernels) of the first.
# usage: cmake -DNVCC=<nvcc> -DSOURCE=<this folder> -DBINARY=<folder> -DINCLUDE=<include> -P check.cmake
if(NOT NVCC)
  message("SKIPPED: no nvcc here, two shared libraries for two architectures were not built")
  return()
endif()
file(REMOVE_RECURSE ${BINARY})
file(MAKE_DIRECTORY ${BINARY})
foreach(arch 80 90)
  execute_process(COMMAND ${NVCC} -std=c++20 -arch=sm_${arch} -shared -Xcompiler=-fPIC -I${INCLUDE}
      -DLIBRARY=library_${arch} ${SOURCE}/library.cu -o ${BINARY}/liba${arch}.so
    RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(code)
    message(FATAL_ERROR "nvcc failed:\n${out}")
  endif()
  execute_process(COMMAND nm -DC --defined-only ${BINARY}/liba${arch}.so
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "moeroute::[^\n]*" names_${arch} "${symbols}")
  list(LENGTH names_${arch} count)
  message("sm_${arch}: ${count} exported names of ours")
endforeach()
set(shared "")
foreach(name IN LISTS names_80)
  if(name IN_LIST names_90)
    list(APPEND shared "${name}")
  endif()
endforeach()
if(shared)
  list(JOIN shared "\n  " text)
  message(FATAL_ERROR "both libraries export\n  ${text}")
endif()
