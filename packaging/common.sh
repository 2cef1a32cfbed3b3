# Sourced by the scripts beside it: what they all need to know, from Cargo.toml, which is the one place for it.
# shellcheck shell=sh disable=SC2034,SC2154

LC_ALL=C
export LC_ALL
umask 022

# A key of Cargo.toml's first section.
field() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$root/Cargo.toml" | head -n 1; }

# Ends the script: what failed, and a hint.
fail() {
  echo "error: $1" >&2
  [ -z "${2:-}" ] || echo "hint: $2" >&2
  exit 3
}

# The checksums of files, as sha256sum writes them.
sums() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

# The checksum of standard input.
sum() { sums - | cut -d ' ' -f 1; }

# A tar of the current folder's files or folders, the same bytes wherever and whenever it is made, to standard output.
same_tar() {
  tar=tar
  if command -v gtar >/dev/null 2>&1; then tar=gtar; fi
  "$tar" --create --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner "$@"
}

# The file that a target's binary and its texts are packed into, without .tar.gz.
archive_name() { echo "sessctl-v$version-$1"; }

version=$(field version)
repository=$(field repository)
slug=${repository#https://github.com/}
owner=${slug%%/*}
# The container registry is a variable of the repository: the release workflow sets it.
image=${SESSCTL_REGISTRY:-registry.example}/$(echo "$slug" | tr '[:upper:]' '[:lower:]')
description=$(field description)

# Everything that is built goes here.
dist=${SESSCTL_DIST:-$root/target/dist}

# The commit's time stands for every time that a package records. Outside of a clone it must be given.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null) ||
    fail 'no time for the packages: this is no clone of the repository' 'set SOURCE_DATE_EPOCH'
fi
export SOURCE_DATE_EPOCH
