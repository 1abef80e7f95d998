#!/bin/sh
# packages.sh: installs what a verb needs, or says what that is.
#
# usage: packages.sh VERB...     install the rows of scripts/packages.conf that serve a VERB
#        packages.sh --list      print every row
#
# Asks dpkg first: when everything is there nothing is run, nothing is fetched and nothing printed.
# Plain sh, because a fresh machine has no python yet. NO_INSTALL=1 leaves the system alone.
set -eu
conf=$(dirname "$0")/packages.conf

if [ "${1:-}" = --list ]; then
	[ -r /etc/debian_version ] ||
		echo "This is not a Debian system: install these, or what they are called here, yourself."
	echo "package                         least    needed by"
	grep -v '^#' "$conf" | grep .
	exit 0
fi

[ -z "${NO_INSTALL:-}" ] || exit 0
if [ ! -r /etc/debian_version ] || ! command -v dpkg-query >/dev/null; then
	echo "packages: this is not a Debian system, so nothing is installed; 'make deps' lists what is needed."
	exit 0
fi

wanted=$(for verb in "$@"; do
	awk -v verb="$verb" '!/^#/ { for (i = 3; i <= NF; i++) if ($i == verb) print $1 }' "$conf"
done | sort -u)

# shellcheck disable=SC2086 # package names are words
installed=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' $wanted 2>/dev/null |
	awk '$1 ~ /^.i/ { print $2 }' || true)
missing=
for package in $wanted; do
	case "
$installed
" in
	*"
$package
"*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "packages: missing:$missing; installing them needs root, and there is no sudo." >&2
		exit 1
	}
	as_root=sudo
fi

echo "packages: installing$missing"
get() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}
get update || echo "packages: the package lists could not be renewed; trying with the old ones." >&2
# shellcheck disable=SC2086
get install --no-install-recommends $missing || {
	echo "packages: apt-get could not install:$missing (is the network there?)." >&2
	exit 1
}
