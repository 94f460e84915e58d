"""scripts/handshake-sizes: the bytes that a TLS client reads in a full handshake, measured with OpenSSL's own server and client.

TLS 1.2, no session ticket, X25519 for the key exchange, the leaf alone: what an edge that trusts our issuing certificate needs."""

import argparse
import os
import re
import socket
import subprocess
import time
from pathlib import Path

from measuring import passing_box, prepare

SETTINGS = ["-tls1_2", "-no_ticket", "-groups", "X25519:P-256:P-384"]
KINDS = [("P-256 leaf, ECC issuer", "ecdsa", 256, "origin-ecc"), ("P-384 leaf, ECC issuer", "ecdsa", 384, "origin-ecc"),
         ("RSA-2048 leaf, ECC issuer", "rsa", 2048, "origin-ecc"), ("RSA-2048 leaf, RSA issuer", "rsa", 2048, "origin-rsa")]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def handshake_bytes(certificate, key):
    """What `openssl s_client` reads of `openssl s_server` with this certificate."""
    port = free_port()
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", certificate, "-key", key,
                               "-quiet", "-tls1_2", "-no_ticket"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            result = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *SETTINGS],
                                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
            found = re.search(r"SSL handshake has read (\d+) bytes", result.stdout)
            if found and int(found[1]) > 100:  # less is an alert
                return int(found[1])
            time.sleep(0.05)
    finally:
        server.kill()
        server.wait()
    raise RuntimeError(f"no handshake: {result.stderr[-500:]}")


def measure(program, api_url, ca_file, key, hostname, directory):
    """[(kind, bytes of the certificate in DER, bytes read)]"""
    rows = []
    for at, (title, key_type, size, request_type) in enumerate(KINDS):
        stem = Path(directory) / f"leaf{at}"
        subprocess.run([program, "getcert", hostname, "--key-type", key_type, "--key-size", str(size), "--request-type",
                        request_type, "--days", "90", "--no-state", "--certificate-out", f"{stem}.pem", "--key-out",
                        f"{stem}.key", "--api-url", api_url, "--ca-file", ca_file],
                       check=True, capture_output=True, timeout=60, env={**os.environ, "ORIGINCA_SERVICE_KEY": key,
                                                                         "CF_API_USER_SERVICE_KEY": key,
                                                                         "CF_API_KEY": key})
        der = subprocess.run(["openssl", "x509", "-in", f"{stem}.pem", "-outform", "DER"], check=True,
                             capture_output=True).stdout
        rows.append((title, len(der), handshake_bytes(f"{stem}.pem", f"{stem}.key")))
    return rows


def with_sandbox(build, port_base, profile):
    with passing_box({"port_base": port_base, "set": [f"rest.rest_profile={profile}"]}) as box:
        env = box.environment()
        return measure(build / "cli" / "originca", env["API_URL"], env["CA_BUNDLE"], env["API_KEY"],
                       f"www.{env['ZONE']}", box.directory)


def main():
    parser = argparse.ArgumentParser(prog="scripts/handshake-sizes", description=__doc__.splitlines()[0])
    parser.add_argument("--port-base", type=int, default=9650, help="ports of the sandbox it starts (9650)")
    options = parser.parse_args()
    build = prepare()
    print(f"TLS handshake read by openssl s_client {' '.join(SETTINGS)}, one name:\n")
    print(f"{'certificate':28} {'profile':8} {'DER bytes':>9} {'bytes read':>10}")
    for profile in ("compact", "origin", "classic"):
        for title, der, read in with_sandbox(build, options.port_base, profile):
            print(f"{title:28} {profile:8} {der:9} {read:10}")


if __name__ == "__main__":
    main()
