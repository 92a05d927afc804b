#!/usr/bin/python3
"""What many backends cost: memory, the start, a reload, and the CPU time and traffic of health checks, of 1,000 with 10 addresses each.

    make build && /usr/bin/python3 deploy/bench/upstreams.py [--upstreams 1000] [--addresses 10] [--interval 10] [--vilogate bin/vilogate]

All addresses are of the network 127.0.0.0/8 and lead to one nginx, which answers the checks. Needs Linux and nginx-light.
"""

import argparse, os, shutil, signal, subprocess, sys, tempfile, time, urllib.request

TICK = os.sysconf("SC_CLK_TCK")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--vilogate", default="bin/vilogate")
    options.add_argument("--upstreams", type=int, default=1000)
    options.add_argument("--addresses", type=int, default=10)
    options.add_argument("--interval", type=int, default=10, help="seconds between two checks of an address")
    options.add_argument("--seconds", type=int, default=60, help="how long the checks are looked at")
    options = options.parse_args()
    if not shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        sys.exit("needed: apt-get install nginx-light")
    directory = tempfile.mkdtemp(prefix="vilogate-upstreams-")
    processes = []
    try:
        for checks in (False, True):
            measure(directory, options, checks, processes)
    finally:
        for process in processes:
            process.kill()
        shutil.rmtree(directory)


def measure(directory, options, checks, processes):
    listen, admin, port = 18441, 18442, 18443
    d = os.path.join(directory, "checked" if checks else "plain")
    os.makedirs(os.path.join(d, "policies"))
    write(d, "nginx.conf", f"""
daemon off; master_process off; pid {d}/pid; error_log stderr; worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
  access_log off;
  client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  server {{ listen {port}; location = /count {{ return 200 "$connection"; }} location / {{ return 200; }} }}
}}
""")
    nginx = subprocess.Popen(["/usr/sbin/nginx", "-p", d, "-c", os.path.join(d, "nginx.conf"), "-e", "stderr"])
    health = f", health: {{ path: /healthz, interval: {options.interval}s }}" if checks else ""
    upstreams, number = "", 0
    for u in range(options.upstreams):
        urls = []
        for _ in range(options.addresses):
            number += 1
            urls.append(f'"http://127.{1 + number // 65536}.{number // 256 % 256}.{number % 256}:{port}"')
        upstreams += f"  app{u}: {{ urls: [{', '.join(urls)}]{health} }}\n"
        write(d, f"policies/app{u}.yaml", f"host: app{u}.bench.test\nupstream: app{u}\nroutes: [ {{ path: /*rest, allow: public }} ]\n")
    write(d, "vilogate.yaml", f"""domain: bench.test
listen: {{ https: "127.0.0.1:{listen}", http: "off", admin: "127.0.0.1:{admin}" }}
state: state
certificates: {{ source: local }}
policies: policies/
upstreams:
{upstreams}""")
    begin = time.time()
    gateway = subprocess.Popen([options.vilogate if os.path.isabs(options.vilogate) else os.path.abspath(options.vilogate), "serve", "-c", "vilogate.yaml"], cwd=d, stdout=subprocess.PIPE, stderr=open(os.path.join(d, "log"), "w"))
    processes += [nginx, gateway]
    gateway.stdout.readline()
    started = time.time() - begin
    time.sleep(5)  # the first checks are made within a second
    before, first, requests = time.time(), cpu(gateway.pid), accepted(port)
    time.sleep(options.seconds)
    took, used, asked = time.time() - before, cpu(gateway.pid) - first, accepted(port) - requests
    files = len(os.listdir(f"/proc/{gateway.pid}/fd"))
    print(f"{options.upstreams} upstreams, {options.upstreams * options.addresses} addresses, {'checked every %d s' % options.interval if checks else 'not checked'}")
    print(f"  ready after {started:.1f} s; {rss(gateway.pid) / 1024:.0f} MB resident; {files} open files")
    print(f"  {100 * used / took:.1f} % of a core; {asked / took:.0f} connections a second at the backends", flush=True)
    begin = time.time()
    subprocess.run([os.path.abspath(options.vilogate), "reload", "--state", "state"], cwd=d, check=True, stdout=subprocess.DEVNULL)
    print(f"  a reload takes {time.time() - begin:.1f} s; {rss(gateway.pid) / 1024:.0f} MB resident after it", flush=True)
    begin = time.time()
    size = len(urllib.request.urlopen(f"http://127.0.0.1:{admin}/status").read())
    metrics = len(urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics").read())
    print(f"  /status has {size / 1e6:.1f} MB and /metrics {metrics / 1e6:.1f} MB, after {time.time() - begin:.2f} s")
    gateway.send_signal(signal.SIGTERM)
    begin = time.time()
    gateway.wait()
    print(f"  it ends after {time.time() - begin:.1f} s (drain.delay is 5)")
    nginx.kill()
    nginx.wait()


def write(directory, name, text):
    with open(os.path.join(directory, name), "w") as f:
        f.write(text)


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS:"))


def accepted(port):
    """The number of the connection that asks: nginx counts them."""
    return int(urllib.request.urlopen(f"http://127.0.0.1:{port}/count").read())


if __name__ == "__main__":
    main()
