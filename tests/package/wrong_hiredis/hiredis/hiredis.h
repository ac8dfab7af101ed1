/* A header of no release: tests/package lets CMake meet it beside the system's library. */
#define HIREDIS_MAJOR 9
#define HIREDIS_MINOR 9
#define HIREDIS_SONAME 9.9.0
