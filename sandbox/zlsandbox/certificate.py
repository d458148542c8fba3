"""A certificate authority for one run, and the server's certificate, by the openssl command."""

import os
import subprocess

_DAYS = "30"
_CONFIGURATION = """\
[req]
prompt = no
distinguished_name = subject
[subject]
CN = {common_name}
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""
# Some clients look for an address among the DNS names alone, so the usual one stands there too.
_NAMES = ["localhost", "127.0.0.1"]
_ADDRESSES = ["127.0.0.1", "::1"]


class CertificateError(Exception):
    pass


def make(directory, address, extra_names=()):
    """Writes the certificates for a server at `address` into `directory`; returns the paths (ca,
    server certificate, server key).

    The authority's own key is removed at once: nothing else can ever be signed by it.
    """
    def path(name):
        return os.path.join(directory, name)

    names = ["DNS:" + name for name in [*_NAMES, *extra_names]]
    names += ["IP:" + each for each in dict.fromkeys([*_ADDRESSES, address])]
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    _write(path("ca.cnf"), "Zenlayer sandbox CA, good for one run", names)
    _write(path("server.cnf"), "Zenlayer sandbox", names)
    try:
        _openssl("req", "-x509", "-config", path("ca.cnf"), "-extensions", "authority", *new_key,
                 "-keyout", path("ca-key.pem"), "-out", path("ca.pem"), "-days", _DAYS, "-sha256")
        _openssl("req", "-new", "-config", path("server.cnf"), *new_key,
                 "-keyout", path("server-key.pem"), "-out", path("server.csr"))
        _openssl("x509", "-req", "-in", path("server.csr"), "-out", path("server.pem"),
                 "-CA", path("ca.pem"), "-CAkey", path("ca-key.pem"), "-sha256",
                 "-set_serial", str(int.from_bytes(os.urandom(8), "big")), "-days", _DAYS,
                 "-extfile", path("server.cnf"), "-extensions", "server")
    finally:
        for name in ("ca.cnf", "server.cnf", "server.csr", "ca-key.pem"):
            if os.path.exists(path(name)):
                os.remove(path(name))
    os.chmod(path("server-key.pem"), 0o600)
    return path("ca.pem"), path("server.pem"), path("server-key.pem")


def _write(path, common_name, names):
    with open(path, "w", encoding="utf-8") as file:
        file.write(_CONFIGURATION.format(common_name=common_name, names=", ".join(names)))


def _openssl(*arguments):
    try:
        run = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, text=True,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, errors="replace")
    except FileNotFoundError:
        raise CertificateError("the openssl command is needed for TLS; or use --http") from None
    if run.returncode != 0:
        raise CertificateError("openssl %s failed: %s" % (arguments[0], run.stderr.strip()))
