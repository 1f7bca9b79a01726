#!/usr/bin/env bash
# Builds what a machine with a GPU and nvcc can build, with or without MPI, HDF5 and Boost, and runs it there, what tells most first:
# kernels, models, the ring, rows of products, rates, compute-sanitizer, what parts of it gain, other programs. Every step has a limit of its own, a failed one stops no
# other, and a table of all of them comes last.
#
#   tests/gpu.sh [--prefix DIR] [--arch 90] [--seconds 560] [--only REGEX] [--log FILE]
#   tests/gpu.sh --fetch DIR
#
# --fetch: on a Debian machine with a network, puts what the tests need of its packages (GoogleTest, nlohmann-json), and
# flash-linear-attention, beside which WKV-7 is measured, into DIR, installing nothing: the --prefix of a machine that has none of them; by
# default build/packages, if that is there. --arch: the GPU's compute capability, by default what nvidia-smi says. --seconds: for all
# steps together; those that would begin later are not run, and a second call with --only runs them: it builds nothing again. --only: steps
# whose names match. --log: what the steps print, of which only failures and measurements are shown here; by default gpu.log in $OUT, or in
# build. The exit code is 0 only when every step passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  sed -n '2,14p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

readonly build=build/gpu
prefix='' arch='' seconds=560 only='' log=${OUT:-build}/gpu.log fetch=''
[[ ! -d build/packages ]] || prefix=$PWD/build/packages
while (($#)); do
  (($# >= 2)) || usage
  case $1 in
    --prefix) prefix=$(realpath "$2") ;;
    --arch) arch=$2 ;;
    --seconds) seconds=$2 ;;
    --only) only=$2 ;;
    --log) log=$(realpath -m "$2") ;;
    --fetch) fetch=$(realpath -m "$2") ;;
    *) usage ;;
  esac
  shift 2
done

if [[ -n $fetch ]]; then
  packages=$(mktemp -d)
  trap 'rm -rf "$packages"' EXIT
  (cd "$packages" && apt-get -q download libgtest-dev nlohmann-json3-dev)
  for package in "$packages"/*.deb; do dpkg-deb -x "$package" "$fetch"; done
  python3 -m pip install -q --no-deps --no-compile --upgrade --target "$fetch/python" fla-core einops
  exit 0
fi

[[ ! -d /usr/local/cuda/bin ]] || PATH=$PATH:/usr/local/cuda/bin
command -v nvidia-smi >/dev/null || { echo "gpu.sh: no nvidia-smi: this machine has no GPU" >&2; exit 2; }
command -v nvcc >/dev/null || { echo "gpu.sh: no nvcc: install CUDA 13" >&2; exit 2; }
nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap --format=csv,noheader
[[ -n $arch ]] || arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | sed -n '1s/[.]//p')

mkdir -p "$build" "$(dirname "$log")"
: >"$log"
# Lines of the table, a file for each step in the order that they were begun, and one named `failed` if one has.
lines=$(mktemp -d)
trap 'rm -rf "$lines"' EXIT
count=0
# A kernel that hangs is then named before the step's time is up.
export RIVERRUN_GPU_DEADLINE=30

# What of a step's output says why it failed.
excerpt() {
  grep -m 2 -A 4 -E '^========= (Invalid|Uninitialized|Program hit|Error:|Warning:|Race|.*hazard|Barrier)' "$1" || true
  grep -m 2 -A 6 -E 'Failure$|error:|Error:|ERROR|what\(\)|terminate' "$1" | head -12 || tail -n 8 "$1"
  grep -E '^\[  FAILED  \] .* ms\)$' "$1" | sed 's/, where GetParam.*//' | head -4 || true
}

# row NAME TIME RESULT: shown at once, too, lest the end does not come.
row() { printf '%-34s %8s  %s\n' "$1" "$2" "$3" | tee "$lines/$(printf '%03d' "$count")"; }

