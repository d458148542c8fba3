"""The process: how it starts, where it listens, what it writes, how it ends."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from email.utils import parsedate_to_datetime
from pathlib import Path

from support import PROGRAM, SANDBOX_FOLDER, Sandbox, wait_until


def run(*options):
    return subprocess.run([sys.executable, str(PROGRAM), *options], text=True, timeout=10,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Start(unittest.TestCase):
    def start(self, *options, **more):
        sandbox = Sandbox(*options, **more)
        self.addCleanup(sandbox.close)
        return sandbox

    def test_only_loopback(self):
        for host in ("0.0.0.0", "::", "192.0.2.1", "no such host"):
            with self.subTest(host):
                ended = run("--http", "--host", host)
                self.assertEqual((ended.returncode, ended.stdout), (2, ""))
                self.assertNotIn("Traceback", ended.stderr)

    def test_bad_options(self):
        for options in (["--fault", "stall"], ["--instance", "x"], ["--rate", "0"],
                        ["--burst", "3"], ["--port", "x"],
                        ["--faults", str(PROGRAM)]):
            with self.subTest(options):
                ended = run("--http", *options)
                self.assertEqual(ended.returncode, 2)
                self.assertNotIn("Traceback", ended.stderr)

    def test_help_explains_every_fault(self):
        text = run("--help").stdout
        for word in ("example:", "fault script", "reset_unread", "huge_body", "retry_after?"):
            self.assertIn(word, text)

    def test_ready_file(self):
        sandbox = self.start()
        self.assertEqual(sandbox.ready["endpoint"], "https://127.0.0.1:%d" % sandbox.port)
        self.assertEqual(sandbox.ready["pid"], sandbox.process.pid)
        self.assertEqual(Path(sandbox.ready["journal"]).name, "journal")
        self.assertTrue(Path(sandbox.ready["ca_file"]).exists())
        self.assertEqual(list(sandbox.folder.glob("*ca-key*")), [],
                         "nobody can sign with this authority")

    def test_plain_http(self):
        sandbox = self.start("--host", "localhost", tls=False)
        self.assertEqual(sandbox.ready["endpoint"], "http://localhost:%d" % sandbox.port)
        self.assertIsNone(sandbox.ready["ca_file"])
        self.assertEqual(sandbox.call("Echo").status, 200)
        line = sandbox.last_request()
        self.assertEqual((line["tls"], line["alpn"]), (False, None))

    def test_certificate_names(self):
        sandbox = self.start("--certificate-name", "console.example")
        context = ssl.create_default_context(cafile=sandbox.ready["ca_file"])
        for name in ("localhost", "127.0.0.1", "::1", "console.example"):
            with socket.create_connection(("127.0.0.1", sandbox.port)) as sock:
                with context.wrap_socket(sock, server_hostname=name) as tls:
                    self.assertIn(("DNS", "127.0.0.1"), tls.getpeercert()["subjectAltName"])
                    self.assertIn(tls.version(), ("TLSv1.2", "TLSv1.3"))
        with socket.create_connection(("127.0.0.1", sandbox.port)) as sock:
            with self.assertRaises(ssl.SSLCertVerificationError):
                context.wrap_socket(sock, server_hostname="other.example")
        wait_until(lambda: any(line.get("handshake_done") is False for line in sandbox.journal()))

    def test_printed_for_people(self):
        process = subprocess.Popen([sys.executable, str(PROGRAM), "--http"], stdout=subprocess.PIPE,
                                   text=True)
        with process:
            lines = [process.stdout.readline() for _ in range(7)]
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(5), 0)
        self.assertIn("http://127.0.0.1:", lines[1])
        self.assertIn("SANDBOXKEY", "".join(lines))

    def test_rate(self):
        sandbox = self.start("--rate", "2", "--burst", "5", "--retry-after", "date:7")
        with sandbox.connect() as client:
            answers = [client.call("Echo") for _ in range(20)]
            self.assertEqual([answer.status for answer in answers[:5]], [200] * 5)
            last = answers[-1]
            self.assertEqual((last.status, last.code), (429, "REQUEST_LIMIT_EXCEEDED"))
            moment = parsedate_to_datetime(last.headers["retry-after"]).timestamp()
            self.assertAlmostEqual(moment, time.time() + 7, delta=3)
            time.sleep(0.6)
            self.assertEqual(client.call("Echo").status, 200)

    def test_faults_of_the_command_line_come_first(self):
        sandbox = self.start("--fault",
                             "status:status=503,times=1,code=SERVICE_TEMPORARY_UNAVAILABLE")
        sandbox.write_faults([{"fault": "rate_limit", "times": 2}])
        self.assertEqual([sandbox.call("Echo").status for _ in range(4)], [503, 429, 429, 200])

    def test_credentials(self):
        sandbox = self.start("--access-key-id", "me", "--access-key-password", "mine", "--token",
                             "t")
        self.assertEqual(sandbox.call("Echo", key_id=b"me", password=b"mine").status, 200)
        self.assertEqual(sandbox.call("Echo", Authorization="Bearer t").status, 200)
        self.assertEqual(sandbox.call("Echo").status, 401)


class End(unittest.TestCase):
    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with tempfile.TemporaryDirectory() as folder:
                ready, temporary = Path(folder, "ready"), Path(folder, "tmp")
                temporary.mkdir()
                process = subprocess.Popen([sys.executable, str(PROGRAM), "--ready-file",
                                            str(ready)],
                                           env={**os.environ, "TMPDIR": str(temporary)})
                wait_until(ready.exists)
                self.assertEqual(len(list(temporary.iterdir())), 1)
                process.send_signal(number)
                self.assertEqual(process.wait(5), 0)
                self.assertEqual((list(temporary.iterdir()), ready.exists()), ([], False))

    def test_in_the_middle_of_a_request(self):
        sandbox = Sandbox("--fault", "stall:seconds=60")
        with sandbox.connect() as client:
            client.send("Echo")
            wait_until(sandbox.requests)
            started = time.monotonic()
            self.assertEqual(sandbox.close(), 0)
            self.assertLess(time.monotonic() - started, 1)

    def test_dies_with_its_parent(self):
        with tempfile.TemporaryDirectory() as folder:
            ready = Path(folder, "ready")
            script = ("import os, subprocess, sys, time\n"
                      "subprocess.Popen(sys.argv[1:])\n"
                      "while not os.path.exists(sys.argv[-1]): time.sleep(0.01)\n")
            subprocess.run([sys.executable, "-c", script, sys.executable, str(PROGRAM), "--http",
                            "--die-with-parent",
                            "--ready-file", str(ready)], check=True, timeout=10)
            wait_until(lambda: not ready.exists(), 3)  # its last act

    def test_nothing_is_left_in_the_tree(self):
        self.assertEqual(list(SANDBOX_FOLDER.rglob("__pycache__")), [])


class Robustness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox()
        cls.addClassCleanup(cls.sandbox.close)

    def test_bad_clients_harm_nobody(self):
        for bytes_sent in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", self.sandbox.port)) as sock:
                sock.sendall(bytes_sent)
        with self.sandbox.connect() as client:
            client.sock.sendall(client.request("Echo")[:100])
        with self.sandbox.connect() as client:
            client.send("Echo", {"a": "x" * 2_000_000})  # and never reads the answer
        self.assertEqual(self.sandbox.call("Echo").status, 200)

    def test_the_journal_is_first(self):
        with self.sandbox.connect() as client:
            for number in range(200):
                request_id = client.call("Echo", {"n": number}).json["requestId"]
                line = self.sandbox.last_request() if number % 20 == 0 else None
                if line:
                    self.assertEqual((line["request_id"], line["params"]),
                                     (request_id, {"n": number}))

    def test_connections_are_told(self):
        with self.sandbox.connect() as client:
            client.call("Echo")
        number = self.sandbox.last_request()["connection"]

        def story():
            return [line.get("event", "request") for line in self.sandbox.journal()
                    if line["connection"] == number]

        wait_until(lambda: len(story()) == 3)
        self.assertEqual(story(), ["connection_opened", "request", "connection_closed"])

    def test_many_at_once(self):
        def hammer():
            with self.sandbox.connect() as client:
                for _ in range(20):
                    statuses.append(client.call("Echo").status)

        statuses = []
        threads = [threading.Thread(target=hammer) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, [200] * 400)
        lines = self.sandbox.requests()
        self.assertEqual([line["seq"] for line in lines], list(range(1, len(lines) + 1)))
