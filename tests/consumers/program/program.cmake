# The program of every consumer; `moeroute::moeroute` is there by now, and brought no flag with it.
add_executable(consumer ${CMAKE_CURRENT_LIST_DIR}/main.cpp ${CMAKE_CURRENT_LIST_DIR}/other.cpp)
target_link_libraries(consumer PRIVATE moeroute::moeroute)

foreach(property INTERFACE_COMPILE_OPTIONS INTERFACE_COMPILE_DEFINITIONS INTERFACE_LINK_OPTIONS
                 INTERFACE_LINK_LIBRARIES)
  get_target_property(value moeroute::moeroute ${property})
  if(value)
    message(FATAL_ERROR "moeroute::moeroute forces ${property} on its consumer: ${value}")
  endif()
endforeach()
foreach(variable BUILD_TESTING MOEROUTE_WERROR)
  if(DEFINED CACHE{${variable}})
    message(FATAL_ERROR "the subproject left ${variable} in the consumer's cache")
  endif()
endforeach()
if(TARGET moeroute_tests OR TARGET moeroute_cli)
  message(FATAL_ERROR "the subproject builds its tests or examples for the consumer")
endif()
