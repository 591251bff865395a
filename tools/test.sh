#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# test.sh - runs every test: unit tests with gcc, with clang and with sanitizers; end-to-end tests
# over the plain and the sanitized programs, and as an ordinary user. Called by ./dev test.
set -u
. tools/lib.sh

NOBODY=65534
LIMIT=900 # seconds, for one runner
JOBS=$(nproc)
RESULTS=$(mktemp -d /tmp/reeve-test.XXXXXX)
HOME_OF_USER=$(mktemp -d /tmp/reeve-user.XXXXXX)
[ "$(id -u)" -ne 0 ] || chown $NOBODY:$NOBODY "$HOME_OF_USER"
trap 'rm -rf "$RESULTS" "$HOME_OF_USER"' EXIT
trap 'exit 130' INT TERM

# Runs a command as `name` and keeps its exit status for the tally; the command leaves its report in
# $RESULTS/$name.xml.
runner() { # NAME COMMAND...
	name=$1
	shift
	say "== $name"
	"$@" >&2
	runner_status=$?
	echo $runner_status >"$RESULTS/$name.status"
	return $runner_status
}

# The sanitizers of clang 14 put their shadow where a kernel with more than 28 bits of address
# randomisation may have put a library.
steady() {
	if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ]; then
		setarch -R "$@"
	else
		"$@"
	fi
}

unit() { # DIR [UID HOME]
	build=$1
	shift
	steady /usr/bin/python3 -B tools/unit.py "$build" "$RESULTS/$name.xml" "$@"
}

PYTEST="timeout --kill-after=10 $LIMIT /usr/bin/python3 -B -m pytest -q -p no:cacheprovider
	-n $JOBS --timeout=120"

pytest() { # DIR TESTS
	export REEVE_BUILD="$PWD/$1"
	# shellcheck disable=SC2086
	steady $PYTEST --junitxml="$RESULTS/$name.xml" "$2"
}

# What `reeve daemon install --observe` does, for programs that are not root's own: CAP_NET_ADMIN,
# CAP_PERFMON and CAP_BPF, permitted, as struct vfs_cap_data has them.
lend() { # DIR
	cp "$1/reeve-observe-helper" "$1/tests/truth" &&
		/usr/bin/python3 -B -c 'import os, struct, sys
for path in sys.argv[1:]:
    granted = struct.pack("<5I", 0x02000000, 1 << 12, 0, 1 << 6 | 1 << 7, 0)
    os.setxattr(path, "security.capability", granted)' \
			"$1/reeve-observe-helper" "$1/tests/truth/reeve-observe-helper"
}

# From copies that the user can read, with a home of its own.
pytest_as_user() { # DIR TESTS [WHICH: with BPF lent to the user]
	mkdir -p "$HOME_OF_USER/$1/tests" &&
		find "$1" -maxdepth 1 -type f -name 'reeve*' -exec cp {} "$HOME_OF_USER/$1" \; &&
		cp -R "$1/tests/torture" "$1/tests/truth" "$HOME_OF_USER/$1/tests" &&
		cp -R docs examples man tests "$HOME_OF_USER" && chown -R $NOBODY:$NOBODY "$HOME_OF_USER" &&
		{ [ $# -eq 2 ] || lend "$HOME_OF_USER/$1"; } &&
		(
			cd "$HOME_OF_USER" || exit 1
			# shellcheck disable=SC2086
			setpriv --reuid $NOBODY --regid $NOBODY --clear-groups --reset-env \
				env HOME="$PWD" REEVE_BUILD="$PWD/$1" \
				$PYTEST --junitxml="$PWD/report.xml" "$2" ${3:+-k "$3"}
		)
	user_status=$?
	mv "$HOME_OF_USER/report.xml" "$RESULTS/$name.xml"
	return $user_status
}

# A tree that cannot be built is one failure, and its tests do not run.
if runner build tree build; then
	runner unit unit build
	runner e2e pytest build tests/e2e
	runner truth pytest build tests/truth
	if [ "$(id -u)" -eq 0 ]; then
		runner unit-user unit build $NOBODY "$HOME_OF_USER"
		runner e2e-user pytest_as_user build tests/e2e
		runner truth-user pytest_as_user build tests/truth
		[ ! -e build/reeve-observe-helper ] ||
			runner truth-lent pytest_as_user build tests/truth ebpf
	fi
fi
if runner build-clang tree build-clang --native-file tools/native/clang.ini; then
	runner unit-clang unit build-clang
fi
if runner build-asan tree build-asan --native-file tools/native/sanitize.ini; then
	runner unit-asan unit build-asan
	runner e2e-asan pytest build-asan tests/e2e
fi
if runner build-torture tree build-torture -Dtorture=true; then
	runner torture pytest build-torture tests/torture
	[ "$(id -u)" -ne 0 ] || runner torture-user pytest_as_user build-torture tests/torture
fi

/usr/bin/python3 -B tools/tally.py "$RESULTS"
