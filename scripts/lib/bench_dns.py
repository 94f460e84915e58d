"""scripts/bench-dns: ownership checks against real NSD, one event loop as a worker has it.

Checks a second and CPU of each, with warm and with cold referrals, unsigned and signed; the latency of good zones alone
and beside a thousand zones whose name servers are silent; the memory of a check that waits."""

import argparse
import json
import socket
import subprocess
import sys

from dns_query import soa_serial
from measuring import passing_directory, run_program, start_benchmark
from processes import Processes, wait_until

NET = "127.69.0."
ROOT, TLD, PROVIDER = {"a.root": NET + "1"}, {"a.nic.test": NET + "2"}, {
    "ns1.provider.test": NET + "11", "ns2.provider.test": NET + "12"}
SILENT = {f"ns{at}.silent.test": NET + str(40 + at) for at in range(1, 6)}
SERIAL = 1


def zone_text(zone, servers, cuts, records):
    """`cuts`: {child: name servers with their addresses}."""
    lines = [f"$ORIGIN {zone}.", "$TTL 3600", f"@ SOA ns.invalid. root.invalid. {SERIAL} 3600 600 86400 60"]
    for owner, names in [(zone, servers), *cuts.items()]:
        lines += [f"{owner}. NS {name}." for name in names]
    known = {name: address for names in [servers, *cuts.values()] for name, address in names.items()}
    lines += [f"{name}. A {address}" for name, address in known.items() if zone == "" or name.endswith("." + zone)]
    return "\n".join(lines + records) + "\n"


class Tree:
    """root, test., provider.test, good zones z0.test ... and silent ones s0.test ..., on three NSD processes."""

    def __init__(self, directory, port, zones, silent, is_signed):
        self.directory, self.port, self.is_signed = directory / ("signed" if is_signed else "plain"), port, is_signed
        self.directory.mkdir()
        self.processes = Processes(self.directory, self.directory)
        good, quiet = [f"z{at}.test" for at in range(zones)], [f"s{at}.test" for at in range(silent)]
        address = ["@ A 203.0.113.10", "www A 203.0.113.10"]
        texts = {"provider": {"provider.test": zone_text("provider.test", PROVIDER, {}, [])}}
        texts["provider"] |= {zone: zone_text(zone, PROVIDER, {}, address) for zone in good}
        cuts = {"provider.test": PROVIDER, "silent.test": SILENT, **{zone: PROVIDER for zone in good},
                **{zone: SILENT for zone in quiet}}
        ds = self._write(texts["provider"])
        ds = self._write({"test": zone_text("test", TLD, cuts, ds)})
        self.anchor = self._write({"": zone_text("", ROOT, {"test": TLD}, ds)})
        self.groups = {"root": (ROOT, [""]), "tld": (TLD, ["test"]), "provider": (PROVIDER, list(texts["provider"]))}
        (self.directory / "hints").write_text(f". 3600 NS a.root.\na.root. 3600 A {ROOT['a.root']}\n")
        (self.directory / "anchor").write_text("\n".join(self.anchor) + "\n")

    def _file(self, zone):
        return self.directory / f"{zone or 'root'}.zone"

    def _run(self, *command):
        return subprocess.run([str(part) for part in command], cwd=self.directory, check=True, capture_output=True,
                              text=True, timeout=60).stdout.strip()

    def _write(self, texts):
        """Writes and signs zones; the DS records of their keys."""
        found = []
        for zone, text in texts.items():
            self._file(zone).write_text(text)
            if self.is_signed:
                key = self._run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone + ".")
                self._run("ldns-signzone", "-o", zone + ".", "-f", self._file(zone), self._file(zone), key)
                found.append(self._run("ldns-key2ds", "-n", "-2", key + ".key"))
        return found

    def start(self):
        for group, (servers, zones) in self.groups.items():
            lines = ["server:", *[f"  ip-address: {address}@{self.port}" for address in servers.values()],
                     "  server-count: 1", '  username: ""', f'  zonesdir: "{self.directory}"', '  database: ""',
                     '  pidfile: ""', f'  zonelistfile: "{self.directory}/{group}.list"',
                     f'  xfrdfile: "{self.directory}/{group}.state"', f'  xfrdir: "{self.directory}"',
                     "  rrl-ratelimit: 0", "  reuseport: no", "remote-control:", "  control-enable: no"]
            for zone in zones:
                lines += ["zone:", f'  name: "{zone}."', f'  zonefile: "{self._file(zone)}"']
            (self.directory / f"{group}.conf").write_text("\n".join(lines) + "\n")
            self.processes.start(group, ["nsd", "-d", "-c", str(self.directory / f"{group}.conf")])
        asked = [(zones[-1], address) for servers, zones in self.groups.values() for address in servers.values()]
        if not wait_until(lambda: all(soa_serial(address, self.port, zone or ".") == SERIAL for zone, address in asked), 20):
            raise SystemExit(f"bench-dns: NSD does not serve its zones:\n{self.processes.log_tail('provider')}")
        return self

    def stop(self):
        for group in self.groups:
            self.processes.stop(group)


