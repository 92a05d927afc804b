#!/bin/sh
# Checks what is in this folder: `sh deploy/check.sh`, after `make build`. What has no tool on this machine is named
# at the end, and the exit status is then 2; 1 is for what is wrong.
set -eu
cd "$(dirname "$0")/.."
left=''
fail() { echo "FAIL: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1 || { left="$left $1"; false; }; }
[ -x bin/vilogate ] || fail 'bin/vilogate is missing: make build'

echo '== the configurations'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/etc"
cp deploy/vilogate.yaml deploy/idp.yaml "$work/etc/"
cp -r policies/viloforge.com "$work/etc/policies"
for file in "$work/etc/vilogate.yaml" "$work/etc/idp.yaml" deploy/compose/gateway.yaml deploy/compose/idp.yaml; do
    bin/vilogate check --no-secrets -c "$file" || fail "$file"
done

echo '== the policies of compose are the shipped ones'
for file in policies/viloforge.com/*.yaml; do
    sed 's/viloforge\.com/viloforge.localhost/g' "$file" | diff - "deploy/compose/policies/${file##*/}" ||
        fail "${file##*/} differs: sed 's/viloforge\\.com/viloforge.localhost/g' $file >deploy/compose/policies/${file##*/}"
done

if have systemd-analyze; then
    echo '== the units'
    root="$work/root"
    mkdir -p "$root/usr/local/bin" "$root/etc/systemd/system"
    cp bin/vilogate "$root/usr/local/bin/"
    cp deploy/systemd/*.socket "$root/etc/systemd/system/"
    for unit in vilogate vilogate-idp; do
        # Verified with the binary where it will be.
        sed "s|/usr/local/bin|$root/usr/local/bin|" "deploy/systemd/$unit.service" >"$root/etc/systemd/system/$unit.service"
        systemd-analyze verify --man=no --recursive-errors=no "$root/etc/systemd/system/$unit.service" || fail "$unit.service"
        systemd-analyze verify --man=no --recursive-errors=no "$root/etc/systemd/system/$unit.socket" || fail "$unit.socket"
        systemd-analyze security --offline=yes --threshold=15 --no-pager "deploy/systemd/$unit.service" | tail -n 1
    done
fi

if have buildah; then
    echo '== the image'
    export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
    buildah bud --quiet -f deploy/Containerfile -t vilogate . >/dev/null || fail 'the image is not built'
    container=$(buildah from vilogate)
    mounted=$(buildah mount "$container")
    (cd "$mounted" && find . -printf '%M %U:%G %s\t%p\n')
    buildah umount "$container" >/dev/null
    buildah run "$container" -- /vilogate version || fail 'the image does not start'
    : >"$work/log"
    # As the user of the image, which may write to the state folder alone.
    buildah run "$container" -- /vilogate dev --listen 127.0.0.1:0 --http off --admin off --state /var/lib/vilogate >"$work/log" 2>&1 &
    started=$!
    for _ in $(seq 150); do
        if grep -qx ready "$work/log" || ! kill -0 "$started" 2>/dev/null; then break; fi
        sleep 0.2
    done
    kill "$started" 2>/dev/null || true
    wait "$started" || true
    grep -qx ready "$work/log" || { cat "$work/log" >&2; fail 'the image does not get ready'; }
    buildah rm "$container" >/dev/null
fi

if have docker && docker compose version >/dev/null 2>&1; then
    echo '== compose'
    VILOGATE_SECRET=checked docker compose -f deploy/compose.yaml config --quiet || fail 'compose.yaml'
else
    left="$left docker-compose"
fi

if [ -n "$left" ]; then
    echo "not checked, for want of:$left" >&2
    exit 2
fi
