# SPDX-License-Identifier: Apache-2.0
# lib.sh - what ./dev and its helpers share. Sourced, with the top of the tree as directory.
# shellcheck shell=sh

# Debian's own tools first: another python or meson may stand before them.
export PATH="/usr/sbin:/usr/bin:/sbin:/bin:$PATH"

say() {
	printf '%s\n' "$*" >&2
}

# Installs the given Debian packages; does nothing, quickly, when all are there.
need() {
	missing=
	for package in "$@"; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
		[ "$status" = installed ] || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	sudo=
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null; then
			say "dev: neither root nor sudo is here to install these packages:$missing"
			exit 1
		fi
		sudo=sudo
	fi
	say "dev: installing$missing"
	log=$(mktemp)
	# shellcheck disable=SC2086
	if ! { $sudo apt-get -q update && $sudo env DEBIAN_FRONTEND=noninteractive \
		apt-get -q install -y --no-install-recommends $missing; } >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		say "dev: cannot install$missing"
		exit 1
	fi
	rm -f "$log"
}

# tree DIR [MESON OPTION...]: configures DIR once, and builds it, or $targets of it. With CI set a
# warning is an error.
tree() {
	dir=$1
	shift
	if [ ! -f "$dir/build.ninja" ]; then
		rm -rf "$dir"
		if ! meson setup "$dir" ${CI:+--werror} "$@" >"$dir.log" 2>&1; then
			cat "$dir.log" >&2
			rm -rf "$dir" "$dir.log"
			return 1
		fi
		rm -f "$dir.log"
	fi
	# shellcheck disable=SC2086
	built=$(ninja -C "$dir" --quiet ${targets-} 2>&1) || {
		say "$built"
		return 1
	}
	case $built in
	*warning:*) say "$built" ;;
	esac
}
