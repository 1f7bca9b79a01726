# Outside packages. Whatever is missing leaves its part out of the build, and that part's name answers with an
# error that says so; nothing else changes. A bare GPU node needs none of them for the kernels, model, plan and ring.
find_package(PkgConfig QUIET)

find_package(ZLIB QUIET)
find_package(zstd CONFIG QUIET)
if(NOT TARGET riverrun_zstd)
  add_library(riverrun_zstd INTERFACE)
  if(TARGET zstd::libzstd_shared)
    target_link_libraries(riverrun_zstd INTERFACE zstd::libzstd_shared)
    set(RIVERRUN_HAVE_ZSTD ON)
  elseif(PkgConfig_FOUND)
    pkg_check_modules(ZSTD QUIET IMPORTED_TARGET libzstd)
    if(ZSTD_FOUND)
      target_link_libraries(riverrun_zstd INTERFACE PkgConfig::ZSTD)
      set(RIVERRUN_HAVE_ZSTD ON)
    endif()
  endif()
endif()
find_package(nlohmann_json 3.11 QUIET)
find_package(simdjson QUIET)
find_package(ICU QUIET COMPONENTS uc)
# Debian's dnnl-config.cmake fails without the OpenCL headers, which the CPU part never uses.
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp)
find_library(DNNL_LIBRARY dnnl)
if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY)
  add_library(riverrun_dnnl INTERFACE)
  target_include_directories(riverrun_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
  target_link_libraries(riverrun_dnnl INTERFACE ${DNNL_LIBRARY})
endif()
find_package(hwy CONFIG QUIET)
if(NOT TARGET hwy::hwy AND PkgConfig_FOUND)
  pkg_check_modules(HWY QUIET IMPORTED_TARGET libhwy)
  if(HWY_FOUND)
    add_library(hwy::hwy ALIAS PkgConfig::HWY)
  endif()
endif()
find_package(OpenSSL QUIET COMPONENTS Crypto)
find_package(Boost QUIET COMPONENTS context)  # for tests only: threads of emulated CUDA kernels
find_package(Boost QUIET COMPONENTS program_options)
find_package(MPI QUIET COMPONENTS C)  # the C interface: MPI_CXX drags in the retired C++ bindings
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 QUIET COMPONENTS C)

option(RIVERRUN_CUDA "Build the CUDA backend where nvcc is found" ON)
option(RIVERRUN_CUDA_STRICT "Warnings of nvcc are errors" ON)
if(RIVERRUN_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  find_package(CUDAToolkit QUIET)
  # Loaded when a product needs it; what is needed to build is its header. CUDA is laid out in more than one way.
  set(cuda_libraries HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_BIN_DIR}/.. PATH_SUFFIXES lib64 lib)
  find_path(CUBLASLT_INCLUDE_DIR cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(CUBLASLT_LIBRARY NAMES cublasLt libcublasLt.so.${CUDAToolkit_VERSION_MAJOR} ${cuda_libraries})
  if(CMAKE_CUDA_COMPILER AND CUDAToolkit_FOUND AND CUBLASLT_INCLUDE_DIR)
    # Compute capabilities; a release takes all of them: -DCMAKE_CUDA_ARCHITECTURES="80;90;100;120".
    set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "Compute capabilities that CUDA kernels are compiled for")
    enable_language(CUDA)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)  # CMake 3.25 does not know that nvcc has it
    set(RIVERRUN_WITH_CUDA ON)
  endif()
endif()
# NCCL's header alone: the library is loaded when a job asks for it.
if(RIVERRUN_WITH_CUDA AND MPI_C_FOUND)
  find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 ${cuda_libraries})
  if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
    add_library(riverrun_nccl_header INTERFACE)
    target_include_directories(riverrun_nccl_header SYSTEM INTERFACE ${NCCL_INCLUDE_DIR} ${CUDAToolkit_INCLUDE_DIRS})
    get_filename_component(folder ${NCCL_LIBRARY} DIRECTORY)
    target_compile_definitions(riverrun_nccl_header INTERFACE RIVERRUN_NCCL_FOLDER="${folder}")
    set(RIVERRUN_WITH_NCCL ON)
  endif()
endif()

message(STATUS "riverrun: found "
        "oneDNN=${DNNL_LIBRARY} Highway=${HWY_FOUND}${hwy_FOUND} MPI=${MPI_C_FOUND} HDF5=${HDF5_FOUND} "
        "Boost=${Boost_FOUND} OpenSSL=${OPENSSL_FOUND} zlib=${ZLIB_FOUND} zstd=${RIVERRUN_HAVE_ZSTD} "
        "nlohmann_json=${nlohmann_json_FOUND} simdjson=${simdjson_FOUND} ICU=${ICU_FOUND} CUDA=${RIVERRUN_WITH_CUDA} NCCL=${RIVERRUN_WITH_NCCL}")
