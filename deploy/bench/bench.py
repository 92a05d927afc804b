#!/usr/bin/python3
"""The gateway beside HAProxy, nginx and a plain Go proxy, on one machine, in one run.

    make build && /usr/bin/python3 deploy/bench/bench.py [--cycles 6] [--seconds 1] [--only h1-hit,h2-hit] [--vilogate bin/vilogate]

Every contender runs at once, alone on the first core; the load and the backend have the others. The contenders take turns in
windows of so many seconds, and what counts is the CPU time of a contender's process for one request (/proc/PID/stat), as the
median over the cycles: the machine drifts, so that only what one run says of two contenders can be compared. Each writes an
access log to a file; the gateway has metrics on and believes an ES256 token of another issuer, the same one in each request
(hit), or one of several thousand (miss). Needs Linux, two cores, go, openssl, and what REQUIRED names.
"""

import argparse, base64, getpass, http.client, json, os, shutil, signal, socket, ssl, statistics, subprocess, sys, tempfile, time

REQUIRED = {"haproxy": "haproxy", "nginx": "nginx-light", "wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl", "taskset": "util-linux"}
HOST = "app.bench.test"
TICK = os.sysconf("SC_CLK_TCK")
GATEWAY_CORE = "0"
OTHER_CORES = f"1-{os.cpu_count() - 1}"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--vilogate", default="bin/vilogate")
    options.add_argument("--cycles", type=int, default=6)
    options.add_argument("--seconds", type=int, default=1)
    options.add_argument("--only", default="", help="names of loads, by commas")
    options.add_argument("--idle", type=int, default=500, help="idle connections to measure the memory of; 0 for none")
    options = options.parse_args()
    missing = [package for program, package in REQUIRED.items() if not shutil.which(program)]
    if missing or (os.cpu_count() or 1) < 2:
        sys.exit(f"two cores are needed, and: apt-get install {' '.join(missing)}")
    directory = tempfile.mkdtemp(prefix="vilogate-bench-")
    bench = Bench(directory, os.path.abspath(options.vilogate))
    try:
        bench.start()
        bench.compare(options)
    finally:
        bench.stop()
        shutil.rmtree(directory)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Contender:
    def __init__(self, name, port, process, plain=False):
        self.name, self.port, self.process, self.plain = name, port, process, plain

    def pids(self):
        """The process and its workers."""
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        return [self.process.pid, *map(int, children)]

    def cpu(self):
        """Seconds of CPU time that were used so far."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def resident(self):
        """KiB of memory."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/status") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        return total


