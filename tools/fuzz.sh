#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh SECONDS - runs each fuzzer of build-fuzz/fuzz for that long. Called by ./dev fuzz.
#
# fuzz/corpus/NAME, where it is, holds seeds; what a run finds stays in build-fuzz/corpus/NAME.
set -eu

ran=0
for fuzzer in $(find build-fuzz/fuzz -name 'fuzz_*' -type f -perm -u+x | sort); do
	name=${fuzzer##*/fuzz_}
	mkdir -p "build-fuzz/corpus/$name"
	seeds=fuzz/corpus/$name
	[ -d "$seeds" ] || seeds=
	echo "== $name"
	"$fuzzer" -max_total_time="$1" -print_final_stats=1 -verbosity=0 \
		-artifact_prefix="build-fuzz/$name-" "build-fuzz/corpus/$name" ${seeds:+"$seeds"}
	ran=$((ran + 1))
done
echo "$ran fuzzers ran, none found a fault"
[ $ran -gt 0 ]
