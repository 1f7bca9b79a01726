#!/usr/bin/env bash
# Installs what riverrun is built and tested with, on Debian 12 or Ubuntu 24.04, and puts the RWKV World vocabulary
# into data/. Run it as often as you like: what is there already is left alone.
#
#   cluster/install_deps.sh              packages and vocabulary
#   cluster/install_deps.sh --tests      also SLURM, for tests/cluster, and shellcheck
#   cluster/install_deps.sh --packages   packages only
#   cluster/install_deps.sh --vocab      the vocabulary only (needs no root)
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config git ca-certificates
  libopenmpi-dev openmpi-bin libhdf5-dev libboost-program-options-dev libboost-context-dev libdnnl-dev libhwy-dev
  nlohmann-json3-dev libsimdjson-dev libicu-dev libzstd-dev zlib1g-dev libssl-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  bible-kjv hdf5-tools python3 python3-numpy python3-h5py python3-pip
)
readonly test_packages=(slurmctld slurmd slurm-client shellcheck)

# The vocabulary is published inside the PyPI package of the reference implementation.
readonly vocab_package=rwkv==0.8.32
readonly vocab_member=rwkv/rwkv_vocab_v20230424.txt
readonly vocab_sha256=e6dee3d4e31b4d5c40ac99508ac6c701ceef4bed681bf2167ce9a908552bca89

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly vocab_file=$root/data/${vocab_member##*/}

fail() {
  printf 'install_deps: %s\n' "$@" >&2
  exit 1
}

# Sets `missing` to those of `packages` that dpkg does not call installed.
find_missing() {
  local package
  missing=()
  for package in "${packages[@]}"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
}

install_packages() {
  command -v dpkg-query >/dev/null || fail "this script knows Debian 12 and Ubuntu 24.04 only: there is no dpkg here" \
    "elsewhere, install the equivalents of: ${packages[*]}"
  local missing as_root=()
  find_missing
  if ((${#missing[@]} == 0)); then
    echo "install_deps: all ${#packages[@]} packages are installed"
    return
  fi
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "installing packages needs root, and there is no sudo here" \
      "run as root: apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
  fi
  # Another apt may be running (unattended upgrades on a fresh machine): wait for its lock instead of failing.
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
             apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 -y)
  echo "install_deps: installing ${missing[*]}"
  # One foreign source that does not answer makes update fail although the packages below can be had; whether they
  # can is for install to say.
  "${apt[@]}" update || echo "install_deps: apt-get update reported errors; going on with the package lists there are" >&2
  "${apt[@]}" install --no-install-recommends "${missing[@]}" || fail "apt-get could not install: ${missing[*]}" \
    "see its messages above; on Ubuntu some of them are in 'universe' (add-apt-repository universe)"
  find_missing
  ((${#missing[@]} == 0)) || fail "apt-get ended without an error, but these are still missing: ${missing[*]}"
}

is_the_vocabulary() { [[ -f $1 ]] && sha256sum --check --status <<<"$vocab_sha256  $1"; }

vocab_failed() {
  fail "$1" \
    "needed: ${vocab_member##*/} (sha256 $vocab_sha256)," \
    "which is $vocab_member inside the wheel of the PyPI package $vocab_package, with LF line ends;" \
    "put it by hand at $vocab_file and run this again"
}

fetch_vocab() {
  if is_the_vocabulary "$vocab_file"; then
    echo "install_deps: $vocab_file is there"
    return
  fi
  # The distribution's own python3, which has pip from above; `download` installs nothing, and a wheel runs nothing.
  local python=/usr/bin/python3
  "$python" -m pip --version >/dev/null 2>&1 || vocab_failed "$python has no pip to download the vocabulary with"
  download=$(mktemp -d)
  trap 'rm -rf "$download"' EXIT
  "$python" -m pip download --quiet --disable-pip-version-check --retries 5 --no-deps --only-binary :all: \
    --dest "$download" "$vocab_package" || vocab_failed "could not download $vocab_package from PyPI"
  local wheels=("$download"/rwkv-*.whl)
  "$python" -m zipfile -e "${wheels[0]}" "$download" || vocab_failed "${wheels[0]##*/} is no readable wheel"
  # The wheel's copy has CRLF line ends; the one that models are published with has LF.
  sed 's/\r$//' "$download/$vocab_member" >"$download/vocab.txt"
  is_the_vocabulary "$download/vocab.txt" || vocab_failed "$vocab_package does not hold the expected vocabulary"
  mkdir -p "${vocab_file%/*}"
  install -m 644 "$download/vocab.txt" "$vocab_file.new"
  mv "$vocab_file.new" "$vocab_file"
  echo "install_deps: wrote $vocab_file"
}

case ${1-} in
  "") install_packages ;;
  --packages)
    install_packages
    exit
    ;;
  --tests)
    packages+=("${test_packages[@]}")
    install_packages
    ;;
  --vocab) ;;
  *) echo "usage: cluster/install_deps.sh [--tests | --packages | --vocab]" >&2; exit 2 ;;
esac
fetch_vocab
