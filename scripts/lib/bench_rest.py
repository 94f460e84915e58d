"""scripts/bench-rest: certificates by REST, against the sum of their unavoidable parts and next to `cfssl serve`.

Both servers sign the same certification requests with a P-256 key, over TLS, for the same client (bench/rest-load), one
after the other in the same run. CPU time is read from /proc: of the server, its workers, its signer and Redis here, of cfssl
there. cfssl asks no DNS, keeps no record and holds its key in a file; originca does all it does in production."""

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from bench import Bench, dns_queries, redis_scripts
from measuring import run_program, start_benchmark
from processes import Processes, children, wait_until

CFSSL_CONFIG = {"signing": {"default": {"expiry": "2160h", "usages": ["digital signature", "server auth"]}}}
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def cpu_us(pids):
    """User and kernel time of whole processes, all their threads."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * TICK_US


class Cfssl:
    """cfssl serve on loopback, with a P-256 CA of its own in `directory`, speaking TLS with the sandbox's certificate."""

    def __init__(self, directory, tls, port):
        self.directory, self.tls, self.port = directory, tls, port
        self.processes = Processes(directory, directory)

    def __enter__(self):
        if self.listens():
            raise SystemExit(f"bench-rest: port {self.port} is taken; choose others with --port-base N")
        self.directory.mkdir(mode=0o700)
        names = {name: str(self.directory / name) for name in ("ca.pem", "ca-key.pem", "config.json")}
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", names["ca-key.pem"], "-out", names["ca.pem"], "-days", "3650", "-subj",
                        "/CN=bench cfssl CA"], check=True, capture_output=True, timeout=30)
        Path(names["config.json"]).write_text(json.dumps(CFSSL_CONFIG))
        self.processes.start("cfssl", ["cfssl", "serve", "-address=localhost", f"-port={self.port}", "-loglevel=3",
                                       f"-ca={names['ca.pem']}", f"-ca-key={names['ca-key.pem']}",
                                       f"-config={names['config.json']}", f"-tls-cert={self.tls / 'server.pem'}",
                                       f"-tls-key={self.tls / 'server-key.pem'}"])
        if not wait_until(lambda: self.pids == [None] or self.listens(), 20) or self.pids == [None]:
            raise SystemExit(f"bench-rest: cfssl does not come up:\n{self.processes.log_tail('cfssl')}")
        return self

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def pids(self):
        return [self.processes.pid("cfssl")]

    def __exit__(self, *_):
        self.processes.stop("cfssl")


