#!/usr/bin/env bash
# stage_model.sh MODEL DIR: copies a model onto this node's own disk and prints where it is then.
#
# MODEL is a weights file or a folder of them; of a model in shards the folder, not the index. Of any number of calls at the
# same time on a node one copies, and the others wait for it. A copy is checked against the bytes that were read; one that is
# there already is used if it still has the checksum that it had. Vocabularies beside a weights file are copied along, since
# the program looks for them there.
set -euo pipefail
(($# == 2)) || { echo "usage: stage_model.sh MODEL DIR" >&2; exit 2; }

fail() {
  echo "stage_model.sh: $(hostname): $*" >&2
  exit 1
}

[[ -e $1 ]] || fail "$1: there is no such model"
model=$(realpath "$1")
[[ $1 != *.index.json && $model != *.index.json ]] || fail "$1 is the index of a model in shards, which lie elsewhere; name their folder"
if [[ -d $model ]]; then
  mapfile -t files < <(find -L "$model" -maxdepth 1 -type f | sort)
else
  files=("$model")
  for name in rwkv_vocab_v20230424.txt 20B_tokenizer.json tokenizer.json; do
    [[ ! -f ${model%/*}/$name ]] || files+=("${model%/*}/$name")
  done
fi

# The same model, unchanged, has the same place; another of that name has another.
key=$(stat -L -c '%n %s %Y' "$model" "${files[@]}" | sha256sum | cut -c 1-16)
place=$2/riverrun-$key
mkdir -p "$place"
exec 9>"$place/.lock"
flock -w 3600 9 || fail "waited an hour for another process to copy $model into $place"

checksum() { sha256sum | cut -c 1-64; }

for file in "${files[@]}"; do
  copy=$place/${file##*/}
  if [[ -f $copy && -f $copy.sha256 && $(checksum <"$copy") == "$(<"$copy.sha256")" ]]; then continue; fi
  rm -f "$copy.sha256"
  # What was read is summed on the way, what was written is read again.
  read_sum=$(tee "$copy.partial" <"$file" | checksum) || fail "could not copy $file to $copy; is the disk full?"
  [[ $(checksum <"$copy.partial") == "$read_sum" ]] || fail "$copy.partial does not hold what was written to it"
  mv "$copy.partial" "$copy"
  echo "$read_sum" >"$copy.sha256"
done

if [[ -d $model ]]; then echo "$place"; else echo "$place/${model##*/}"; fi
