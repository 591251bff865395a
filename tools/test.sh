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
trap 'rm -rf "$RESULTS" "$HOME_OF_USER"' EXIT
trap 'exit 130' INT TERM

# Runs a command under a NAME and keeps its exit status for the tally.
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

unit() { # NAME DIR
	rm -f "$2"/meson-logs/testlog.j*
	steady timeout "$LIMIT" meson test -C "$2" --no-rebuild --suite unit --print-errorlogs \
		--num-processes "$JOBS" --timeout-multiplier 3 --quiet
	unit_status=$?
	cp "$2/meson-logs/testlog.junit.xml" "$RESULTS/$1.xml"
	cp "$2/meson-logs/testlog.json" "$RESULTS/$1.json"
	return $unit_status
}

PYTEST="timeout --kill-after=10 $LIMIT /usr/bin/python3 -B -m pytest -q -p no:cacheprovider
	-n $JOBS --timeout=120"

pytest() { # NAME DIR TESTS
	# shellcheck disable=SC2086
	REEVE_BUILD=$PWD/$2 steady $PYTEST --junitxml="$RESULTS/$1.xml" "$3"
}

as_user() { # COMMAND...
	setpriv --reuid $NOBODY --regid $NOBODY --clear-groups --reset-env \
		env HOME="$HOME_OF_USER" "$@"
}

# From copies that the user can read, with a home of its own.
pytest_as_user() { # NAME DIR TESTS
	mkdir -p "$HOME_OF_USER/build" "$HOME_OF_USER/$3" &&
		cp "$2/reeve" "$2/reeved" "$2/reeve-keeper" "$HOME_OF_USER/build" &&
		cp -R "$3/." "$HOME_OF_USER/$3" && chown -R $NOBODY:$NOBODY "$HOME_OF_USER" &&
		(
			cd "$HOME_OF_USER" || exit 1
			# shellcheck disable=SC2086
			as_user env REEVE_BUILD="$PWD/build" $PYTEST --junitxml="$PWD/report.xml" "$3"
		)
	user_status=$?
	mv "$HOME_OF_USER/report.xml" "$RESULTS/$1.xml"
	return $user_status
}

unit_as_user() { # NAME DIR
	mkdir -p "$HOME_OF_USER/unit" && find "$2/tests/unit" -maxdepth 1 -type f -perm -u+x \
		-exec cp {} "$HOME_OF_USER/unit" \; && chown -R $NOBODY:$NOBODY "$HOME_OF_USER" ||
		return 1
	for program in "$HOME_OF_USER"/unit/*; do
		(cd "$HOME_OF_USER" && as_user env CMOCKA_MESSAGE_OUTPUT=TAP \
			timeout --kill-after=10 180 "$program") >"$RESULTS/program" ||
			echo "not ok - ${program##*/}: exit status $?" >>"$RESULTS/program"
		grep -B 1 '^#.*: error: ' "$RESULTS/program"
		cat "$RESULTS/program" >>"$RESULTS/$1.tap"
	done
	! grep -q '^not ok' "$RESULTS/$1.tap"
}

# A tree that cannot be built is one failure, and its tests do not run.
if runner build tree build; then
	runner unit unit unit build
	runner e2e pytest e2e build tests/e2e
	if [ "$(id -u)" -eq 0 ]; then
		runner unit-user unit_as_user unit-user build
		runner e2e-user pytest_as_user e2e-user build tests/e2e
	fi
fi
if runner build-clang tree build-clang --native-file tools/native/clang.ini; then
	runner unit-clang unit unit-clang build-clang
fi
if runner build-asan tree build-asan --native-file tools/native/sanitize.ini; then
	runner unit-asan unit unit-asan build-asan
	runner e2e-asan pytest e2e-asan build-asan tests/e2e
fi
if ls tests/torture/test_*.py >/dev/null 2>&1 &&
	runner build-torture tree build-torture -Dtorture=true; then
	runner torture pytest torture build-torture tests/torture
fi

/usr/bin/python3 -B tools/tally.py "$RESULTS"
