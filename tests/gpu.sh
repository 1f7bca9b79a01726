#!/usr/bin/env bash
# Builds what a machine with a GPU and nvcc can build, with or without MPI, HDF5 and Boost, runs the gpu tests, then some of
# them under compute-sanitizer, then the benchmarks.
#
#   tests/gpu.sh [--prefix DIR] [--arch 90]
#
# --prefix: where GoogleTest and nlohmann-json are (Debian: libgtest-dev, nlohmann-json3-dev), if not in the system. --arch: the
# GPU's compute capability, by default what nvidia-smi says. The exit code is 0 only when everything passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

prefix='' arch=''
while (($#)); do
  case "$1 $#" in
    "--prefix "[2-9]*) prefix=$2 && shift 2 ;;
    "--arch "[2-9]*) arch=$2 && shift 2 ;;
    *) sed -n '2,8p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
done
command -v nvidia-smi >/dev/null || { echo "gpu.sh: no nvidia-smi: this machine has no GPU" >&2; exit 2; }
command -v nvcc >/dev/null || { echo "gpu.sh: no nvcc: install CUDA 13" >&2; exit 2; }
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv
[[ -n $arch ]] || arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)

readonly build=build/gpu programs=(cuda_golden_test cuda_identity_test cuda_steps_test cuda_row_identity_test)
configured=$(cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CUDA_ARCHITECTURES="$arch" ${prefix:+-DCMAKE_PREFIX_PATH="$prefix"} 2>&1) || { echo "$configured" >&2; exit 1; }
cmake --build "$build" -j "$(nproc)" --target "${programs[@]}" device_bench

failed=0
step() {
  printf '\n== %s\n' "$*"
  "$@" || { failed=1; echo "gpu.sh: failed: $*" >&2; }
}
for program in "${programs[@]}"; do step "$build/tests/$program"; done

# The smallest models: the tools run everything up to a hundred times slower.
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck; do
    step compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/tests/cuda_golden_test" \
      --gtest_filter='*Logits*n32_cuda_fp32:*Logits*v4_cuda_fp32:*Logits*v6_cuda_*:*Logits*v7_cuda_*'
    step compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/tests/cuda_identity_test" --gtest_filter='*TextsAreTheSame*rwkv7*'
  done
else
  echo "gpu.sh: no compute-sanitizer: memory and race checks are left out" >&2
  failed=1
fi

step "$build/device_bench" cuda 4096 131072
if [[ $configured != *"the program is left out"* ]]; then
  step cmake --build "$build" -j "$(nproc)" --target riverrun
  step "$build/riverrun" bench prefill --backend cuda --precision bf16 --shape 7.2b --tokens 65536 --block-tokens 8192
  step "$build/riverrun" bench decode --backend cuda --precision bf16 --shape 7.2b
else
  echo "gpu.sh: the program is not in this build (MPI, HDF5, Boost), so whole models are not timed"
fi
exit "$failed"
