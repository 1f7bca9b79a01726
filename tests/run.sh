#!/usr/bin/env bash
# Builds riverrun from a fresh clone and runs its tests: first everything but the GPU tests in the release build,
# then a chosen part under the address and undefined-behaviour sanitizers and under the thread sanitizer.
#
#   tests/run.sh            all of that; under the address sanitizer, what takes in foreign bytes
#   tests/run.sh --full     under the address sanitizer kernels, models, transports and the ring as well, and more of the ring under that
#                           for threads: before a release, and after a change there
#   tests/run.sh --quick    without the sanitizers
#
# The last line is "N passed, N failed" over all of it; the exit code is 0 only when nothing failed.
set -euo pipefail

# Which tests run where: what is built, and the ctest labels to leave out. The sanitizers take the fast tests
# of code that handles foreign bytes or shares memory between threads. Outside libraries are not instrumented, so
# tests that start MPI are left to the release build.
readonly release_without='gpu'
readonly asan_targets=(tests/{core,text,checkpoint,output,fuzz}/all)
readonly full_asan_targets=(tests/{plan,kernels,model,generate,transport,ring}/all checkpoint_file_test run_lock_test)
readonly asan_without='gpu|lint|mpi|slow|jobs|cluster'
# Without --full the kernels' test programs are not built, and some of their tests stand in the list all the same.
readonly unbuilt_asan='|kernels'
# What takes minutes there and touches no memory of its own: statistics over many draws, models run token by token, the plain
# loops in a second precision, and the same programs once more as on another CPU.
# The emulator of CUDA runs every kernel test there, and golden models of every kind of generation once.
readonly golden_emulated='GoldenTest.*/v(5_0|5_1|5_2_n|6_n|7_n).*cuda_emulated|GoldenTest.*/v(4|5_2|6|7a)_cuda_emulated_bf16'
# Of the ring on emulated kernels and of the ring's identities one kind or two: kernels and models have tests of their own.
readonly identities='CudaIdentityTest.*(bf16|rwkv4|rwkv6)|/IdentityTest.*(rwkv5|rwkv6|rwkv7a)'
readonly slow_units='Sampling.GivesEveryTokenItsShare|Draws.AreUniform|EqualsBruteForceOnTheRealVocabulary'
readonly asan_not="GreedyTest|$slow_units|GoldenTest.*reference_bf16|_test_avx(2|512)|$identities|"$golden_emulated
readonly tsan_targets=(tests/{core,transport,ring}/all checkpoint_file_test run_lock_test)
readonly tsan_without='gpu|lint|mpi|slow|jobs|cluster'
# What threads share does not depend on the generation or the type of the weights, nor on how a corpus is cut: the thread sanitizer
# takes the ring's tests in fp32 of one generation, with --full of a second one, and leaves out those that vary nothing but the corpus.
# The programs run once more as on another CPU, and the fuzz seeds, belong to folders that are not built there.
readonly tsan_not='(Identity|Restart|Fork|Verify|Device)Test.*(rwkv5|rwkv6|rwkv7a|bf16|int8)|^fuzz_|_test_avx(2|512)'
readonly tsan_second='|(Identity|Restart|Fork|Verify|Device)Test.*rwkv4|MutationTest|IdentityTest.(AnyBlockSize|AloneOrAnywhere)'

export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS-ignore_noninstrumented_modules=1}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "$# ${1-}" in
  "0 ") sanitizers=yes more_asan_targets=() also_without=$unbuilt_asan also_not=$tsan_second ;;
  "1 --full") sanitizers=yes more_asan_targets=("${full_asan_targets[@]}") also_without='' also_not='' ;;
  "1 --quick") sanitizers=no ;;
  *) echo "usage: tests/run.sh [--quick | --full]" >&2; exit 2 ;;
esac

cores=$(nproc)
log=$(mktemp)
failures=$(mktemp)
build_logs=$(mktemp -d)
declare -A builders=()
passed=0 failed=0 skipped=0
stage="before the first stage" finished=no

# However the script ends, its last line is the verdict, and what failed stands just above it: a kept log is often only the
# end of one. A stage that could not be carried out is one failure.
verdict() {
  local builder
  for builder in "${builders[@]}"; do kill -- "-$builder" 2>/dev/null || true; done
  cat "$failures"
  rm -rf "$log" "$failures" "$build_logs"
  if [[ $finished == no ]]; then
    failed=$((failed + 1))
    echo "run.sh: failed: $stage" >&2
  fi
  ((skipped == 0)) || echo "$skipped skipped"
  echo "$passed passed, $failed failed"
  ((failed == 0)) || exit 1
}
trap verdict EXIT

