"""Puts the sandbox together, runs it until a signal, and cleans up."""

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

from . import certificate, options
from .api import Api
from .faults import Faults, ScriptError
from .fleet import Fleet
from .gate import Credentials
from .journal import Journal
from .limiter import Limiter
from .server import Server, loopback_address, tls_context

_ENDING_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_PARENT_LOOK_SECONDS = 0.5


def main():
    parent = os.getppid()
    chosen = options.parse()
    # Blocked in every thread to come too: the main thread takes them with sigwait when it can.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    own_directory = None
    try:
        family, address = loopback_address(chosen.host)
        if chosen.ready_file and os.path.exists(chosen.ready_file):
            os.remove(chosen.ready_file)  # of an earlier run: nobody shall take it for this one's
        if chosen.dir is None and not chosen.http:
            own_directory = tempfile.mkdtemp(prefix="zenlayer-sandbox-")
        _run(chosen, family, address, chosen.dir or own_directory, parent)
        status = 0
    except (OSError, ValueError, ScriptError, certificate.CertificateError) as error:
        print("zenlayer-sandbox: %s" % error, file=sys.stderr)
        status = 2
    finally:
        if own_directory is not None:
            shutil.rmtree(own_directory, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # Connections may be in the middle of anything; nobody waits for their threads.
    os._exit(status)


def _run(chosen, family, address, directory, parent):
    def clock():
        return time.time() + chosen.clock_offset

    ca_file = context = None
    if not chosen.http:
        os.makedirs(directory, exist_ok=True)
        ca_file, server_certificate, server_key = certificate.make(
            os.path.abspath(directory), address, chosen.certificate_name)
        context = tls_context(server_certificate, server_key)
    fleet = Fleet(chosen.states, chosen.accept_any, chosen.stop_seconds, chosen.graceful_seconds,
                  zones=chosen.zones)
    credentials = Credentials(chosen.access_key_id, chosen.access_key_password, chosen.token)
    api = Api(fleet, credentials, Limiter(chosen.rate, chosen.burst), chosen.retry_after)
    server = Server(api, Faults(chosen.fault, chosen.faults), Journal(chosen.journal, clock), clock,
                    context)
    port = server.listen(family, address, chosen.port)
    server.start()
    if chosen.die_with_parent:
        threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    _announce(chosen, port, ca_file)
    signal.sigwait(_ENDING_SIGNALS)
    if chosen.ready_file and os.path.exists(chosen.ready_file):
        os.remove(chosen.ready_file)


def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(_PARENT_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _announce(chosen, port, ca_file):
    host = "[%s]" % chosen.host if ":" in chosen.host else chosen.host
    endpoint = "%s://%s:%d" % ("http" if chosen.http else "https", host, port)
    journal = chosen.journal and os.path.abspath(chosen.journal)
    if chosen.ready_file:
        ready = {"endpoint": endpoint, "ca_file": ca_file, "port": port, "pid": os.getpid(),
                 "journal": journal}
        unfinished = "%s.%d" % (chosen.ready_file, os.getpid())
        with open(unfinished, "w", encoding="utf-8") as file:
            json.dump(ready, file)
        os.replace(unfinished, chosen.ready_file)
        return
    print("Zenlayer sandbox (Ctrl-C ends it)")
    print("  endpoint             %s" % endpoint)
    if ca_file:
        print("  ca_file              %s" % ca_file)
    print("  access_key_id        %s" % chosen.access_key_id)
    print("  access_key_password  %s" % chosen.access_key_password)
    print("  token                %s" % chosen.token)
    print("As environment of a client:")
    print("  ZENLAYER_ACCESS_KEY_ID=%s ZENLAYER_ACCESS_KEY_SECRET=%s"
          % (chosen.access_key_id, chosen.access_key_password), flush=True)
