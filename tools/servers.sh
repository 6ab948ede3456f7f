#!/bin/sh
# Tests that drive a real server or check a real configuration skip, saying so, where its program is missing.
# In continuous integration on Debian this installs the programs; elsewhere it only names the missing ones.
set -u
missing=""
for pair in nginx:nginx-light redis-server:redis-server nft:nftables haproxy:haproxy psql:postgresql \
    fail2ban-regex:fail2ban; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -z "$missing" ] && exit 0
if [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing for the tests"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
        >/dev/null 2>&1 </dev/null || echo "could not install them all; tests of what is missing will skip" >&2
else
    echo "tests of these will skip, for they are not installed:$missing" >&2
fi
exit 0
