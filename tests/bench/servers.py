"""PostgreSQL and what stands before it: PgBouncer, and the sidecar."""

import os
import pathlib
import pwd
import shutil
import subprocess

import wire
from stage import LOOPBACK, TIED, Process, Stage, free_port, program

HERE = pathlib.Path(__file__).resolve().parent
SCALE = 5
DATABASE = "bench"
ROLE = "bench"
MAX_CONNECTIONS = 1200


def as_server_user():
    """The words before a command that refuses to run as root."""
    if os.getuid() != 0:
        return TIED
    names = [entry.pw_name for entry in pwd.getpwall()]
    user = "postgres" if "postgres" in names else "nobody"
    group = str(pwd.getpwnam(user).pw_gid)
    return [*TIED, f"--reuid={user}", f"--regid={group}", "--clear-groups"]


class Server(Process):
    """A process that speaks PostgreSQL's protocol."""

    def wait_ready(self, user, asks=True, database=DATABASE, seconds=20):
        """Waits for the first query to be answered, or only for the first login, and returns the seconds from the process's start until then."""

        def ask():
            with wire.Client(self.port, user, database) as client:
                if asks:
                    client.query("SELECT 1")

        return self.wait(ask, (OSError, wire.Refused), seconds)


class Bench(Stage):
    """A PostgreSQL, and the makers of proxies in front of it."""

    def __init__(self, sidecar, workers):
        super().__init__()
        self.sidecar_path, self.workers = sidecar, workers

    def set_up(self):
        self.folder.chmod(0o755)
        self.binaries = pathlib.Path(subprocess.check_output([HERE.parent / "setup/postgres-bin"], text=True).strip())
        self.pgbench = shutil.which("pgbench") or str(self.binaries / "pgbench")
        self.start_postgres()

    def start_postgres(self):
        """A cluster tuned to stay out of the way: data in memory, nothing synced, nothing vacuumed in the middle of a run."""
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        if os.getuid() == 0:
            shutil.chown(data, as_server_user()[len(TIED)].removeprefix("--reuid="))
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "check": True}
        subprocess.run([*as_server_user(), self.binaries / "initdb", "-D", data, "-U", ROLE, "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8"], **quiet)
        self.port = free_port()
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": MAX_CONNECTIONS,
            "shared_buffers": "256MB", "fsync": "off", "autovacuum": "off", "max_wal_senders": 0, "wal_level": "minimal",
        }
        command = [*as_server_user(), self.binaries / "postgres", "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.postgres = self.keep(Server("PostgreSQL", command, self.port, self.folder / "postgres.log"))
        # The database of the benchmark is not there yet, so the server is asked for its own.
        self.postgres.wait_ready(ROLE, database="postgres", seconds=30)
        with wire.Client(self.port, ROLE, "postgres") as client:
            client.query(f"CREATE DATABASE {DATABASE}")
        subprocess.run([self.pgbench, "-q", "-i", "-s", str(SCALE), *self.target(self.port, ROLE)], stderr=subprocess.DEVNULL, **quiet)

    @staticmethod
    def target(port, user, host=LOOPBACK):
        """pgbench's words for where to connect."""
        return ["-h", host, "-p", str(port), "-U", user, DATABASE]

    def pgbouncer(self, pool_mode, size):
        """PgBouncer with `size` server connections for the one role that it knows."""
        port = free_port()
        users = self.folder / "pgbouncer-users"
        users.write_text(f'"{ROLE}" ""\n')
        config = self.folder / f"pgbouncer-{port}.ini"
        config.write_text(
            f"[databases]\n{DATABASE} = host=127.0.0.1 port={self.port} dbname={DATABASE}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {users}\n"
            f"pool_mode = {pool_mode}\ndefault_pool_size = {size}\nmax_client_conn = 6000\n"
            "log_connections = 0\nlog_disconnections = 0\nignore_startup_parameters = extra_float_digits\n"
        )
        command = [*as_server_user(), program("pgbouncer"), "-q", config]
        return self.keep(Server("PgBouncer", command, port, self.folder / f"pgbouncer-{port}.log"))

    def sidecar(self, tier, pool_mode, size, per_user, by_socket=False, in_sql=False, workers=None, tls=False):
        """The sidecar with `size` server connections in all and `per_user` for one user, who is named by `role+ID`, or in SQL at each checkout."""
        beside = f", socket: {self.folder}" if by_socket else ""
        if tls:
            beside += ", tls: Secret, tlsSecretRef: {name: listener}"
        port, admin = free_port(), free_port()
        policy = self.folder / f"policy-{port}.yaml"
        policy.write_text(POLICY.format(tier=tier, pool_mode=pool_mode, size=size, per_user=per_user, port=port, beside=beside, upstream=self.port, database=DATABASE,
            identity=IN_SQL if in_sql else BY_NAME))
        command = [*TIED, self.sidecar_path, "run", "--policy", policy, "--environment", "production", "--admin", f"127.0.0.1:{admin}"]
        command += ["--control", self.folder / f"control-{port}.sock"]
        if tls:
            command += ["--secrets", self.certificate()]
        workers = workers or self.workers
        if workers:
            command += ["--workers", str(workers)]
        return self.keep(Server("the sidecar", command, port, self.folder / f"sidecar-{port}.log", str(self.folder) if by_socket else LOOPBACK))

    def certificate(self):
        """The folder of a Secret with a certificate, as the sidecar and PgBouncer show it to clients, which do not look at it."""
        secret = self.folder / "secrets/listener"
        if not secret.exists():
            secret.mkdir(parents=True)
            words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=bench"]
            subprocess.run([*words, "-keyout", secret / "tls.key", "-out", secret / "tls.crt"], stderr=subprocess.DEVNULL, check=True)
        return secret.parent


BY_NAME = "{source: Trusted}"
IN_SQL = "{source: Trusted, inSql: {scope: Transaction}, trusted: {setting: app.current_user_id}}"
POLICY = """\
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {{name: bench}}
spec:
  selector: {{}}
  identity: {identity}
  isolation: {{tier: {tier}}}
  databases:
  - name: main
    protocol: PostgreSQL
    listen: {{port: {port}{beside}, auth: {{mode: Trust}}}}
    upstream: {{host: 127.0.0.1, port: {upstream}, database: {database}, tls: {{mode: Disable}}}}
    pool: {{mode: {pool_mode}, perUser: {{max: {per_user}}}, maxConnections: {size}}}
    timeouts: {{acquire: 60s}}
"""
