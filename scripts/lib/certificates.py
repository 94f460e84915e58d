"""The HTTPS listener's certificate: a private test CA and a P-256 certificate for this machine, by openssl."""

import os
import subprocess

SERVER_EXTENSIONS = """basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""
CA_EXTENSIONS = ["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign",
                 "subjectKeyIdentifier=hash"]
NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*arguments):
    result = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"sandbox: openssl {arguments[0]} failed: {result.stderr}")


def make_listener_certificate(directory, days=825):
    """Fills `directory` with ca.pem, server.pem and their keys; replaces only server.pem when they exist."""
    directory.mkdir(exist_ok=True)
    ca, ca_key = directory / "ca.pem", directory / "ca-key.pem"
    server, server_key, request = (directory / name for name in ("server.pem", "server-key.pem", "server.csr"))
    before = os.umask(0o077)
    try:
        if not ca.exists():
            _openssl("req", "-x509", *NEW_KEY, "-keyout", ca_key, "-out", ca, "-days", 3650, "-subj",
                     "/CN=originca sandbox test CA", *[part for each in CA_EXTENSIONS for part in ("-addext", each)])
        extensions = directory / "server.ext"
        extensions.write_text(SERVER_EXTENSIONS)
        _openssl("req", *NEW_KEY, "-keyout", server_key, "-out", request, "-subj", "/CN=localhost")
        _openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-out", server, "-days", days,
                 "-extfile", extensions)
    finally:
        os.umask(before)