class RestBench(Bench):
    """Of the file of requests each measurement takes its own slice: originca answers a create that it has seen lately
    with the certificate that it has made."""

    def write_csrs(self, box):
        self.csrs, self.slices = box.directory / "csrs.json", {}
        self.sizes = {"warm-up": max(20, self.options.count // 10), "new": self.options.count, "kept": self.options.count}
        at = 0
        for name, size in self.sizes.items():
            self.slices[name], at = at, at + size
        self.rest_load("--write-csrs", self.csrs, "--zone", next(iter(box.state["customers"]["alice"]["zones"])), "--count",
                       at)

    def rest_load(self, *arguments):
        return run_program([self.programs / "rest-load", *arguments], 900)

    def send(self, box, pids, which, *arguments):
        """One slice of the requests, and what it cost the processes."""
        command = ["--csrs", self.csrs, "--first", self.slices[which], "--count", self.sizes[which], "--concurrency",
                   self.options.concurrency, "--ca", box.directory / "tls" / "ca.pem", *arguments]
        if which != "new":
            command.append("--reuse")
        before = cpu_us(pids)
        load = json.loads(self.rest_load(*command))
        return load | {"cpu_us": (cpu_us(pids) - before) / load["issued"]}

    def ours(self, box, which):
        server, redis = box.processes.pid("server"), box.processes.pid("redis")
        values = box.environment()
        scripts, queries = redis_scripts(box), dns_queries(box)
        load = self.send(box, [server, *children(server), redis], which, "--url", f"{values['API_URL']}/certificates",
                         "--header", f"X-Auth-User-Service-Key: {values['API_KEY']}")
        return load | {"redis_scripts": (redis_scripts(box) - scripts) / load["issued"],
                       "dns_queries": (dns_queries(box) - queries) / load["issued"]}

    def theirs(self, box, which):
        return self.send(box, self.cfssl.pids, which, "--cfssl", "--url",
                         f"https://localhost:{self.options.port_base + 9}/api/v1/cfssl/sign")

    def loads(self, box, send):
        send(box, "warm-up")
        return {which: send(box, which) for which in ("new", "kept")}

    def cost(self, box):
        """One worker: the counter of DNS queries is a worker's own."""
        self.write_csrs(box)
        return {"loads": self.loads(box, self.ours), "parts": self.parts(box)}

    def beside_cfssl(self, box):
        self.write_csrs(box)
        with Cfssl(box.directory / "cfssl", box.directory / "tls", self.options.port_base + 9) as self.cfssl:
            return {"originca": self.loads(box, self.ours), "cfssl": self.loads(box, self.theirs)}

    def run(self):
        print_cost(self.with_box(1, self.cost), self.options)
        print_comparison(self.with_box(os.cpu_count(), self.beside_cfssl), self.options)


KINDS = {"new": "a new connection each", "kept": "keep-alive"}


def print_cost(cost, options):
    parts, loads = cost["parts"], cost["loads"]
    print(f"{options.count} certificates by REST (P-256, one name, {options.concurrency} connections, one worker), CPU of "
          "one in us:\n")
    counts = {which: {"tls_handshake": options.concurrency / options.count if which == "kept" else 1, "request": 1,
                      "signature_check": 1, "token_signature": 1, "redis_script": load["redis_scripts"], "ledger_write": 2,
                      "dns_query": load["dns_queries"]} for which, load in loads.items()}
    titles = {"tls_handshake": "TLS 1.3 handshake", "request": "CSR, with its signature",
              "signature_check": "signature check (our own)", "token_signature": "signature by the token",
              "redis_script": "Redis scripts", "ledger_write": "ledger writes, synced", "dns_query": "DNS queries"}
    print(f"{'unavoidable part':28} {'us each':>9} {KINDS['new']:>23} {KINDS['kept']:>19}")
    for name, title in titles.items():
        cells = [f"{counts[which][name]:6.2f} x {parts[name] * counts[which][name]:7.1f}" for which in KINDS]
        print(f"{title:28} {parts[name]:9.1f} {cells[0]:>23} {cells[1]:>19}")
    sums = {which: sum(parts[name] * count for name, count in counts[which].items()) for which in KINDS}
    rows = {"sum": sums, "used: server and Redis": {which: loads[which]["cpu_us"] for which in KINDS}}
    for title, row in rows.items():
        print(f"{title:28} {'':9} {row['new']:23.1f} {row['kept']:19.1f}")
    print(f"{'ratio':28} {'':9} {loads['new']['cpu_us'] / sums['new']:23.2f} {loads['kept']['cpu_us'] / sums['kept']:19.2f}")


def print_comparison(results, options):
    print(f"\nNext to cfssl serve, the same {options.count} requests (servers and client share {os.cpu_count()} cores; "
          "originca has as many workers):\n")
    print(f"{'':36} {'a second':>9} {'CPU us':>8} {'a CPU second':>13} {'p50 ms':>8} {'p99 ms':>8}")
    for which, title in KINDS.items():
        for name, loads in results.items():
            load = loads[which]
            print(f"{title + ', ' + name:36} {load['per_second']:9.0f} {load['cpu_us']:8.0f} "
                  f"{1e6 / max(load['cpu_us'], 1):13.0f} {load['p50_ms']:8.2f} {load['p99_ms']:8.2f}")
        ours, cfssl = results["originca"][which], results["cfssl"][which]
        print(f"{'  originca to cfssl (aim: at least 2)':36} {ours['per_second'] / cfssl['per_second']:8.2f} {'':8} "
              f"{cfssl['cpu_us'] / ours['cpu_us']:13.2f}")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-rest", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="certificates of one measurement (2000)")
    parser.add_argument("--concurrency", type=int, default=8, help="client connections (8)")
    parser.add_argument("--port-base", type=int, default=9740, help="ports of the sandbox and cfssl (9740)")
    options, programs = start_benchmark(parser, {"count": 100})
    RestBench(programs, options).run()


if __name__ == "__main__":
    sys.exit(main())
