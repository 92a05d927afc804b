#!/usr/bin/python3
"""Whether the gateway stays as it is: hours of mixed load, and a look at its memory, goroutines and descriptors every ten seconds.

    make build && /usr/bin/python3 deploy/bench/soak.py [--minutes 60] [--load 0.7] [--vilogate bin/vilogate] [--seed 1]

The gateway is before nginx and a backend that misbehaves, with its own identity provider beside. The load is small requests and
downloads over HTTP/1.1 and HTTP/2, uploads, WebSockets, clients and backends that break off, messages that are none, and people
who sign in and out; after a tenth of the time it is such that the gateway takes about so much of one core, and stays so. Then all
clients go, and the gateway is looked at once more when its idle timeouts have passed. The last lines say whether it stayed flat;
the exit status is 1 where it did not. Needs Linux and what REQUIRED names; see bench.py, which compares.
"""

import argparse, html, http.client, os, random, re, shutil, signal, socket, ssl, statistics, struct, subprocess, sys, tempfile, threading, time, urllib.parse, urllib.request

from bench import Bench, Contender, connect, free_port

REQUIRED = {"nginx": "nginx-light", "h2load": "nghttp2-client", "openssl": "openssl", "taskset": "util-linux"}
APP, ODD, LOGIN = "app.bench.test", "odd.bench.test", "login.bench.test"
INTERVAL = 10
WEBSOCKETS = 50
FASTEST = 1000.0  # requests a second of each client of h2load: more than any gateway takes, and than where others take the cores is of use
SETTLED = 150  # seconds until idle timeouts have passed, and the collector has run

# By how much the trend over the time behind the warm-up may rise, as a part of the mean, or where that is less, in units. Memory goes up
# and down with each collection, by more where other programs take the cores: its trend is that of the least in each WINDOW of samples.
BOUNDS = {"rss_mb": (0.15, 20), "heap_mb": (0.1, 6), "goroutines": (0.08, 25), "descriptors": (0.08, 25)}
LEAST = ("rss_mb", "heap_mb")
WINDOW = 12
# What may be left at the end that was not there at the beginning.
LEFT = {"rss_mb": 20, "heap_mb": 6, "goroutines": 10, "descriptors": 10}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--vilogate", default="bin/vilogate")
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--load", type=float, default=0.7, help="how much of one core the gateway is to take")
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    missing = [package for program, package in REQUIRED.items() if not shutil.which(program)]
    if missing:
        sys.exit(f"needed: apt-get install {' '.join(missing)}")
    directory = tempfile.mkdtemp(prefix="vilogate-soak-")
    soak = Soak(directory, os.path.abspath(options.vilogate), options)
    try:
        soak.start()
        flat = soak.observe()
    finally:
        soak.ended.set()
        soak.stop()
        shutil.rmtree(directory)
    sys.exit(0 if flat else 1)