begin() {
  stage=$1
  printf '\n== %s (%d s)\n' "$stage" "$SECONDS"
}

# failed_tests STAGE: the tests that failed in $log, each with the last lines that it printed.
failed_tests() {
  awk -v stage="$1" -v most=40 '
    function flush_one(i) {
      if (name == "") return
      printf "\n== failed in %s: %s\n", stage, name
      for (i = count > most ? count - most : 0; i < count; i++) print lines[i]
      name = ""
    }
    / Test +#[0-9]+: / || /^ +Start +[0-9]+: / || /^[0-9]+% tests passed/ {
      if (/\*\*\*/ && !/\*\*\*Skipped/) {
        flush_one(); name = $0; sub(/^.* Test +#/, "#", name); gsub(/\.\.\.+/, "... ", name); count = 0
      } else {
        flush_one()
      }
      next
    }
    name != "" { lines[count++] = $0 }
    END { flush_one() }' "$log"
}

# under PRESET COMMAND...: kernels that spread addresses over more bits than GCC's thread sanitizer expects make it stop at start.
under() {
  local preset=$1
  shift
  if [[ $preset == tsan ]] && setarch "$(uname -m)" -R true 2>/dev/null; then
    setarch "$(uname -m)" -R "$@"
  else
    "$@"
  fi
}

# run_ctest PRESET WITHOUT-LABELS [NOT-NAMED]: runs them and adds ctest's own totals to ours.
run_ctest() {
  begin "test: $1"
  # One more at once than there are cores: some tests wait most of their time.
  # A test program that was not built shows as NAME_NOT_BUILT; in a sanitizer build most are left out on purpose.
  local leave_out=()
  [[ $1 == release ]] || leave_out=(--exclude-regex "_NOT_BUILT\$${3:+|$3}")
  local code=0 total='' bad missed
  under "$1" ctest --preset "$1" -j $((cores + 1)) --label-exclude "$2" "${leave_out[@]}" 2>&1 | tee "$log" || code=$?
  read -r bad total <<<"$(sed -nE 's/^.* tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$log")"
  if [[ -z $total ]]; then
    echo "run.sh: ctest gave no totals (exit code $code)" >&2
    return 1
  fi
  ((bad == 0)) || failed_tests "$1" >>"$failures"
  missed=$(grep -cE '^[[:space:]]+[0-9]+ - .* \(Skipped\)$' "$log" || true)
  passed=$((passed + total - bad - missed)) failed=$((failed + bad)) skipped=$((skipped + missed))
  if (((code == 0) != (bad == 0))); then
    echo "run.sh: ctest's exit code $code does not fit its totals" >&2
    return 1
  fi
}

# build_beside PRESET PRIORITY TARGET...: in the background, in a process group of its own so that all of it can be ended.
build_beside() {
  local preset=$1 priority=$2
  shift 2
  set -m
  {
    cmake --preset "$preset" &&
      under "$preset" nice -n "$priority" cmake --build --preset "$preset" -j "$cores" --target "$@"
  } >"$build_logs/$preset" 2>&1 &
  builders[$preset]=$!
  set +m
}

# sanitized PRESET WITHOUT-LABELS NOT-NAMED: tests what build_beside builds.
sanitized() {
  local code=0
  begin "build: $1"
  wait "${builders[$1]}" || code=$?
  unset "builders[$1]"
  cat "$build_logs/$1"
  ((code == 0)) || return "$code"
  run_ctest "$@"
}

begin "packages"
cluster/install_deps.sh --tests

begin "build: release"
# One kind of GPU: where there is nvcc, this only shows that the kernels compile and link.
cmake --preset release -DCMAKE_CUDA_ARCHITECTURES=90
cmake --build --preset release -j "$cores"
if [[ $sanitizers == yes ]]; then
  # The release tests wait for a third of their time. What the sanitizers need is built meanwhile, behind them and one after the other.
  build_beside asan 10 "${asan_targets[@]}" "${more_asan_targets[@]}"
  build_beside tsan 19 "${tsan_targets[@]}"
fi
run_ctest release "$release_without"

if [[ $sanitizers == yes ]]; then
  sanitized asan "$asan_without$also_without" "$asan_not"
  sanitized tsan "$tsan_without" "$tsan_not$also_not"
fi
finished=yes
