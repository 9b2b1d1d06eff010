# Targets for those who work on the library: moeroute_docs, moeroute_tidy.
add_custom_target(moeroute_docs
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -P ${PROJECT_SOURCE_DIR}/tests/checks/links.cmake)
find_package(Doxygen QUIET)
if(DOXYGEN_FOUND)
  set(DOXYGEN_QUIET YES)
  set(DOXYGEN_EXTRACT_ALL YES)
  set(DOXYGEN_WARN_IF_UNDOCUMENTED NO)
  set(DOXYGEN_JAVADOC_AUTOBRIEF YES)
  set(DOXYGEN_FILE_PATTERNS *.hpp *.cuh)
  set(DOXYGEN_EXTENSION_MAPPING cuh=C++)
  set(DOXYGEN_PREDEFINED MOEROUTE_HD= MOEROUTE_ABI=v0 MOEROUTE_EXEC_CHECK_DISABLE=)
  set(DOXYGEN_MACRO_EXPANSION YES)
  set(DOXYGEN_EXPAND_ONLY_PREDEF YES)
  set(DOXYGEN_EXCLUDE_PATTERNS */detail/*)
  doxygen_add_docs(moeroute_reference ${PROJECT_SOURCE_DIR}/include)
  add_dependencies(moeroute_docs moeroute_reference)
else()
  message(STATUS "moeroute: no Doxygen, moeroute_docs only checks the links of the pages")
endif()

# One unit that includes every header; what is inside templates is checked as far as it can be unused.
find_program(MOEROUTE_CLANG_TIDY NAMES clang-tidy-19 clang-tidy-20)
set(unit ${PROJECT_BINARY_DIR}/every_header.cpp)
set(text "")
foreach(header IN LISTS moeroute_headers)
  file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR}/include ${header})
  string(APPEND text "#include <${path}>\n")
endforeach()
file(CONFIGURE OUTPUT ${unit} CONTENT "${text}")
if(MOEROUTE_CLANG_TIDY)
  add_custom_target(moeroute_tidy
    COMMAND ${MOEROUTE_CLANG_TIDY} --quiet --warnings-as-errors=*
            --config-file=${PROJECT_SOURCE_DIR}/.clang-tidy --header-filter=include/moeroute/ ${unit}
            -- -std=c++20 -I${PROJECT_SOURCE_DIR}/include)
else()
  add_custom_target(moeroute_tidy
    COMMAND ${CMAKE_COMMAND} -E echo "clang-tidy-19 not found (clang-tidy 14 cannot parse the router)"
    COMMAND ${CMAKE_COMMAND} -E false)
endif()
