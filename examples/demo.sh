#!/bin/sh
# Serves the examples' site on a free port and runs one of the examples against it. `make demo` builds what it needs and calls
# it with the folder of the binaries and the example. An example with an inventory gets what that names: a proxy, a database.
# Results stay in that folder's `demo`, and databases for the next run, too; the site ends with this script, however it ends.
set -eu

bin=$(cd "${1:?usage: examples/demo.sh FOLDER_OF_BINARIES EXAMPLE}" && pwd)
example=${2:?usage: examples/demo.sh FOLDER_OF_BINARIES EXAMPLE}
cd "$(dirname "$0")/.."
out=$bin/demo
mkdir -p "$out"
rm -rf "$out/results.jsonl" "$out/artifacts" "$out/url"

# What the operator lends beside the project, at the addresses that the site and the proxy have when they are started by hand.
inventory=examples/$example/inventory.toml
upstream=
if grep -qs 127.0.0.1:8081 "$inventory"; then upstream=--upstream; fi

"$bin/armada-sites" --port 0 $upstream >"$out/url" &
site=$!
end_site() { kill "$site" 2>/dev/null || :; wait "$site" 2>/dev/null || :; }
trap end_site EXIT
# The run ends in order when it is interrupted, and tells by its exit code; this script waits for it.
trap : INT TERM HUP

while ! test -s "$out/url"; do
	kill -0 "$site" 2>/dev/null || { echo "the site did not start" >&2; exit 2; }
	sleep 0.1
done
url=$(sed -n 1p "$out/url")
echo "The site is $url; its members log in as ada@example.com with \"correct horse\"." >&2

# The toolchain that this repository chooses: Armada does not ask the folder of a project for one.
if toolchain=$(rustup show active-toolchain 2>/dev/null); then export RUSTUP_TOOLCHAIN="${toolchain%% *}"; fi

set -- --set SITE_URL="$url" --private-host "${url#http://}" --output "$out/results.jsonl"
if test -f "$inventory"; then
	proxy=$(sed -n 2p "$out/url")
	sed -e "s|127.0.0.1:8080|${url#http://}|" -e "s|127.0.0.1:8081|${proxy#http://}|" -e "s|sqlite:target/|sqlite:$out/|" \
		"$inventory" >"$out/inventory.toml"
	# A database must be there before it is lent: an empty file is an empty one.
	sed -n 's|^url = "sqlite:\(.*\)"$|\1|p' "$out/inventory.toml" | while read -r file; do touch "$file"; done
	set -- "$@" --inventory "$out/inventory.toml"
fi

code=0
"$bin/armada" run "examples/$example" "$@" || code=$?

if test -s "$out/results.jsonl"; then
	printf '\nThe first results, without their events:\n' >&2
	head -n 3 "$out/results.jsonl" | sed 's/,"events":.*/}/'
	printf '\nPictures: %s\n' "$out/artifacts" >&2
fi
exit "$code"
