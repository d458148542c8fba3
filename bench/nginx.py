"""An nginx of its own for a measurement, in a folder that goes with it."""

import json
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "sandbox"))
sys.dont_write_bytecode = True
os.environ["PATH"] += ":/usr/sbin"  # where Debian has nginx
from zlsandbox import certificate  # noqa: E402

_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules")
_HEAD = """\
$MODULES
worker_processes 1;
pid $DIR/nginx.pid;
error_log $DIR/error.log error;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $DIR/body;
    proxy_temp_path $DIR/proxy;
    fastcgi_temp_path $DIR/fastcgi;
    uwsgi_temp_path $DIR/uwsgi;
    scgi_temp_path $DIR/scgi;
    default_type application/json;
"""
TLS = """\
        ssl_certificate $DIR/server.pem;
        ssl_certificate_key $DIR/server-key.pem;
"""


def load_module(*names):
    """The directives that load these modules, where they are not part of nginx."""
    lines = []
    for name in names:
        paths = [os.path.join(each, name + ".so") for each in _MODULES]
        lines += ["load_module %s;" % path for path in paths if os.path.exists(path)][:1]
    return "\n".join(lines)


class Nginx:
    """`http` is what stands in its http block, with @PORT@ (@PORT2@, ...) and $DIR."""

    def __init__(self, http, modules="", environment=None):
        self.folder = tempfile.TemporaryDirectory()
        self.ca_file = os.path.join(self.folder.name, "ca.pem")
        certificate.make(self.folder.name, "127.0.0.1")
        text = (_HEAD + http + "}\n").replace("$MODULES", modules)
        with open(os.path.join(self.folder.name, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(text.replace("$DIR", self.folder.name))
        self.process = subprocess.Popen(
            [sys.executable, "-B", os.path.join(TOP, "spec/support/server.py"), "nginx",
             self.folder.name], stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
        self.ports = self._await("ready.json")["ports"]
        self._await("nginx.pid")

    def _await(self, name):
        path = os.path.join(self.folder.name, name)
        for _ in range(1000):
            if os.path.exists(path) and os.path.getsize(path) > 0:
                with open(path, encoding="ascii") as file:
                    return json.load(file)
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        log = self.log()
        self.stop()
        sys.exit("nginx did not start\n" + log)

    def log(self):
        path = os.path.join(self.folder.name, "error.log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(line for line in file if "[notice]" not in line)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()
