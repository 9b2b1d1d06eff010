# What a consumer sees: moeroute::moeroute (headers, nothing else), and moeroute::eigen and
# moeroute::cuda where their needs are met. No flag and no option reaches the consumer.
include(moeroute_components)
include(moeroute_levels)

file(GLOB_RECURSE moeroute_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/moeroute/*.hpp)
file(GLOB_RECURSE moeroute_cuda_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/moeroute/*.cuh)
set(moeroute_eigen_headers "")
foreach(header IN LISTS moeroute_headers)
  file(STRINGS ${header} uses_eigen REGEX "^ *# *include *<Eigen/")
  if(uses_eigen)
    list(APPEND moeroute_eigen_headers ${header})
  endif()
endforeach()
if(moeroute_eigen_headers)
  list(REMOVE_ITEM moeroute_headers ${moeroute_eigen_headers})
endif()

add_library(moeroute INTERFACE)
add_library(moeroute::moeroute ALIAS moeroute)
target_compile_features(moeroute INTERFACE cxx_std_20)
target_sources(moeroute INTERFACE FILE_SET HEADERS
  BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${moeroute_headers})

moeroute_add_eigen()
if(moeroute_eigen_reason)
  message(STATUS "moeroute::eigen: no (${moeroute_eigen_reason})")
endif()

if(MOEROUTE_ENABLE_CUDA STREQUAL "OFF")
  message(STATUS "moeroute::cuda: no (MOEROUTE_ENABLE_CUDA is OFF)")
else()
  # Our own .cu files need the language; a consumer enables it where he wants it.
  if(PROJECT_IS_TOP_LEVEL)
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
        set(CMAKE_CUDA_ARCHITECTURES 90)
      endif()
      enable_language(CUDA)
    endif()
  endif()
  moeroute_add_cuda()
  if(NOT moeroute_cuda_reason)
    message(STATUS "moeroute::cuda: yes (${moeroute_cuda_found})")
  elseif(MOEROUTE_ENABLE_CUDA STREQUAL "AUTO")
    message(STATUS "moeroute::cuda: no (${moeroute_cuda_reason})")
  else()
    message(FATAL_ERROR "moeroute::cuda: ${moeroute_cuda_reason}, and MOEROUTE_ENABLE_CUDA is ON")
  endif()
endif()

if(MOEROUTE_INSTALL)
  include(GNUInstallDirs)
  include(CMakePackageConfigHelpers)
  set(moeroute_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/moeroute)
  install(TARGETS moeroute EXPORT moeroute-targets FILE_SET HEADERS)
  foreach(header IN LISTS moeroute_eigen_headers moeroute_cuda_headers)
    file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR}/include ${header})
    get_filename_component(folder ${path} DIRECTORY)
    install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${folder})
  endforeach()
  install(EXPORT moeroute-targets NAMESPACE moeroute:: DESTINATION ${moeroute_package_dir})
  configure_package_config_file(cmake/moeroute-config.cmake.in
    ${PROJECT_BINARY_DIR}/moeroute-config.cmake INSTALL_DESTINATION ${moeroute_package_dir})
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/moeroute-config-version.cmake
    COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
  install(FILES ${PROJECT_BINARY_DIR}/moeroute-config.cmake
    ${PROJECT_BINARY_DIR}/moeroute-config-version.cmake
    ${PROJECT_SOURCE_DIR}/cmake/moeroute_components.cmake
    ${PROJECT_SOURCE_DIR}/cmake/moeroute_levels.cmake DESTINATION ${moeroute_package_dir})
endif()
