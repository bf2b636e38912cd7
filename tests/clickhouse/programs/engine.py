"""A thin HTTP adapter before chDB: the engine of a newer ClickHouse, which brings no server along.

It reads a request as ClickHouse's HTTP interface does, as far as the tests go: `query` in the address with the body behind it, every
parameter that is no word of the protocol as a setting of this query, and the user and password in X-ClickHouse-User and -Key. Queries run
one after the other in one session of the engine's; settings are taken back after each.

usage: engine.py PORT FOLDER PASSWORD
"""

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb import session

PORT, FOLDER, PASSWORD = int(sys.argv[1]), sys.argv[2], sys.argv[3]
WORDS = {
    "query", "query_id", "session_id", "session_timeout", "session_check", "default_format", "database", "compress",
    "decompress", "quota_key", "wait_end_of_query", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
    "client_protocol_version", "role",
}

# The configuration names its other file by a path from where the process stands.
os.chdir(FOLDER)
engine = session.Session(f"{FOLDER}/data?config-file={FOLDER}/config.xml")
turn = threading.Lock()


def quoted(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def run(query, settings, output):
    with turn:
        changed = []
        try:
            for name, value in settings.items():
                engine.query(f"SET {name} = {quoted(value)}")
                changed.append(name)
            return engine.query(query, output).bytes()
        finally:
            for name in changed:
                engine.query(f"SET {name} = DEFAULT")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Keep-Alive", "timeout=10")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            read = b""
            while size := int(self.rfile.readline().strip(), 16):
                read += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return read
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        if urlsplit(self.path).path == "/ping":
            return self.answer(200, b"Ok.\n")
        self.do_POST()

    def do_POST(self):
        body = self.body()
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        query = parameters.get("query", "") + "\n" + body.decode()
        settings = {name: value for name, value in parameters.items() if name not in WORDS}
        query_id = [("X-ClickHouse-Query-Id", parameters.get("query_id", ""))]
        if self.headers.get("X-ClickHouse-User") != "app" or self.headers.get("X-ClickHouse-Key") != PASSWORD:
            code = [("X-ClickHouse-Exception-Code", "516")]
            text = b"Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)\n"
            return self.answer(403, text, code + query_id)
        try:
            rows = run(query, settings, parameters.get("default_format", "TabSeparated"))
        except Exception as error:  # the engine raises one kind for everything
            text = str(error)
            number = text.partition("Code: ")[2].partition(".")[0] or "1001"
            return self.answer(500, text.encode(), [("X-ClickHouse-Exception-Code", number)] + query_id)
        self.answer(200, rows, query_id)


print("ready", flush=True)
ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