# step NAME LIMIT COMMAND...: its line of the table. LIMIT in seconds. Where `show` is yes, what it prints is shown.
show=no
step() {
  local name=$1 limit=$2 left=$((seconds - SECONDS)) begin=$SECONDS own result rc=0
  shift 2
  [[ $name =~ $only ]] || return 0
  if ((left < 10)); then
    touch "$lines/failed"
    row "$name" - 'not run: no time left'
    return 0
  fi
  own=$(mktemp)
  timeout -k 10 "$((limit < left ? limit : left))" "$@" >"$own" 2>&1 </dev/null || rc=$?
  { printf '\n== %s: %s\n' "$name" "$*" && cat "$own"; } | flock "$log" tee -a "$log" >/dev/null
  case $rc in
    0) result=passed ;;
    124 | 137) result='did not end within its time' ;;
    *) result="failed ($rc)" ;;
  esac
  result+=$(sed -n -E 's/^\[  PASSED  \] ([0-9]+) .*/: \1 tests passed/p' "$own")
  if [[ $result == 'passed: 0 tests passed' ]]; then rc=1 result='nothing was tested'; fi
  ((rc == 0)) || result+=$(grep -c -E '^\[  FAILED  \] .* ms\)$' "$own" | sed -E 's/^0$//; s/.+/, & failed/' || true)
  row "$name" "$((SECONDS - begin)) s" "$result"
  if ((rc != 0)); then
    touch "$lines/failed"
    printf '\n-- %s: %s\n' "$name" "$result"
    excerpt "$own" | cut -c1-240 | awk '!seen[$0]++'
  fi
  [[ $show == no ]] || { printf '\n== %s\n' "$name" && cat "$own"; }
  rm -f "$own"
}
begin() { count=$((count + 1)) && step "$@"; }
measure() { show=yes && begin "$@" && show=no; }
# absent NAME WHY: the line of what cannot be run here.
absent() { count=$((count + 1)) && row "$1" - "$2"; }
# Runs beside others, whose end `wait` waits for.
beside() {
  count=$((count + 1))
  while (($(jobs -rp | wc -l) >= 4)); do wait -n; done
  step "$@" &
}

readonly kernels=(matmul products norm mix gate readout draw wkv4 wkv6 wkv6_around wkv7 wkv7_around cuda_chunks)
readonly whole=(cuda_golden_test cuda_steps_test cuda_identity_test cuda_row_identity_test)

configure=(-S . -B "$build" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CUDA_ARCHITECTURES=$arch" -DRIVERRUN_CUDA_STRICT=OFF
  -DCMAKE_GTEST_DISCOVER_TESTS_DISCOVERY_MODE=PRE_TEST)
[[ -f $build/CMakeCache.txt ]] || ! command -v ninja >/dev/null || configure+=(-G Ninja)
places=$prefix${prefix:+;$prefix/usr}
# cuBLAS may be there as PyTorch brings it, and not with nvcc.
toolkit=$(dirname "$(dirname "$(realpath "$(command -v nvcc)")")")
wheels=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0] + "/cu13")' 2>/dev/null || true)
if [[ -n $wheels ]]; then
  compgen -G "$toolkit/include/cublasLt.h" >/dev/null || compgen -G "$toolkit/targets/*/include/cublasLt.h" >/dev/null || places+=${places:+;}$wheels
  compgen -G "$toolkit/lib*/libcublasLt.so.*" >/dev/null || compgen -G "$toolkit/targets/*/lib/libcublasLt.so.*" >/dev/null ||
    export LD_LIBRARY_PATH="$wheels/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
