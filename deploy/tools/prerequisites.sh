#!/bin/sh
# Makes sure that the real parts that the tests run against are here. As root on
# Debian what is missing is installed; elsewhere the command to run is printed.
set -eu

missing=
need() { # need PACKAGE COMMAND: the command shows that the package is here
    if ! sh -c "$2" >/dev/null 2>&1; then missing="$missing $1"; fi
}

need git 'command -v git'
need redis-server 'command -v redis-server'
need redis-sentinel 'command -v redis-sentinel'
need chromium 'command -v chromium'
need firefox-esr 'command -v firefox-esr'
need ca-certificates 'command -v update-ca-certificates'
need curl 'command -v curl'
need nghttp2-client 'command -v nghttp && command -v h2load'
need testssl.sh 'command -v testssl'
need libnss3-tools 'command -v certutil'
need nginx-light 'command -v nginx'
need haproxy 'command -v haproxy'
need npm 'node -e "const npm = require(\"module\").createRequire(require(\"fs\").realpathSync(process.argv[1])); npm(\"make-fetch-happen\"); npm(\"http-cache-semantics\")" "$(command -v npm)"'
need cadaver 'command -v cadaver'
need s3cmd 'command -v s3cmd'
need rclone 'command -v rclone'
need docker-registry 'command -v docker-registry'
need skopeo 'command -v skopeo'
need python3-websockets '/usr/bin/python3 -c "import websockets"'
need gunicorn 'command -v gunicorn && /usr/bin/python3 -c "import gunicorn"'
need python3-django '/usr/bin/python3 -c "import django"'
need python3-djangorestframework '/usr/bin/python3 -c "import rest_framework"'
need python3-django-cors-headers '/usr/bin/python3 -c "import corsheaders"'
need python3-jwt '/usr/bin/python3 -c "import jwt"'
need python3-cryptography '/usr/bin/python3 -c "import cryptography"'

[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
    printf 'The tests run against real parts, and some are missing. On Debian or Ubuntu:\n\n    sudo apt-get update && sudo %s\n\n' "$install" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
options='-qq -o DPkg::Lock::Timeout=300'
# shellcheck disable=SC2086
apt-get $options update
# shellcheck disable=SC2086
apt-get $options install -y --no-install-recommends $missing