class Soak(Bench):
    def __init__(self, directory, vilogate, options):
        super().__init__(directory, vilogate)
        self.options = options
        self.random = random.Random(options.seed)
        self.ended = threading.Event()
        self.rate = 40.0  # requests a second of each client of h2load
        self.done = {}

    def spawn(self, core, *command):
        return super().spawn(f"0-{os.cpu_count() - 1}", *command)

    def start(self):
        self.certificate()
        self.token_key()
        self.odd = OddBackend()
        self.start_gateway(self.start_backend())
        self.write("body", "x" * 65536)
        contender = self.contenders[0]
        self.await_answer(contender)
        self.run(self.vilogate, "user", "add", "alice", "--email", "alice@bench.test", "--password-stdin", "-c", "vilogate.yaml", input=b"correct horse battery")
        self.begin = self.sample()
        for role in (self.small, self.downloads, self.uploads, self.break_off, self.break_backends, self.nonsense, self.people, *[self.websocket] * WEBSOCKETS):
            threading.Thread(target=self.repeat, args=(role,), daemon=True).start()

    def start_gateway(self, backend):
        self.port, self.admin = free_port(), free_port()
        self.write("vilogate.yaml", f"""
domain: bench.test
listen: {{ https: "127.0.0.1:{self.port}", http: "127.0.0.1:0", admin: "127.0.0.1:{self.admin}" }}
public_port: 443
state: {self.path("state")}
certificates: {{ source: files, files: [ {{ certificate: {self.path("cert.pem")}, key: {self.path("key.pem")} }} ] }}
login: {{ host: {LOGIN} }}
idp: {{ database: sqlite }}
tokens: {{ issuers: [ {{ name: bench, issuer: "https://issuer.bench.test", audience: [bench], keys: {self.path("jwks.json")}, claims: {{ roles: groups }} }} ] }}
upstreams:
  app: {{ url: "http://127.0.0.1:{backend}" }}
  odd: {{ url: "http://127.0.0.1:{self.odd.port}" }}
policies: {self.path("policies")}/
""")
        self.write("policies/app.yaml", f"host: {APP}\nupstream: app\nroutes: [ {{ path: \"/*rest\", allow: authenticated }} ]\n")
        self.write("policies/odd.yaml", f"host: {ODD}\nupstream: odd\nroutes: [ {{ path: \"/ws\", allow: authenticated, websocket: true }}, {{ path: \"/*rest\", allow: authenticated }} ]\n")
        os.mkdir(self.path("state"), 0o700)
        os.chmod(self.directory, 0o700)
        self.contenders.append(Contender("vilogate", self.port, self.spawn("0", self.vilogate, "serve", "-c", self.path("vilogate.yaml"))))

    # The load: each role is done again and again.

    def repeat(self, role):
        time.sleep(self.random.random() * 3)
        while not self.ended.is_set():
            try:
                done = role()
            except (OSError, http.client.HTTPException, subprocess.CalledProcessError, StopIteration):
                done = 0  # the other side breaks off, as it is meant to
                self.ended.wait(0.2)
            self.done[role.__name__] = self.done.get(role.__name__, 0) + (1 if done is None else done)

    def h2load(self, clients, rate, path, *more):
        # Rates of less than one are not taken. SNI and :authority are the address's.
        out = self.run("h2load", f"-c{clients}", "-m4", f"-D{INTERVAL}", f"--rps={max(1, rate):.0f}", f"--connect-to=127.0.0.1:{self.port}", "-H", f"Authorization: Bearer {self.token}",
                       *more, f"https://{APP}:{self.port}{path}", text=True).stdout
        return next(int(line.split()[2]) for line in out.splitlines() if line.startswith("status codes:"))

    def small(self):
        return self.h2load(8, self.rate, "/small", *self.random.choice(((), ("--h1",))))

    def downloads(self):
        return self.h2load(4, self.rate / 40, "/large", *self.random.choice(((), ("--h1",))))

    def uploads(self):
        return self.h2load(4, self.rate / 20, "/upload", "-d", self.path("body"), *self.random.choice(((), ("--h1",))))

    def connect(self, host):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=20), server_hostname=host)

    def head(self, line, host, *more):
        return "\r\n".join([line + " HTTP/1.1", "Host: " + host, "Authorization: Bearer " + self.token, *more, "", ""]).encode()

    def break_off(self):
        """A client goes away: within a head, within a body, within an answer, or without a word of TLS."""
        self.ended.wait(0.05)
        s = self.connect(APP)
        kind = self.random.randrange(5)
        s.sendall([b"GET /small HT", self.head("POST /upload", APP, "Content-Length: 100000") + b"x" * 500, self.head("POST /upload", APP, "Transfer-Encoding: chunked") + b"1f4\r\n" + b"x" * 200,
                   self.head("GET /large", APP), self.head("GET /small", APP) * 20][kind])
        if kind == 3:
            s.recv(16384)
        if self.random.random() < 0.5:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        s.close()

    def break_backends(self):
        self.ended.wait(0.05)
        with self.connect(ODD) as s:
            s.sendall(self.head("GET " + self.random.choice(("/no-answer", "/half-a-head", "/half-a-body", "/nonsense")), ODD, "Connection: close"))
            while s.recv(65536):
                pass

    def nonsense(self):
        self.ended.wait(0.05)
        with self.connect(APP) as s:
            s.sendall(self.random.choice((b"GET /x HTTP/1.1\nHost: a\n\n", self.head("POST /upload", APP, "Content-Length: 5", "Transfer-Encoding: chunked"), b"\x00" * 200, self.head("GET /../x", APP), b"GET / HTTP/9.9\r\n\r\n")))
            s.settimeout(2)
            while s.recv(65536):
                pass

    def people(self):
        """Somebody signs in, asks for something, and signs out, with a stream open."""
        self.ended.wait(5)
        c = connect(self.port)
        browser = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        cookies = {}

        def ask(method, host, path, body=None, **headers):
            named = {"Host": host, "Cookie": "; ".join(f"{n}={v}" for n, v in cookies.items()), **{n.replace("_", "-"): v for n, v in headers.items()}}
            c.request(method, path, body=body, headers=named)
            answer = c.getresponse()
            text = answer.read().decode()
            for line in answer.headers.get_all("Set-Cookie") or ():
                name, _, value = line.partition(";")[0].partition("=")
                cookies[name] = value
            return answer.status, text

        _, page = ask("GET", LOGIN, "/login", **browser)
        fields = {name: html.unescape(value) for name, value in re.findall(r'<input type="?hidden"? name="?([^" >]+)"? value="([^"]*)"', page)}
        form = urllib.parse.urlencode({**fields, "username": "alice", "password": "correct horse battery"})
        status, _ = ask("POST", LOGIN, "/login", form, **browser, Origin="https://" + LOGIN, Content_Type="application/x-www-form-urlencoded")
        if status != 303 or not any("sso" in name for name in cookies):
            raise OSError(f"login: {status}")
        if ask("GET", APP, "/small")[0] != 200:
            raise OSError("signed in, and not let in")
        stream = self.open_websocket("Cookie: " + "; ".join(f"{n}={v}" for n, v in cookies.items()), "Origin: https://" + ODD)
        status, _ = ask("POST", APP, "/.vilogate/logout", Origin="https://" + APP, Sec_Fetch_Site="same-origin")
        if status >= 400:
            raise OSError(f"logout: {status}")
        while stream.recv(4096):  # which ends
            pass
        stream.close()
        c.close()

    def open_websocket(self, *headers):
        s = self.connect(ODD)
        s.sendall("\r\n".join(["GET /ws HTTP/1.1", "Host: " + ODD, *headers, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]).encode())
        if b" 101 " not in s.recv(4096):
            raise OSError("no WebSocket")
        return s

    def websocket(self):
        """One WebSocket, for up to a minute, with messages of all sizes that come back."""
        with self.open_websocket("Authorization: Bearer " + self.token) as s:
            for _ in range(self.random.randrange(1, 30)):
                payload = b"x" * self.random.choice((1, 100, 125, 3000, 60000))
                size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
                frame = b"\x82" + size + bytes(4) + payload
                s.sendall(frame)
                left = len(frame)
                while left > 0:
                    left -= len(s.recv(65536)) or left
                if self.ended.wait(self.random.random() * 4):
                    return
            if self.random.random() < 0.5:
                s.sendall(b"\x88\x80\0\0\0\0")

    # The gateway.

    def sample(self):
        pid = self.contenders[0].process.pid
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10).read().decode()
        number = lambda name: float(re.search(rf"(?m)^{name} (\S+)", metrics).group(1))
        return {
            "at": time.time(), "cpu": self.contenders[0].cpu(), "rss_mb": self.contenders[0].resident() / 1024, "heap_mb": number("go_memstats_heap_inuse_bytes") / 2**20,
            "goroutines": int(number("go_goroutines")), "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        }

    def observe(self):
        seconds = self.options.minutes * 60
        warm = max(seconds / 10, 6 * INTERVAL)
        samples, last, begun = [], self.sample(), time.time()
        print(f"{'minute':>7}{'core':>7}{'RSS MB':>9}{'heap MB':>9}{'goroutines':>12}{'descriptors':>13}", flush=True)
        while time.time() - begun < seconds and self.contenders[0].process.poll() is None:
            time.sleep(INTERVAL)
            now = self.sample()
            core = (now["cpu"] - last["cpu"]) / (now["at"] - last["at"])
            if now["at"] - begun < warm:
                self.rate = min(self.rate * min(max(self.options.load / max(core, 0.01), 0.5), 1.6), FASTEST)
            else:
                samples.append(dict(now, core=core))
            last = now
            print(f"{(now['at'] - begun) / 60:7.1f}{core:7.2f}{now['rss_mb']:9.1f}{now['heap_mb']:9.1f}{now['goroutines']:12}{now['descriptors']:13}", flush=True)
        if self.contenders[0].process.poll() is not None:
            sys.exit("the gateway has ended: " + open(self.path("output-1"), errors="replace").read()[-2000:])
        print(f"\ndone: {', '.join(f'{n} {c}' for n, c in sorted(self.done.items()))}; the gateway took {statistics.mean(s['core'] for s in samples):.2f} of a core")
        self.ended.set()
        time.sleep(SETTLED)
        return self.judge(samples, self.sample())

    def judge(self, samples, settled):
        flat = True
        for name, (part, units) in BOUNDS.items():
            values, at = [s[name] for s in samples], [s["at"] for s in samples]
            under = f"{min(values):.0f} to {max(values):.0f}"
            if name in LEAST and len(values) >= 3 * WINDOW:
                begins = range(0, len(values) - WINDOW + 1, WINDOW)
                values, at = [min(values[n:n + WINDOW]) for n in begins], [at[n] for n in begins]
            rise = slope(at, values) * (at[-1] - at[0])
            bound = max(part * statistics.mean(values), units)
            good = rise <= bound and settled[name] - self.begin[name] <= LEFT[name]
            flat = flat and good
            print(f"{name:<12} at rest {self.begin[name]:6.0f}, under load {under:>12}, trend {rise:+6.1f} (bound {bound:.1f}), at rest again {settled[name]:6.0f}: {'flat' if good else 'NOT FLAT'}")
        return flat


def slope(at, values):
    """The rise a second, by least squares."""
    mean_at, mean = statistics.mean(at), statistics.mean(values)
    return sum((a - mean_at) * (v - mean) for a, v in zip(at, values)) / sum((a - mean_at) ** 2 for a in at)


class OddBackend:
    """Breaks off, says nonsense, and speaks WebSocket, of which it sends the payloads back as they come."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, c):
        with c:
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = c.recv(65536)
                    if not piece:
                        return
                    head += piece
                path = head.split(b" ", 2)[1]
                if path == b"/ws":
                    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                    while piece := c.recv(65536):
                        if piece[:1] == b"\x88":
                            return
                        c.sendall(piece)
                c.sendall({b"/half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le", b"/half-a-body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000,
                           b"/nonsense": b"\x00\x01\x02\r\n\r\n"}.get(path, b""))
            except OSError:
                pass  # the gateway has broken off


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended early"))
    main()
