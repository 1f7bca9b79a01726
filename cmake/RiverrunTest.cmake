# riverrun_test(name [HOT] SOURCES a.cc LINKS riverrun_plan LABELS unit [RANKS 4] [OWN_MAIN] [TIMEOUT 120] [PROCESSORS 1])
# One GoogleTest program. With RANKS it is started once under mpirun with that many processes; without, ctest runs
# each of its tests on its own.
find_package(GTest REQUIRED)
include(GoogleTest)

# Most of the time a test takes to compile goes into these headers and into optimising code that runs once: the headers
# are compiled once, and tests are not optimised but for those that are HOT, which compute much by themselves, and these little.
file(WRITE ${CMAKE_BINARY_DIR}/tests/headers.cc "")
function(riverrun_test_headers name)
  add_library(${name} STATIC ${CMAKE_BINARY_DIR}/tests/headers.cc)
  target_link_libraries(${name} PRIVATE riverrun_flags GTest::gtest)
  target_compile_options(${name} PRIVATE ${ARGN})
  target_precompile_headers(${name} PRIVATE <gtest/gtest.h> <algorithm> <cmath> <cstring> <filesystem> <fstream>
    <functional> <map> <memory> <random> <span> <string> <thread> <vector>)
endfunction()
set(RIVERRUN_TEST_OPTIONS $<$<OR:$<CONFIG:Release>,$<CONFIG:Sanitize>>:-O0>)
set(RIVERRUN_HOT_TEST_OPTIONS $<$<CONFIG:Release>:-O1> $<$<CONFIG:Sanitize>:-O0>)
riverrun_test_headers(riverrun_test_headers ${RIVERRUN_TEST_OPTIONS})
riverrun_test_headers(riverrun_hot_test_headers ${RIVERRUN_HOT_TEST_OPTIONS})

# What Open MPI needs to run more ranks than cores, as root, without pinning every rank to one core.
set(RIVERRUN_MPI_ENVIRONMENT
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none
    OMPI_MCA_btl_vader_single_copy_mechanism=none GTEST_COLOR=no)

function(riverrun_test name)
  cmake_parse_arguments(ARG "HOT;OWN_MAIN" "TIMEOUT;PROCESSORS" "SOURCES;LINKS;LABELS;RANKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(NOT ARG_PROCESSORS)
    set(ARG_PROCESSORS 1)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE riverrun_flags ${ARG_LINKS} GTest::gtest $<$<NOT:$<BOOL:${ARG_OWN_MAIN}>>:GTest::gtest_main>)
  if(ARG_HOT)
    target_compile_options(${name} PRIVATE ${RIVERRUN_HOT_TEST_OPTIONS})
    target_precompile_headers(${name} REUSE_FROM riverrun_hot_test_headers)
  else()
    target_compile_options(${name} PRIVATE ${RIVERRUN_TEST_OPTIONS})
    target_precompile_headers(${name} REUSE_FROM riverrun_test_headers)
  endif()
  target_compile_definitions(${name} PRIVATE RIVERRUN_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/golden")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(ARG_RANKS)
    foreach(ranks ${ARG_RANKS})
      add_test(NAME ${name}_${ranks} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:${name}>)
      set_tests_properties(${name}_${ranks} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} PROCESSORS 2
                           ENVIRONMENT "${RIVERRUN_MPI_ENVIRONMENT}")
    endforeach()
  else()
    gtest_discover_tests(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
                         PROCESSORS ${ARG_PROCESSORS} DISCOVERY_TIMEOUT 60)
  endif()
endfunction()