[[ -z $places ]] || configure+=("-DCMAKE_PREFIX_PATH=$places")
# Where Debian puts it, for a compiler that does not search there.
for found in "$prefix"/usr/lib/*/cmake/GTest; do [[ ! -d $found ]] || configure+=("-DGTest_DIR=$found"); done

begin configure 120 cmake "${configure[@]}"
keep_going=(-k)
[[ ! -f $build/build.ninja ]] || keep_going=(-k 0)
if [[ -e $lines/001 ]] && { [[ -e $lines/failed ]] || ! grep -q 'CUDA=ON' "$log"; }; then
  cat "$lines"/0*
  echo "gpu.sh: nothing can be built, see above; without GoogleTest and nlohmann-json: tests/gpu.sh --fetch build/packages, elsewhere" >&2
  exit 2
fi
begin build 420 cmake --build "$build" -j "$(nproc)" --target "${kernels[@]/%/_test}" "${whole[@]}" device_bench model_bench -- "${keep_going[@]}"

for op in "${kernels[@]}"; do begin "kernels: $op" 60 env RIVERRUN_TEST_MIRRORED=cuda "$build/tests/${op}_test" --gtest_brief=1; done
begin 'kernels: wkv7, one SM to a head' 60 env RIVERRUN_GPU_CLUSTERS=0 RIVERRUN_TEST_MIRRORED=cuda "$build/tests/wkv7_test" --gtest_brief=1
begin 'models' 120 "$build/tests/cuda_golden_test" --gtest_brief=1
begin 'recorded steps' 60 "$build/tests/cuda_steps_test" --gtest_brief=1
begin 'ring' 120 "$build/tests/cuda_identity_test" --gtest_brief=1
begin 'rows of products' 120 "$build/tests/cuda_row_identity_test" --gtest_brief=1 --gtest_filter='-*65536x*'
measure 'rates' 60 "$build/device_bench" cuda 4096 16384
measure 'whole model' 120 "$build/model_bench" cuda rwkv7 1.5b

# Little of everything: the tools run it up to a hundred times slower. racecheck is for shared memory, initcheck for device memory,
# which the kernel tests fill whole. Several at once: nothing is measured beside them.
sanitize() {
  local tool=$1 what=$2 limit=$3 options=() switches=()
  shift 3
  while [[ $1 == RIVERRUN_* ]]; do switches+=("$1") && shift; done
  # Errors that CUDA's libraries ask for and deal with by themselves are none of ours.
  [[ $tool != memcheck ]] || options=(--report-api-errors explicit)
  beside "$tool: $what" "$limit" env RIVERRUN_TEST_MIRRORED=cuda RIVERRUN_GPU_CHECKED_MEMORY=1 RIVERRUN_GPU_DEADLINE=40 "${switches[@]}" compute-sanitizer --tool "$tool" "${options[@]}" --error-exitcode 1 "$@" --gtest_brief=1
}
if command -v compute-sanitizer >/dev/null; then
  short='*ASegmentHas*:*OneTokenOfMany*'
  # Of copies and barriers between the blocks of a cluster racecheck knows too little, and reports what is none.
  sanitize racecheck 'wkv7, one SM to a head' 60 RIVERRUN_GPU_CLUSTERS=0 "$build/tests/wkv7_test" --gtest_filter="$short"
  sanitize synccheck 'wkv7, one SM to a head' 60 RIVERRUN_GPU_CLUSTERS=0 "$build/tests/wkv7_test" --gtest_filter="$short"
  for tool in memcheck synccheck; do sanitize "$tool" wkv7 60 "$build/tests/wkv7_test" --gtest_filter="$short"; done
  for tool in memcheck racecheck; do
    sanitize "$tool" wkv6 60 "$build/tests/wkv6_test" --gtest_filter="$short"
    sanitize "$tool" norm 60 "$build/tests/norm_test" --gtest_filter='*ShiftMixAcross*:*EmbedAgrees*'
    sanitize "$tool" matmul 60 "$build/tests/matmul_test" --gtest_filter='*DecodeRows*'
  done
  for tool in memcheck initcheck; do
    sanitize "$tool" models 90 "$build/tests/cuda_golden_test" \
      --gtest_filter='*Logits*n32_cuda_fp32:*Logits*v4_cuda_fp32:*Logits*v6_cuda_*:*Logits*v7_cuda_*'
  done
  sanitize memcheck texts 60 "$build/tests/cuda_identity_test" --gtest_filter='*TextsAreTheSame*rwkv7*'
  wait
else
  absent compute-sanitizer 'it is not there'
  touch "$lines/failed"
fi

measure 'whole model, no overlap' 120 env RIVERRUN_GPU_OVERLAP=0 "$build/model_bench" cuda rwkv7 1.5b
measure 'whole model, no graphs' 120 env RIVERRUN_GPU_GRAPHS=0 "$build/model_bench" cuda rwkv7 1.5b
for op in "${kernels[@]}"; do
  begin "operands that come late: $op" 60 env RIVERRUN_TEST_LATE=1 RIVERRUN_TEST_MIRRORED=cuda "$build/tests/${op}_test" --gtest_brief=1
done
measure 'rates of long documents' 120 "$build/device_bench" cuda 4096 131072
measure 'large model' 240 "$build/model_bench" cuda rwkv7 7.2b
begin 'rows of products of the head' 120 "$build/tests/cuda_row_identity_test" --gtest_brief=1 --gtest_filter='*65536x*'
if python3 -c 'import torch; torch.cuda.init()' >/dev/null 2>&1; then
  measure 'products by torch' 60 python3 tests/bench/torch_products.py
else
  absent 'products by torch' 'not measured: no torch with CUDA here'
fi
if PYTHONPATH=$prefix/python python3 -c 'import torch, triton, fla.ops.rwkv7' >/dev/null 2>&1; then
  measure 'flash-linear-attention' 150 env PYTHONPATH="$prefix/python" python3 tests/bench/fla_rwkv7.py 4096 131072
else
  absent flash-linear-attention 'not measured: no torch, triton or fla-core here (--fetch)'
fi

# Products that cuBLASLt has no way for are in the log as warnings, and no errors: they are slower.
warnings=$(sed -n 's/^.* warning /warning: /p' "$log" | sort | uniq -c)
{ printf '\nall steps:\n' && cat "$lines"/[0-9]* && printf '%s\n' "$warnings"; } | tee -a "$log"
[[ ! -e $lines/failed ]]
