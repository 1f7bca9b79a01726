#!/usr/bin/env bash
# Compares riverrun with other programs on the same random weights and the same token ids, by turns in one run: prefill of one
# document, and decoding of one sequence; or with --documents the embedding of a corpus, by llama.cpp up to 64 documents at once.
# Prints a markdown table with ratios, and how alike the results are.
#
#   tests/bench/compare.sh [options]
#
#   --generation NAME   of the random weights; default rwkv7. llama.cpp runs rwkv6 and rwkv7, the rwkv package all.
#   --shape SIZE        of the random weights, as released; default 0.1b
#   --model FILE        a .safetensors instead, with the official names
#   --precision TYPE    fp32: of weights and products, for all programs; bf16: of the weights, and of products where the program has them here
#                       (llama.cpp and riverrun multiply in fp32 where the CPU has no bf16 products). Default: bf16 where the CPU multiplies it
#   --threads "A B"     numbers of threads, one table line each; default "1 2"
#   --tokens T          of the document, or of all together; default 1024
#   --documents N       of half to one and a half times their mean length; default 1
#   --steps S           of decoding; default 32
#   --rounds R          default 5
#   --peers "A B"       default "llama.cpp rwkv"; rwkv is the rwkv package with torch
#   --target NAME       native, or avx2: all programs as on a machine without AVX-512; default native
#   --micro-batch M     of llama.cpp; default 512
#   --riverrun FILE     the program; default: build/release/riverrun (make_random_model is looked for beside it)
#   --prepare           only install the peers and convert the model
#   --help
#
# The peers are PyPI packages, installed into build/peers at the first call. llama.cpp is the one inside llama-cpp-python, built
# from source for this machine, and a second time without AVX-512 for --target avx2 (ten minutes and more each;
# CMAKE_BUILD_PARALLEL_LEVEL says on how many cores). torch may bring gigabytes of CUDA libraries; with
# PIP_EXTRA_INDEX_URL set to PyTorch's index of wheels for the CPU, and PIP_PREFER_BINARY=1, there may be one without.
set -euo pipefail

# shellcheck source=tests/bench/inputs.sh
source "$(dirname "${BASH_SOURCE[0]}")/inputs.sh"

readonly peers_folder=$root/build/peers
readonly venv=$peers_folder/venv llama_avx2=$peers_folder/llama-avx2
readonly llama_package=llama-cpp-python==0.3.36 rwkv_package=rwkv==0.8.32
readonly vocabulary=$root/data/rwkv_vocab_v20230424.txt

shape=0.1b precision='' threads="1 2" tokens=1024 documents=1 steps=32 rounds=5 peers="llama.cpp rwkv" target=native micro_batch=512 prepare=no
take_options "generation shape model precision threads tokens documents steps rounds peers target micro-batch riverrun prepare!" "$@"
[[ -n $precision ]] || { grep -qwE 'avx512_bf16|amx_bf16' /proc/cpuinfo && [[ $target == native ]] && precision=bf16 || precision=fp32; }
[[ $precision =~ ^(fp32|bf16)$ ]] || fail "--precision is $precision, but can be fp32 or bf16"
[[ $target =~ ^(native|avx2)$ ]] || fail "--target is $target, but can be native or avx2"
wants() { [[ " $peers " == *" $1 "* ]]; }
for peer in $peers; do [[ $peer =~ ^(llama.cpp|rwkv)$ ]] || fail "--peers names $peer, but there are llama.cpp and rwkv"; done

# install LOG ARGUMENTS...: pip, whose output goes into a log.
install() {
  local log=$work/$1
  shift
  "$venv/bin/pip" install "$@" >"$log" 2>&1 || fail "this failed: pip install $*" "see $log"
}

find_model
mkdir -p "$peers_folder"
[[ -x $venv/bin/python ]] || /usr/bin/python3 -m venv "$venv" || fail "python3 makes no venv (package python3-venv)"
can_import() { "$venv/bin/python" -c "import $1" 2>/dev/null; }
can_import h5py,numpy || install pip.log h5py numpy
if wants llama.cpp; then
  can_import gguf || install pip-gguf.log gguf
  can_import llama_cpp || CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" install pip-llama.log --no-binary llama-cpp-python "$llama_package"
  if [[ $target == avx2 && ! -d $llama_avx2/llama_cpp ]]; then
    CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=OFF -DLLAVA_BUILD=OFF" \
      install pip-llama-avx2.log --no-deps --no-cache-dir --no-binary llama-cpp-python --target "$llama_avx2" "$llama_package"
  fi
fi
if wants rwkv && ! can_import torch,rwkv; then install pip-rwkv.log torch "$rwkv_package"; fi

base=$work/$(basename "$model" .safetensors)
readonly base
if wants llama.cpp; then
  [[ -f $vocabulary ]] || fail "there is no $vocabulary; cluster/install_deps.sh --vocab fetches it"
  gguf=$base-$precision.gguf
  if [[ ! -s $gguf || $model -nt $gguf ]]; then
    "$venv/bin/python" "$here/../golden/write_gguf.py" "$model" "$vocabulary" "$gguf.new" "$precision" && mv "$gguf.new" "$gguf"
  fi
fi
if wants rwkv && [[ ! -s $base.pth || $model -nt $base.pth ]]; then
  "$venv/bin/python" "$here/write_pth.py" "$model" "$base.pth.new" && mv "$base.pth.new" "$base.pth"
fi
[[ $prepare == no ]] || exit 0

if [[ $target == avx2 ]]; then
  # riverrun, torch (its own kernels, oneDNN, MKL), and the other build of llama.cpp.
  export RIVERRUN_CPU_TARGET=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 PYTHONPATH=$llama_avx2
fi
# shellcheck disable=SC2086  # threads and peers are words
exec "$venv/bin/python" "$here/compare.py" --riverrun "$riverrun" --model "$model" --gguf "${gguf-}" --pth "$base.pth" --work "$work" \
  --precision "$precision" --threads $threads --tokens "$tokens" --documents "$documents" --steps "$steps" --rounds "$rounds" --peers $peers \
  --micro-batch "$micro_batch" --target "$target"
