# Finds hiredis (0.14 or 1.x) and makes the target TollgateHiredis::hiredis, whose header is <hiredis/hiredis.h>.
#
# TollgateHiredis_ROOT (variable or environment) names a prefix to take instead of the system's. Otherwise, in order:
# a target hiredis::hiredis that the project has already, pkg-config, hiredis 1.x's own CMake package, plain search.
# The name differs from hiredis's own on purpose: Debian 12 ships a CMake package spelled `Hiredis`, and it is broken.
#
# Header and library must belong together: redisReply's layout differs between versions, so a header of one with the
# library of another compiles, links, and reads garbage.
include(FindPackageHandleStandardArgs)

set(_hint_dirs "")   # directories that may hold hiredis/hiredis.h
set(_library_dirs "")
set(_target "")
if(TARGET hiredis::hiredis)
  set(_target hiredis::hiredis)
elseif(NOT TollgateHiredis_ROOT AND NOT DEFINED ENV{TollgateHiredis_ROOT})
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(PC_TollgateHiredis QUIET hiredis)
  endif()
  if(PC_TollgateHiredis_FOUND)
    # Some .pc files name the folder of the header, some the one above it.
    foreach(_dir IN LISTS PC_TollgateHiredis_INCLUDEDIR PC_TollgateHiredis_INCLUDE_DIRS)
      list(APPEND _hint_dirs "${_dir}" "${_dir}/..")
    endforeach()
    set(_library_dirs ${PC_TollgateHiredis_LIBDIR} ${PC_TollgateHiredis_LIBRARY_DIRS})
  else()
    find_package(hiredis CONFIG QUIET)
    if(TARGET hiredis::hiredis)
      set(_target hiredis::hiredis)
    endif()
  endif()
endif()

if(_target)
  # Its header must be the one that belongs to it, so nothing outside of what it names is searched.
  get_target_property(_dirs ${_target} INTERFACE_INCLUDE_DIRECTORIES)
  get_target_property(_imported ${_target} IMPORTED)
  foreach(_dir IN LISTS _dirs)
    string(REGEX REPLACE "^\\$<BUILD_INTERFACE:(.*)>$" "\\1" _dir "${_dir}")
    list(APPEND _hint_dirs "${_dir}" "${_dir}/..")
  endforeach()
  find_path(TollgateHiredis_INCLUDE_DIR hiredis/hiredis.h PATHS ${_hint_dirs} NO_DEFAULT_PATH)
  if(NOT TollgateHiredis_INCLUDE_DIR)
    set(_reason "The target hiredis::hiredis names no directory from which <hiredis/hiredis.h> can be included.")
  endif()
  set(TollgateHiredis_LIBRARY "")
  if(_imported)
    foreach(_property IN ITEMS IMPORTED_LOCATION IMPORTED_LOCATION_RELEASE IMPORTED_LOCATION_RELWITHDEBINFO
                               IMPORTED_LOCATION_NOCONFIG IMPORTED_LOCATION_MINSIZEREL IMPORTED_LOCATION_DEBUG)
      get_target_property(_location ${_target} ${_property})
      if(_location)
        set(TollgateHiredis_LIBRARY "${_location}")
        break()
      endif()
    endforeach()
  endif()
  set(_required TollgateHiredis_INCLUDE_DIR)
else()
  find_path(TollgateHiredis_INCLUDE_DIR hiredis/hiredis.h PATHS ${_hint_dirs} NO_DEFAULT_PATH)
  find_path(TollgateHiredis_INCLUDE_DIR hiredis/hiredis.h)
  find_library(TollgateHiredis_LIBRARY hiredis PATHS ${_library_dirs} NO_DEFAULT_PATH)
  find_library(TollgateHiredis_LIBRARY hiredis)
  mark_as_advanced(TollgateHiredis_LIBRARY)
  set(_required TollgateHiredis_LIBRARY TollgateHiredis_INCLUDE_DIR)
endif()
mark_as_advanced(TollgateHiredis_INCLUDE_DIR)

set(TollgateHiredis_VERSION "")
if(TollgateHiredis_INCLUDE_DIR)
  set(_header "${TollgateHiredis_INCLUDE_DIR}/hiredis/hiredis.h")
  foreach(_part IN ITEMS MAJOR MINOR SONAME)
    file(STRINGS "${_header}" _line REGEX "^#define HIREDIS_${_part} " LIMIT_COUNT 1)
    string(REGEX REPLACE "^#define HIREDIS_${_part} +\"?([0-9][^ \"]*).*$" "\\1" _header_${_part} "${_line}")
  endforeach()
  set(TollgateHiredis_VERSION "${_header_MAJOR}.${_header_MINOR}")
endif()

# A shared library has its version in its file name, or at least by the soname that stands in it as text; a static one
# has neither, but from 1.0 on it names its allocator hooks.
if(TollgateHiredis_INCLUDE_DIR AND TollgateHiredis_LIBRARY)
  file(REAL_PATH "${TollgateHiredis_LIBRARY}" _real_library)
  if(_real_library MATCHES "\\.a$")
    file(STRINGS "${_real_library}" _hooks REGEX "hiredisSetAllocators" LIMIT_COUNT 1)
    if(_hooks)
      set(_library_says 1)
    else()
      set(_library_says 0)
    endif()
  elseif(_real_library MATCHES "\\.so\\.([0-9]+\\.[0-9]+)")
    set(_library_says "${CMAKE_MATCH_1}")
  else()
    file(STRINGS "${_real_library}" _soname REGEX "^libhiredisd?\\.so\\.[0-9]" LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+(\\.[0-9]+)?" _library_says "${_soname}")
  endif()
  if(NOT _library_says STREQUAL "" AND NOT "${_header_SONAME}." MATCHES "^${_library_says}[.-]")
    message(FATAL_ERROR
      "hiredis's header and library do not belong together:\n"
      "  ${_header} is of ${TollgateHiredis_VERSION} (soname ${_header_SONAME})\n"
      "  ${_real_library} is of soname ${_library_says}\n"
      "Set TollgateHiredis_ROOT to the prefix of one of them, in a fresh build directory.")
  endif()
endif()

find_package_handle_standard_args(TollgateHiredis
  REQUIRED_VARS ${_required}
  VERSION_VAR TollgateHiredis_VERSION
  REASON_FAILURE_MESSAGE "${_reason}")

if(TollgateHiredis_FOUND AND NOT TARGET TollgateHiredis::hiredis)
  if(_target)
    add_library(TollgateHiredis::hiredis INTERFACE IMPORTED)
    set_property(TARGET TollgateHiredis::hiredis PROPERTY INTERFACE_LINK_LIBRARIES ${_target})
  else()
    add_library(TollgateHiredis::hiredis UNKNOWN IMPORTED)
    set_property(TARGET TollgateHiredis::hiredis PROPERTY IMPORTED_LOCATION "${TollgateHiredis_LIBRARY}")
  endif()
  set_property(TARGET TollgateHiredis::hiredis
    PROPERTY INTERFACE_INCLUDE_DIRECTORIES "${TollgateHiredis_INCLUDE_DIR}")  # imported, hence a SYSTEM include
endif()

foreach(_name IN ITEMS hint_dirs library_dirs target required reason dirs dir imported property location header part
                       line header_MAJOR header_MINOR header_SONAME real_library hooks soname library_says)
  unset(_${_name})
endforeach()
