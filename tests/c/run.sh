#!/usr/bin/env bash
# Build the C tests and run them: `run.sh native`, `run.sh sanitize` (address and undefined
# behaviour), `run.sh aarch64` (cross compiler and qemu-user, from Debian's packages), or
# `run.sh avx512` (with those instructions emulated, on a CPU that has AVX2).
set -euo pipefail
cd "$(dirname "$0")/../.."
mode=${1:-native}
out=build/c-$mode
flags=(-std=gnu11 -ffp-contract=off -fno-math-errno -fno-trapping-math -fopenmp -Wall -Wextra
    -Werror -Icsrc)
read -ra compiler <<<"${CC:-gcc}" # CC may be two words: ccache gcc
runner=()
isas=(baseline)
[ "$(uname -m)" = x86_64 ] && isas+=(avx2 avx512)
case $mode in
native) flags+=(-O2) ;;
sanitize) flags+=(-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all) ;;
aarch64)
    flags+=(-O2)
    compiler=(aarch64-linux-gnu-gcc)
    runner=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
    isas=(baseline)
    ;;
avx512) flags+=(-O1 -DRUN_ALL=1) ;;
*)
    echo "run.sh: mode must be native, sanitize, aarch64 or avx512, got $mode" >&2
    exit 2
    ;;
esac
avx2=(-mavx2 -mfma)
avx512=("${avx2[@]}" -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
[ "$mode" = avx512 ] && avx512=("${avx2[@]}" -Wno-psabi -include tests/c/emulated.h)
baseline=()

mkdir -p "$out"
rm -f "$out"/*.o # also of sources that are gone
built=("${isas[@]/#/-DCK_BUILT_}")
jobs=()
compile() { # compile OBJECT SOURCE FLAGS...
    local object=$out/$1.o
    "${compiler[@]}" "${flags[@]}" "${@:3}" -c "$2" -o "$object" &
    jobs+=($!)
}
for source in memory team program layout dispatch; do compile $source csrc/$source.c "${built[@]}"; done
for isa in "${isas[@]}"; do
    declare -n own=$isa
    for double in 0 1; do compile $isa$double csrc/isa_$isa.c "${own[@]}" -DCK_DOUBLE=$double; done
done
for test in tests/c/*.c; do compile "$(basename "$test" .c)" "$test"; done
for job in "${jobs[@]}"; do wait "$job"; done
counted=(-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc
    -Wl,--wrap=posix_memalign)
"${compiler[@]}" "${flags[@]}" "${counted[@]}" "$out"/*.o -lm -o "$out/tests"
# Threads that wait do not spin: there are more of them than cores. And they live until the process
# ends, which is not a leak.
OMP_WAIT_POLICY=passive ASAN_OPTIONS=detect_leaks=0 "${runner[@]}" "$out/tests"