class Bench:
    def __init__(self, program, options, port):
        self.program, self.options, self.port = program, options, port

    def check(self, tree, **arguments):
        command = [self.program, "--root-hints", tree.directory / "hints", "--port", self.port, "--zones",
                   self.options.zones]
        if tree.is_signed:
            command += ["--trust-anchor", tree.directory / "anchor"]
        command += [part for name, value in arguments.items() for part in (f"--{name}", value)]
        return json.loads(run_program(command, 300))

    def throughput(self, tree):
        kind = "signed" if tree.is_signed else "unsigned"
        self.check(tree, count=self.options.count // 5, concurrency=self.options.concurrency)  # NSD's caches
        for title, cache in (("warm", 10000), ("cold", 0)):
            row = self.check(tree, count=self.options.count, concurrency=self.options.concurrency, cache=cache)
            print(f"{kind + ', ' + title:18} {row['per_second']:8.0f} {row['cpu_us']:9.0f} {row['queries']:9.2f} "
                  f"{row['p50_ms']:8.2f} {row['p99_ms']:8.2f}")

    def isolation(self, tree):
        count = self.options.count // 2
        alone = self.check(tree, count=count, concurrency=1)
        beside = self.check(tree, count=count, concurrency=1, silent=self.options.silent)
        if beside["silent_pending"] != self.options.silent:
            raise SystemExit(f"bench-dns: only {beside['silent_pending']} of the silent checks were pending")
        print(f"\n{'good zones, one after the other':34} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
        for title, row in (("alone", alone), (f"beside {self.options.silent} silent zones", beside)):
            print(f"{title:34} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f} {row['max_ms']:8.2f}")
        print(f"\nmemory of a check that waits: {beside['pending_bytes'] / 1024:.1f} KiB")

    def run(self, directory):
        print(f"{'':18} {'checks/s':>8} {'CPU us':>9} {'queries':>9} {'p50 ms':>8} {'p99 ms':>8}   "
              f"({self.options.concurrency} at once, one worker)")
        with silent_sockets(self.port):
            for is_signed in (False, True):
                tree = Tree(directory, self.port, self.options.zones, self.options.silent, is_signed)
                try:
                    tree.start()
                    self.throughput(tree)
                    if is_signed:
                        self.isolation(tree)
                finally:
                    tree.stop()


class silent_sockets:
    """Bound and never read: queries disappear, and no ICMP says that nobody listens."""

    def __init__(self, port):
        self.sockets, self.port = [], port

    def __enter__(self):
        for address in SILENT.values():
            self.sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self.sockets[-1].bind((address, self.port))

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-dns", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000, help="checks of one measurement (5000)")
    parser.add_argument("--concurrency", type=int, default=32, help="checks at once (32)")
    parser.add_argument("--zones", type=int, default=100, help="zones that are checked in turn (100)")
    parser.add_argument("--silent", type=int, default=1000, help="zones whose name servers are silent (1000)")
    parser.add_argument("--port", type=int, default=9790, help="port of the name servers on 127.69.0.x (9790)")
    options, programs = start_benchmark(parser, {"count": 200, "zones": 10, "silent": 100})
    with passing_directory() as directory:
        Bench(programs / "bench-dns-check", options, options.port).run(directory)


if __name__ == "__main__":
    sys.exit(main())
