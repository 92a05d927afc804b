#!/bin/sh
# Asks servers that are common how they read the parameter owner of the queries in queries.txt, and writes readings.json: for
# each query what each reader reads, null for nothing. On Debian 12: apt-get install --no-install-recommends php-cli ruby-rack
# python3-django python3-werkzeug nodejs, and npm install qs@6.17 where NODE_PATH finds it.
set -eu
cd "$(dirname "$0")"
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
{
    php read.php <queries.txt
    ruby read.rb <queries.txt
    node read.js <queries.txt
    /usr/bin/python3 read.py <queries.txt
} >"$lines"
/usr/bin/python3 -c '
import json, sys

readings = {}
for line in sys.stdin:
    query, reader, read = json.loads(line)
    readings.setdefault(query, {})[reader] = read
print("{\n" + ",\n".join(json.dumps(query) + ": " + json.dumps(readings[query]) for query in readings) + "\n}")
' <"$lines" >readings.json
