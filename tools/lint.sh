#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lint.sh - what a reader should not have to look for. Called by ./dev lint.
# shellcheck disable=SC2317 # the checks are called through check()
set -u
. tools/lib.sh

FILE_LINES=500
FAILED=0

check() { # NAME COMMAND...
	name=$1
	shift
	if "$@"; then
		say "lint: $name: ok"
	else
		say "lint: $name: FAILED"
		FAILED=1
	fi
}

sources() { # PATHSPEC...
	git ls-files --cached --others --exclude-standard -- "$@"
}

file_length() {
	sources '*.c' '*.h' '*.py' '*.sh' dev | xargs wc -l |
		awk -v max="$FILE_LINES" '$2 != "total" && $1 > max { print $2 ": " $1 " lines"; bad = 1 }
			END { exit bad }'
}

format() {
	sources '*.c' '*.h' | xargs clang-format --dry-run --Werror
}

tidy() {
	tree build-clang --native-file tools/native/clang.ini &&
		sources 'src/*.c' ':!src/observe/bpf' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build-clang 2>/dev/null
}

# cppcheck 2.10 takes an expression that is a block for an error of syntax: MIN and MAX are those of
# the .cfg. It also takes what is filled in through a second pointer for empty, and knows no cleanup
# attribute.
check_cpp() {
	tree build-clang --native-file tools/native/clang.ini &&
		cppcheck --quiet --project=build-clang/compile_commands.json \
			--file-filter='*src/*' -i build-clang \
			--library=tools/cppcheck.cfg -UMIN -UMAX \
			--enable=warning,performance,portability --error-exitcode=1 \
			--suppress='uninitdata:*/base/text.c' --suppress='memleak:*/base/json_read.c'
}

analyze() {
	targets="reeve reeved reeve-keeper"
	tree build-analyzer --native-file tools/native/analyzer.ini
}

check "file length" file_length
check clang-format format
check clang-tidy tidy
check cppcheck check_cpp
check "gcc -fanalyzer" analyze
exit $FAILED