class Bench:
    def __init__(self, directory, vilogate):
        self.directory, self.vilogate = directory, vilogate
        self.processes, self.contenders = [], []

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def run(self, *command, **options):
        return subprocess.run(command, check=True, capture_output=True, cwd=self.directory, **options)

    def spawn(self, core, *command):
        log = open(self.path(f"output-{len(self.processes)}"), "wb")
        process = subprocess.Popen(["taskset", "-c", core, *command], stdout=log, stderr=subprocess.STDOUT, cwd=self.directory)
        self.processes.append(process)
        return process

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def start(self):
        self.certificate()
        self.token_key()
        backend = self.start_backend()
        self.start_vilogate(backend)
        self.start_haproxy(backend)
        self.start_nginx(backend)
        self.start_plain(backend)
        for contender in self.contenders:
            self.await_answer(contender)

    def certificate(self):
        self.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                 "-days", "2", "-subj", "/CN=bench", "-addext", f"subjectAltName=DNS:bench.test,DNS:*.bench.test")
        with open(self.path("both.pem"), "w") as both:
            both.write(open(self.path("cert.pem")).read() + open(self.path("key.pem")).read())

    def token_key(self):
        self.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "token.pem")
        self.run("openssl", "ec", "-in", "token.pem", "-pubout", "-out", "token.pub")
        # HAProxy takes the key from a certificate, and a JWK has the two coordinates, the last 64 bytes of the DER form.
        point = self.run("openssl", "ec", "-in", "token.pem", "-pubout", "-outform", "DER").stdout[-64:]
        self.write("jwks.json", json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig", "x": b64(point[:32]), "y": b64(point[32:])}]}))
        self.token = self.sign("person-1")
        self.write("token", self.token)

    def sign(self, subject):
        now = int(time.time())
        claims = {"iss": "https://issuer.bench.test", "aud": "bench", "sub": subject, "iat": now, "exp": now + 7200, "jti": b64(os.urandom(12)),
                  "name": "Alice Example", "email": "alice@bench.test", "groups": ["staff", "billing"], "sid": b64(os.urandom(24)), "scope": "openid profile email"}
        signed = b64(json.dumps({"alg": "ES256", "typ": "JWT", "kid": "k1"}).encode()) + "." + b64(json.dumps(claims).encode())
        der = self.run("openssl", "dgst", "-sha256", "-sign", "token.pem", input=signed.encode()).stdout
        return signed + "." + b64(b"".join(integers(der)))

    def start_backend(self):
        port = free_port()
        self.write("www/small", "x" * 1024)
        self.write("www/large", "x" * (1 << 20))
        self.write("backend.conf", f"""
daemon off; user {getpass.getuser()}; worker_processes 1; pid backend.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {self.path("backend-body")}; keepalive_requests 1000000; client_max_body_size 4m; client_body_buffer_size 2m;
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ root {self.path("www")}; default_type application/json; }}
    location /upload {{ return 200 "ok"; }} }}
}}
""")
        self.spawn(OTHER_CORES, "nginx", "-p", self.directory, "-c", self.path("backend.conf"))
        return port

    def start_vilogate(self, backend):
        port = free_port()
        self.write("vilogate.yaml", f"""
domain: bench.test
listen: {{ https: "127.0.0.1:{port}", http: "127.0.0.1:0", admin: "127.0.0.1:0" }}
state: {self.path("state")}
certificates: {{ source: files, files: [ {{ certificate: {self.path("cert.pem")}, key: {self.path("key.pem")} }} ] }}
login: {{ url: "https://login.bench.test/" }}
tokens: {{ issuers: [ {{ name: bench, issuer: "https://issuer.bench.test", audience: [bench], keys: {self.path("jwks.json")}, claims: {{ roles: groups }} }} ] }}
upstreams: {{ app: {{ url: "http://127.0.0.1:{backend}" }} }}
policies: {self.path("policies")}/
""")
        self.write("policies/app.yaml", f"host: {HOST}\nupstream: app\nroutes: [ {{ path: \"/*rest\", allow: authenticated }} ]\n")
        os.mkdir(self.path("state"), 0o700)
        os.chmod(self.directory, 0o700)
        process = self.spawn(GATEWAY_CORE, self.vilogate, "serve", "-c", self.path("vilogate.yaml"))
        self.contenders.append(Contender("vilogate", port, process))

    def start_haproxy(self, backend):
        plain, checked = free_port(), free_port()
        for name, port, rules in (
            ("haproxy", plain, ""),
            ("haproxy-es256", checked, f"""
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny unless {{ var(txn.alg) -m str ES256 }}
  http-request deny unless {{ var(txn.bearer),jwt_verify(txn.alg,"{self.path("token.pub")}") 1 }}"""),
        ):
            self.write(name + ".cfg", f"""
global
  nbthread 1
  maxconn 8000
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend f
  bind 127.0.0.1:{port} ssl crt {self.path("both.pem")} alpn h2,http/1.1{rules}
  default_backend b
backend b
  http-reuse always
  server s 127.0.0.1:{backend}
""")
            self.contenders.append(Contender(name, port, self.spawn(GATEWAY_CORE, "haproxy", "-db", "-f", self.path(name + ".cfg")), plain=name == "haproxy"))

    def start_nginx(self, backend):
        port = free_port()
        self.write("nginx.conf", f"""
daemon off; user {getpass.getuser()}; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 8000; }}
http {{
  access_log {self.path("nginx.log")}; client_body_temp_path {self.path("nginx-body")}; proxy_temp_path {self.path("nginx-proxy")};
  keepalive_requests 1000000; client_max_body_size 4m; client_body_buffer_size 2m; proxy_request_buffering off; proxy_http_version 1.1;
  upstream b {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000; }}
  server {{ listen 127.0.0.1:{port} ssl http2 backlog=4096; ssl_certificate {self.path("cert.pem")}; ssl_certificate_key {self.path("key.pem")}; ssl_protocols TLSv1.3;
    location / {{ proxy_pass http://b; proxy_set_header Connection ""; proxy_set_header Host $host; }} }}
}}
""")
        self.contenders.append(Contender("nginx", port, self.spawn(GATEWAY_CORE, "nginx", "-p", self.directory, "-c", self.path("nginx.conf")), plain=True))

    def start_plain(self, backend):
        port = free_port()
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plain.go")
        subprocess.run(["go", "build", "-o", self.path("plain"), source], check=True)
        process = self.spawn(GATEWAY_CORE, self.path("plain"), f"127.0.0.1:{port}", f"http://127.0.0.1:{backend}", self.path("cert.pem"), self.path("key.pem"))
        self.contenders.append(Contender("plain-go", port, process, plain=True))

    def await_answer(self, contender):
        deadline = time.time() + 30
        while True:
            try:
                connection = connect(contender.port)
                connection.request("GET", "/small", headers={"Host": HOST, "Authorization": "Bearer " + self.token})
                status = connection.getresponse().status
                connection.close()
                if status == 200:
                    return
                problem = f"status {status}"
            except (OSError, http.client.HTTPException) as failed:
                problem = str(failed)
            if time.time() > deadline:
                for n in range(len(self.processes)):
                    sys.stderr.write(open(self.path(f"output-{n}"), errors="replace").read()[-2000:])
                sys.exit(f"{contender.name} does not answer: {problem}")
            time.sleep(0.1)

    def compare(self, options):
        loads = self.loads(options.seconds)
        if options.only:
            loads = {name: loads[name] for name in options.only.split(",")}
        if options.idle:
            self.idle(options.idle)
        print(f"µs of CPU a request, median of {options.cycles} cycles (and × the cost of haproxy, which checks nobody)\n")
        print(f"{'load':<14}" + "".join(f"{c.name:>22}" for c in self.contenders))
        for name, load in loads.items():
            costs = {c.name: [] for c in self.contenders}
            for cycle in range(options.cycles + 1):
                for contender in self.contenders:
                    before = contender.cpu()
                    requests = load(contender)
                    if cycle > 0:  # the first is for warming up
                        costs[contender.name].append((contender.cpu() - before) / requests * 1e6)
            medians = {name: statistics.median(values) for name, values in costs.items()}
            spread = statistics.median(max(v) / min(v) - 1 for v in costs.values())
            print(f"{name:<14}" + "".join(f"{medians[c.name]:>13.1f} ({medians[c.name] / medians['haproxy']:4.2f} ×)" for c in self.contenders) + f"   spread {spread:.0%}", flush=True)

    def loads(self, seconds):
        bearer = f"Authorization: Bearer {self.token}"
        many = self.write("many.lua", "local t = {}\nfor line in io.lines('tokens') do t[#t + 1] = line end\nlocal n = 0\nrequest = function() n = n % #t + 1\n"
                          "return wrk.format('GET', '/small', { Host = '" + HOST + "', Authorization = 'Bearer ' .. t[n] }) end\n")
        self.write("tokens", "\n".join(self.sign(f"person-{n}") for n in range(2000)) + "\n")
        upload = self.write("upload.lua", "wrk.method = 'POST'\nwrk.body = string.rep('x', 1048576)\n")
        wrk = lambda path, *more, connections=32: lambda c: self.wrk(c, seconds, connections, path, "-H", bearer, *more)
        h2 = lambda path, *more: lambda c: self.h2load(c, seconds, path, "-H", bearer, *more)
        return {
            "h1-hit": wrk("/small"), "h2-hit": h2("/small"),
            "h1-miss": lambda c: self.wrk(c, seconds, 32, "/small", "-s", many),
            "h1-1MiB": wrk("/large"), "h2-1MiB": h2("/large"),
            "h1-upload": wrk("/upload", "-s", upload, connections=8),
            "new-connection": wrk("/small", "-H", "Connection: close", connections=8),
        }

    def wrk(self, contender, seconds, connections, path, *more):
        out = self.run("taskset", "-c", OTHER_CORES, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Host: {HOST}", *more, f"https://127.0.0.1:{contender.port}{path}", text=True).stdout
        if "Non-2xx" in out:
            sys.exit(f"{contender.name} refuses: {out}")
        return max(1, next(int(line.split()[0]) for line in out.splitlines() if " requests in " in line))

    def h2load(self, contender, seconds, path, *more):
        # SNI and :authority are the address's.
        out = self.run("taskset", "-c", OTHER_CORES, "h2load", "-c16", "-m10", f"-D{seconds}", f"--connect-to=127.0.0.1:{contender.port}", *more, f"https://{HOST}:{contender.port}{path}", text=True).stdout
        codes = next(line for line in out.splitlines() if line.startswith("status codes:"))
        done, *others = (int(part.split()[0]) for part in codes.removeprefix("status codes:").split(","))
        if sum(others):
            sys.exit(f"{contender.name} refuses: {out}")
        return max(1, done)

    def idle(self, count):
        print(f"KB resident for an idle HTTP/1.1 connection, of {count}, each after one request")
        for contender in self.contenders:
            before = contender.resident()
            connections = []
            for _ in range(count):
                connection = connect(contender.port)
                connection.request("GET", "/small", headers={"Host": HOST, "Authorization": "Bearer " + self.token})
                connection.getresponse().read()
                connections.append(connection)
            print(f"{contender.name:<16}{(contender.resident() - before) / count:6.1f}")
            for connection in connections:
                connection.close()
        print()


def connect(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.sock = context.wrap_socket(raw, server_hostname=HOST)
    return connection


def integers(der):
    """The two integers of an ECDSA signature, of 32 bytes each."""
    at = 2
    for _ in range(2):
        length = der[at + 1]
        yield der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + length


if __name__ == "__main__":
    main()
