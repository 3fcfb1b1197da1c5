# fresh.sh ROOT RUST CA COMMAND...: runs COMMAND in the clone inside ROOT.
# Runs in mount and process namespaces of its own, so that every mount and every process is gone when it ends.
set -eu
root=$1 rust=$2 ca=$3
shift 3
mount --make-rprivate /
mkdir -p "$root/opt/rust" "$root/opt/cargo-home"
mount --bind "$rust" "$root/opt/rust"
mount -o remount,bind,ro "$root/opt/rust"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
certificates=
if [ -n "$ca" ]; then
    touch "$root/opt/host-certificates.pem"
    mount --bind "$ca" "$root/opt/host-certificates.pem"
    mount -o remount,bind,ro "$root/opt/host-certificates.pem"
    path=/opt/host-certificates.pem
    certificates="CARGO_HTTP_CAINFO=$path SSL_CERT_FILE=$path PIP_CERT=$path"
fi
# An environment from nothing; HOST_ENVIRONMENT holds what the network needs (proxies, a package index), if anything.
# shellcheck disable=SC2086 # a list of words without spaces in them
exec chroot "$root" /usr/bin/env -i \
    PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root LANG=C.UTF-8 CARGO_HOME=/opt/cargo-home ${TERM:+TERM=$TERM} $certificates ${HOST_ENVIRONMENT:-} \
    /bin/sh -c 'cd /src && exec "$@"' sh "$@"
