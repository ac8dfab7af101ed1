# The files that `cmake --install` installs: headers, libraries, the CMake package and the pkg-config file. All relocatable.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/tollgate")

# The testing support is an export of its own: its GoogleMock is searched for only when that component is requested.
install(TARGETS tollgate EXPORT tollgateTargets)
install(EXPORT tollgateTargets NAMESPACE tollgate:: DESTINATION "${package_dir}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/tollgate" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp" PATTERN testing EXCLUDE)
if(TARGET tollgate_testing)
  install(TARGETS tollgate_testing EXPORT tollgateTestingTargets)
  install(EXPORT tollgateTestingTargets NAMESPACE tollgate:: DESTINATION "${package_dir}")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/tollgate/testing" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/tollgate"
    FILES_MATCHING PATTERN "*.hpp")
endif()

get_target_property(library_type tollgate TYPE)
if(library_type STREQUAL "STATIC_LIBRARY")
  set(is_static ON)
else()
  set(is_static OFF)
endif()

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/tollgateConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/tollgateConfig.cmake" INSTALL_DESTINATION "${package_dir}"
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/tollgateConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/tollgateConfig.cmake"
  "${PROJECT_BINARY_DIR}/tollgateConfigVersion.cmake"
  "${CMAKE_CURRENT_LIST_DIR}/FindTollgateHiredis.cmake"
  DESTINATION "${package_dir}")

# hiredis is named by its library, not by `Requires`: Debian 12's hiredis.pc puts headers called read.h and alloc.h on
# the include path of the consumer. -L only where the linker would not look by itself.
set(hiredis_libs "-lhiredis")
if(TollgateHiredis_LIBRARY)
  get_filename_component(hiredis_dir "${TollgateHiredis_LIBRARY}" DIRECTORY)
  if(NOT hiredis_dir IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
    set(hiredis_libs "-L${hiredis_dir} -lhiredis")
  endif()
endif()

# With a static library all its dependencies are in the public fields, so that it links with and without --static.
set(pc_private ".private")
if(is_static)
  set(pc_private "")
endif()
set(pc_requires "Requires${pc_private}: fmt libssl libcrypto")
if(is_static)
  set(pc_libs "Libs: -L\${libdir} -ltollgate ${hiredis_libs} -pthread")
else()
  set(pc_libs "Libs: -L\${libdir} -ltollgate\nLibs.private: ${hiredis_libs} -pthread")
endif()
set(pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
file(RELATIVE_PATH pc_prefix "/prefix/${pc_dir}" "/prefix")
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file("${CMAKE_CURRENT_LIST_DIR}/tollgate.pc.in" "${PROJECT_BINARY_DIR}/tollgate.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/tollgate.pc" DESTINATION "${pc_dir}")
