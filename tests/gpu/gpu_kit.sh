#!/usr/bin/env bash
# Makes the folder that checks a GPU on another machine: what `./dev gpu-kit` runs once all is built.
set -euo pipefail

if (($# != 2)); then
  echo "usage: ${0##*/} BAZEL_BIN FOLDER" >&2
  exit 2
fi
readonly bin=$1 folder=$2 most_mib=60
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly source

rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/lib" "$folder/waves"
for file in server/bwrtd client/bwrtctl tests/bench/gpu/gpu_bench runtime/libbwrt_cuda.so; do
  strip -o "$folder/bin/${file##*/}" "$bin/$file"
done
# Debian's shared libraries that another machine may lack; the C and C++ libraries it has.
for file in bwrtd bwrtctl gpu_bench; do
  ldd "$folder/bin/$file"
done | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u |
  while read -r name path; do
    case $name in
      libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | libstdc++.so.* | libgcc_s.so.*) ;;
      *) cp -L "$path" "$folder/lib/$name" ;;
    esac
  done
cp "$source/gpu_run.py" "$folder/"
cp "$source"/*.json "$folder/waves/"
cat >"$folder/dev" <<'SCRIPT'
#!/usr/bin/env bash
# ./dev check-gpu | verify-gpu | bench-gpu [--json] [--gpu N] [--waves N] [--seed N] [--out FILE] [-- OPTION...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec python3 "$here/gpu_run.py" "$@"
SCRIPT
chmod +x "$folder/dev"

mib=$(du -sm --apparent-size "$folder" | cut -f1)
if ((mib > most_mib)); then
  echo "gpu-kit: $folder has $mib MiB, more than the $most_mib that it may have" >&2
  exit 1
fi
echo "made $folder, $mib MiB: carry it to a machine with a GPU and run its ./dev check-gpu, verify-gpu or bench-gpu"
