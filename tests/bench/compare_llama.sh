#!/usr/bin/env bash
# Compares prefill speed with llama.cpp: the same random weights in the shape of the 0.1B model, the same token ids, bf16,
# the same number of threads, by turns in one run. Prints a markdown table, the ratio, and how alike the two results are.
#
#   tests/bench/compare_llama.sh [options]
#
#   --model FILE        a bf16 RWKV-7 .safetensors; default: random weights, made in build/bench
#   --riverrun FILE     the program; default: build/release/riverrun (make_random_model is looked for beside it)
#   --tokens T          length of the document; default 4096
#   --rounds R          default 5
#   --threads N         default 2
#   --micro-batch M     of llama.cpp; default 512
#   --prepare           only build llama.cpp and convert the model
#   --help
#
# llama.cpp is the one inside the PyPI package llama-cpp-python, built from source for this machine into
# build/peers/venv at the first call (ten minutes and more; CMAKE_BUILD_PARALLEL_LEVEL says on how many cores).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly here root work=$root/build/bench venv=$root/build/peers/venv
readonly llama_package=llama-cpp-python==0.3.36

fail() {
  printf 'compare_llama: %s\n' "$@" >&2
  exit 1
}

model='' riverrun=$root/build/release/riverrun tokens=4096 rounds=5 threads=2 micro_batch=512 prepare=no
while (($#)); do
  case $1 in
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --prepare) prepare=yes; shift ;;
    --model | --riverrun | --tokens | --rounds | --threads | --micro-batch)
      (($# > 1)) || fail "$1 needs a value"
      name=${1#--}
      printf -v "${name//-/_}" '%s' "$2"
      shift 2 ;;
    *) fail "unknown option $1; see --help" ;;
  esac
done
[[ -x $riverrun ]] || fail "there is no program $riverrun; build it: cmake --preset release && cmake --build --preset release"

mkdir -p "$work" "${venv%/*}"
if ! "$venv/bin/python" -c 'import gguf, h5py, llama_cpp' 2>/dev/null; then
  /usr/bin/python3 -m venv "$venv" || fail "python3 makes no venv (package python3-venv)"
  CMAKE_ARGS="-DGGML_NATIVE=ON" "$venv/bin/pip" install --no-binary llama-cpp-python "$llama_package" gguf h5py >"$work/pip.log" 2>&1 ||
    fail "$llama_package could not be built; see $work/pip.log"
fi

if [[ -z $model ]]; then
  model=$work/random-0.1b.safetensors
  if [[ ! -s $model ]]; then
    "$(dirname "$riverrun")/make_random_model" --seed 1 --output "$model.new" && mv "$model.new" "$model"
  fi
fi
[[ -f $model ]] || fail "there is no model $model"
vocabulary=$root/data/rwkv_vocab_v20230424.txt
[[ -f $vocabulary ]] || fail "there is no $vocabulary; cluster/install_deps.sh --vocab fetches it"
gguf=$work/$(basename "$model" .safetensors).gguf
if [[ ! -s $gguf || $model -nt $gguf ]]; then
  "$venv/bin/python" "$here/../golden/write_gguf.py" "$model" "$vocabulary" "$gguf.new" && mv "$gguf.new" "$gguf"
fi
[[ $prepare == no ]] || exit 0
exec "$venv/bin/python" "$here/compare_llama.py" --riverrun "$riverrun" --model "$model" --gguf "$gguf" --work "$work" \
  --tokens "$tokens" --rounds "$rounds" --threads "$threads" --micro-batch "$micro_batch"
