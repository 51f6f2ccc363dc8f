#!/usr/bin/env bash
# Sees to the images that Dockerfile and compose.yaml start from: pulled where a registry answers, else made here, under
# the very same names, from Debian packages and this machine's Rust toolchain.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/deploy
mkdir -p "$work"

builder=$(sed -n 's/^ARG BUILDER=//p' Dockerfile)
runtime=$(sed -n 's/^ARG RUNTIME=//p' Dockerfile)
pause=$(sed -n 's/^  image: \(.*\/pause:.*\)/\1/p' compose.yaml)
# A stand-in is made anew when what it is made of has changed.
recipe=$({ rustc -vV && cat "$0"; } | sha256sum | cut -c1-16)

there() {
    local label
    label=$(docker image inspect --format '{{index .Config.Labels "stand-in"}}' "$1" 2>/dev/null) || return 1
    # No label: the real one.
    [[ -z $label || $label == "$recipe" ]]
}

missing=()
for image in "$builder" "$runtime" "$pause"; do
    there "$image" || timeout 120 docker pull --quiet "$image" 2>/dev/null || missing+=("$image")
done
((${#missing[@]})) || exit 0

root=$(mktemp -d "$work/root.XXXXXX")
trap 'rm -rf "$root" "$root.tar"' EXIT
debian() {
    debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev bookworm "$root" http://deb.debian.org/debian \
        >"$work/debootstrap.log" 2>&1
}
# Once more, from nothing, before the mirror is to blame.
debian || { rm -rf --one-file-system "$root" || true; mkdir -p "$root" && debian; } || { tail -5 "$work/debootstrap.log" >&2; exit 1; }
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}
# The builder reaches the crates the way this machine does.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"

# import NAME CHANGE…: a tree from standard input becomes an image.
import() {
    local name=$1 changes=()
    shift
    for change in "LABEL stand-in=$recipe" "$@"; do
        changes+=(--change "$change")
    done
    docker import "${changes[@]}" - "$name" >/dev/null
    echo "made a stand-in for $name"
}

# Debian with a C compiler, and Rust as it is here.
toolchain=$(rustc --print sysroot)
tar -C "$root" --exclude=./dev --exclude=./proc --exclude=./sys -cf "$root.tar" .
tar -C "$toolchain" --transform 's,^,./opt/rust/,' -rf "$root.tar" bin/cargo bin/rustc lib
import "$builder" 'ENV PATH=/opt/rust/bin:/usr/bin:/bin' 'ENV CARGO_HOME=/usr/local/cargo' <"$root.tar"

# The shared objects that a Rust binary needs, names and certificates, nobody but root and nonroot, no shell.
libraries=usr/lib/x86_64-linux-gnu
install -d "$root/min/tmp" "$root/min/etc"
chmod 1777 "$root/min/tmp"
printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$root/min/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/min/etc/group"
echo 'hosts: files dns' >"$root/min/etc/nsswitch.conf"
(cd "$root" && tar -cf - lib lib64 usr/lib64 etc/ssl/certs/ca-certificates.crt \
    $libraries/{ld-linux-x86-64.so.2,libc.so.6,libm.so.6,libdl.so.2,libpthread.so.0,librt.so.1,libgcc_s.so.1} \
    $libraries/lib{resolv.so.2,nss_dns.so.2,nss_files.so.2}) | tar -C "$root/min" -xf -
tar -C "$root/min" -cf - . |
    import "$runtime" 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' 'USER 65532'

# What holds a network does nothing until it is told to end.
cat >"$root/pause.c" <<'C'
#include <signal.h>
#include <unistd.h>
static void end(int signal) { _exit(0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }
C
chroot "$root" gcc -O2 -static -s -o /pause /pause.c
tar -C "$root" -cf - pause | import "$pause" 'ENTRYPOINT ["/pause"]' 'USER 65535'
