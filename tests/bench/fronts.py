"""What stands before an application that speaks WebSocket: nothing, HAProxy, nginx, the sidecar; and the application and its clients."""

import base64
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time

import process
from stage import LOOPBACK, TIED, Process, Stage, free_port, program

# Users who have a token; sockets beyond are theirs too.
USERS = 5000
# Path: (its title, the maker's name); one proxy of each kind for a round.
PATHS = {
    "direct": ("direct", None),
    "haproxy": ("HAProxy", "haproxy"),
    "nginx": ("nginx", "nginx"),
    "bulkhead": ("Bulkhead", "sidecar"),
}


class Fronts(Stage):
    """An application that echoes, and makers of what stands in front of it."""

    def __init__(self, sidecar, ends, workers):
        super().__init__()
        self.sidecar_path, self.ends = sidecar, ends
        self.workers = workers or min(4, os.cpu_count())
        self.clients_on = set(os.sched_getaffinity(0))

    def set_up(self):
        self.tokens = self.write_tokens()
        self.port = free_port()
        self.application = self.start("the application", [self.ends, "echo", str(self.port)], self.port)

    def write_tokens(self):
        """A key set with one shared secret in the folder of secrets, and a token of each user in a file."""
        secret = os.urandom(32)
        keys = self.folder / "secrets/keys"
        keys.mkdir(parents=True)
        key = {"kty": "oct", "kid": "bench", "alg": "HS256", "k": in_base64(secret)}
        (keys / "jwks.json").write_text(json.dumps({"keys": [key]}))
        head = in_base64(json.dumps({"alg": "HS256", "kid": "bench"}).encode())
        until = int(time.time()) + 24 * 3600
        lines = []
        for user in range(USERS):
            said = f"{head}.{in_base64(json.dumps({'sub': f'user-{user}', 'aud': 'chat', 'exp': until}).encode())}"
            lines.append(f"{said}.{in_base64(hmac.digest(secret, said.encode(), 'sha256'))}\n")
        tokens = self.folder / "tokens"
        tokens.write_text("".join(lines))
        return tokens

    def start(self, name, command, port, ends_by=signal.SIGINT):
        """A process that is ready when its port accepts."""
        log = self.folder / f"{name.replace(' ', '-')}-{port}.log"
        process = self.keep(Process(name, [*TIED, *command], port, log, ends_by=ends_by))
        process.wait(lambda: socket.create_connection((LOOPBACK, port), timeout=5).close(), pause=0.005)
        return process

    def drop(self, process):
        """Ends what stands in front, if anything does."""
        if process:
            super().drop(process)

    def make(self, path):
        """A fresh proxy of this path; nothing where clients go direct."""
        maker = PATHS[path][1]
        return getattr(self, maker)() if maker else None

    def haproxy(self):
        """HAProxy with as many threads as the sidecar has workers, and no access log, as the sidecar has none."""
        port = free_port()
        config = self.folder / f"haproxy-{port}.cfg"
        config.write_text(HAPROXY.format(port=port, upstream=self.port, workers=self.workers))
        return self.start("HAProxy", [program("haproxy"), "-db", "-f", config], port)

    def nginx(self):
        """nginx, in the same way."""
        port = free_port()
        home = self.folder / f"nginx-{port}"
        home.mkdir()
        config = home / "nginx.conf"
        config.write_text(NGINX.format(port=port, upstream=self.port, workers=self.workers, home=home))
        return self.start("nginx", [program("nginx"), "-e", home / "error.log", "-p", home, "-c", config], port, signal.SIGTERM)

    def sidecar(self):
        """The sidecar, whose clients bring tokens of an identity provider; a user each."""
        port = free_port()
        policy = self.folder / f"policy-{port}.yaml"
        policy.write_text(POLICY.format(port=port, upstream=self.port))
        command = [self.sidecar_path, "run", "--policy", policy, "--environment", "production", "--secrets", self.folder / "secrets"]
        command += ["--admin", f"127.0.0.1:{free_port()}", "--control", self.folder / f"control-{port}.sock", "--workers", str(self.workers)]
        return self.start("the sidecar", command, port)

    def place(self, proxies, processors):
        """Holds everybody on one processor, or the proxies on another than the rest; nobody anywhere without a number."""
        anywhere = set(os.sched_getaffinity(0))
        first, *_, last = sorted(anywhere) * 2
        self.clients_on = {first} if processors else anywhere
        hold(self.application, self.clients_on)
        for proxy in proxies:
            if proxy:
                hold(proxy, {first} if processors == 1 else {last} if processors else anywhere)

    def measure(self, command, proxy, *words):
        """One run of the clients, through a proxy or direct: what they have measured."""
        port = proxy.port if proxy else self.port
        pids = ",".join(str(pid) for pid in process.family(proxy.pid)) if proxy else ""
        words = [self.ends, command, str(port), self.tokens, pids, *(str(word) for word in words)]
        held = ["taskset", "--cpu-list", ",".join(str(cpu) for cpu in self.clients_on)]
        run = subprocess.run([*TIED, *held, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            sys.exit(f"the clients of {proxy.name if proxy else 'the application'} have failed: {run.stderr[-2000:]}")
        return json.loads(run.stdout)

    def hold(self, proxy, count):
        """Clients that are idle; they are there when this returns."""
        words = [self.ends, "hold", str(proxy.port), self.tokens, str(count)]
        child = subprocess.Popen([*TIED, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if not child.stdout.readline():
            child.wait()
            sys.exit(f"idle clients of {proxy.name} have failed")
        return child


def hold(proxy, processors):
    """Has the threads of a process and its children run on these processors alone."""
    for pid in process.family(proxy.pid):
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), processors)


def in_base64(data):
    """As tokens have it: for addresses, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def versions():
    """HAProxy's and nginx's names and versions."""
    haproxy = subprocess.check_output([program("haproxy"), "-v"], text=True).split()[2].partition("-")[0]
    nginx = subprocess.run([program("nginx"), "-v"], stderr=subprocess.PIPE, text=True, check=True).stderr.strip().partition("/")[2]
    return f"HAProxy {haproxy}, nginx {nginx}"


HAPROXY = """\
global
    nbthread {workers}
    maxconn 8000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
frontend clients
    bind 127.0.0.1:{port}
    default_backend application
backend application
    server echo 127.0.0.1:{upstream}
"""

NGINX = """\
daemon off;
worker_processes {workers};
pid {home}/pid;
error_log {home}/error.log;
events {{ worker_connections 12000; }}
http {{
    access_log off;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
}}
"""

# All that is not the default: one socket says more than 50 messages a second here.
POLICY = """\
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {{name: chat, namespace: chat}}
spec:
  selector: {{}}
  identity: {{source: Jwt, jwt: {{jwks: {{secretRef: {{name: keys}}}}, audiences: [chat]}}}}
  webSockets:
  - name: chat
    listen: {{port: {port}}}
    upstream: {{port: {upstream}}}
    limits: {{messagesPerSecond: 1000000}}
"""
