# Every relative link of a page leads to a file that exists.
# usage: cmake -DSOURCE_DIR=<repository> -P links.cmake
cmake_minimum_required(VERSION 3.25)
file(GLOB_RECURSE pages ${SOURCE_DIR}/docs/*.md ${SOURCE_DIR}/examples/*.md ${SOURCE_DIR}/bench/*.md
     ${SOURCE_DIR}/tests/*.md)
list(APPEND pages ${SOURCE_DIR}/README.md ${SOURCE_DIR}/CONTRIBUTING.md)
set(broken "")
set(count 0)
foreach(page IN LISTS pages)
  get_filename_component(folder ${page} DIRECTORY)
  file(READ ${page} text)
  string(REGEX REPLACE "```[^`]*```" "" text "${text}")  # code is not prose
  string(REGEX REPLACE "`[^`\n]*`" "" text "${text}")
  string(REPLACE "](" "<link " text "${text}")  # brackets upset CMake's lists
  string(REGEX REPLACE "[][;]" "" text "${text}")
  string(REGEX MATCHALL "<link [^)#: ]+[)#]" links "${text}")
  foreach(link IN LISTS links)
    string(REGEX REPLACE "^<link |[)#]$" "" target "${link}")
    math(EXPR count "${count} + 1")
    if(NOT EXISTS ${folder}/${target})
      list(APPEND broken "${page}: ${target}")
    endif()
  endforeach()
endforeach()
if(broken)
  list(JOIN broken "\n  " text)
  message(FATAL_ERROR "links that lead nowhere:\n  ${text}\n")
endif()
message("${count} links, each leads to a file")
