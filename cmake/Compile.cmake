# Flags and the one way in which a folder becomes a library.
add_library(riverrun_flags INTERFACE)
target_compile_options(riverrun_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers>)
target_include_directories(riverrun_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
# Build type of the sanitizers: line numbers for their reports, and code that compiles and runs in bearable time.
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -g1")
if(RIVERRUN_SANITIZE)
  target_compile_options(riverrun_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${RIVERRUN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all>)
  target_link_options(riverrun_flags INTERFACE -fsanitize=${RIVERRUN_SANITIZE})
endif()

# Whether this machine has AVX-512, which decides what is worth compiling or testing once more; true where nobody knows.
set(newer "unknown")
if(EXISTS /proc/cpuinfo)
  file(STRINGS /proc/cpuinfo newer REGEX "^flags.* avx512" LIMIT_COUNT 1)
endif()
set(RIVERRUN_CPU_IS_NEWER_THAN_AVX2 "${newer}")

find_package(Threads REQUIRED)

# riverrun_library(name [HOT] [APART] SOURCES a.cc b.cc LINKS riverrun_core ... PACKAGES ZLIB::ZLIB ...)
# LINKS are other folders (public); PACKAGES are outside libraries (private: their headers stay in here). HOT is where a job's time
# goes: the release preset has -O2, which compiles in two thirds of the time of -O3, and these folders have -O3. APART: the files
# use the same names for what each has in its own way, or stand for others in a link, so they are not compiled as one.
function(riverrun_library name)
  cmake_parse_arguments(ARG "HOT;APART" "" "SOURCES;LINKS;PACKAGES" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  if(ARG_APART)
    set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  endif()
  if(ARG_HOT)
    target_compile_options(${name} PRIVATE $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-O3>)
  endif()
  target_link_libraries(${name} PUBLIC riverrun_flags Threads::Threads ${ARG_LINKS} PRIVATE ${ARG_PACKAGES})
endfunction()
