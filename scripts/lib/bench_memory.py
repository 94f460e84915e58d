"""scripts/bench-memory: what a request holds while it waits for name servers, of each kind, in a worker and the admin process.

The provider's name servers stop; many requests of one kind are sent, each on a connection that was served before; the growth
of a process's heap (originca_worker_heap_bytes) by their number is what one holds there. A DNS check's own part is measured by
bench/bench-dns-check on the same tree: it is a worker's, also where an operator asked the admin process for it. The aim: beyond
its body and its DNS check a request holds at most 64 KiB in each."""

import argparse
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

sys.path.append(str(Path(__file__).resolve().parents[2] / "test" / "integration"))

import dns_farm  # noqa: E402
from acme_raw import AcmeClient, b64, compact, make_csr, make_jws, make_key  # noqa: E402
from measuring import passing_box, passing_directory, run_program, start_benchmark  # noqa: E402
from processes import children, wait_until  # noqa: E402
from rest_client import make_csr as make_pem_csr  # noqa: E402

SETTINGS = ["dns.dns_deadline_ms=120000", "dns.dns_query_timeout_ms=60000", "dns.dns_share_ms=0",
            "dns.dns_max_per_server=10000", "dns.dns_referral_max_ttl=3600", "dns.zone_sweep_interval_seconds=86400",
            "acme.recheck_after_seconds=0", "http.write_timeout_ms=600000", "http.idle_timeout_ms=600000"]
LIMIT = 64 * 1024
BODY = 65536
FARM_CHECKS = 20  # as many as a name server in Python answers at once


def http_request(method, target, body, *fields):
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def filled(members, size=BODY):
    """JSON of `size` bytes: the members, and an array of "{}" that nobody has a use for."""
    text = json.dumps(members | {"x": []}, separators=(",", ":")).encode()
    return text[:-2] + b",".join([b"{}"] * ((size - len(text)) // 3)) + b"]}"


class Stopped:
    """The provider's name servers get no CPU: queries wait in their sockets."""

    def __init__(self, box):
        self.pids, waiting = [], [box.processes.pid("nsd-provider")]
        while waiting:
            self.pids.append(waiting.pop())
            waiting += children(self.pids[-1])

    def __enter__(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *_):
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)


class Bench:
    def __init__(self, box, programs, options):
        self.box, self.programs, self.options, self.rows = box, programs, options, []
        self.values = box.environment()
        self.zone = next(iter(box.state["customers"]["alice"]["zones"]))
        self.context = ssl.create_default_context(cafile=str(box.directory / "tls" / "ca.pem"))

    def connect(self, is_admin):
        """A connection that was served."""
        if is_admin:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(self.box.admin_socket))
            target = "/healthz"
        else:
            parts = urlsplit(self.values["DIRECTORY_URL"])
            connection = self.context.wrap_socket(socket.create_connection((parts.hostname, parts.port)),
                                                  server_hostname=parts.hostname)
            target = "/acme/directory"
        connection.settimeout(120)
        connection.sendall(http_request("GET", target, b""))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        return connection

    def gauge(self, name):
        return sum(value for key, value in self.box.admin.metrics().items() if key.partition("{")[0] == name)

    def heaps(self):
        """Bytes of the workers together, and of the admin process."""
        heaps = {key: value for key, value in self.box.admin.metrics().items()
                 if key.startswith("originca_worker_heap_bytes{")}
        admin = heaps['originca_worker_heap_bytes{worker="admin"}']
        return sum(heaps.values()) - admin, admin

    def checks(self):
        return self.gauge("originca_dns_checks_in_progress")

    def hold(self, title, names, texts, is_admin=False):
        """`texts`: requests, each to be sent once. What one of them holds."""
        body = len(texts[0].partition(b"\r\n\r\n")[2])
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(self.connect(is_admin)) for _ in texts]
            with Stopped(self.box):
                before = self.heaps()
                for connection, text in zip(connections, texts, strict=True):
                    connection.sendall(text)
                if not wait_until(lambda: self.checks() == len(texts), 60):
                    raise SystemExit(f"bench-memory: {title}: {self.checks()} of {len(texts)} requests wait for DNS")
                held = [(now - then) / len(texts) for now, then in zip(self.heaps(), before, strict=True)]
            for connection in connections:
                connection.recv(1)
        if not wait_until(lambda: self.checks() == 0, 60):
            raise SystemExit(f"bench-memory: {title}: the checks do not end")
        self.rows.append((title, names, body, held[0], held[1] if is_admin else 0))

    def check_alone(self, names):
        """Bytes of a check that waits for the zone's name servers, in this box's tree."""
        zone = self.box.admin.get(f"zones/{self.zone}")
        command = [self.programs / "bench-dns-check", "--root-hints", self.box.root_hints, "--port",
                   self.box.dns_port, "--count", 0, "--silent", self.options.count, "--silent-zone", self.zone,
                   "--name-servers", ",".join(zone["name_servers"]), "--names", names]
        with Stopped(self.box):
            return json.loads(run_program(command, 120))["pending_bytes"]

    def client(self):
        client = AcmeClient(self.values["DIRECTORY_URL"], self.box.directory / "tls" / "ca.pem")
        client.register(self.values["EAB_KID"], self.values["EAB_HMAC"]).expect(201)
        return client

    def signed(self, client, url, payload, header=None):
        nonce = client.request("HEAD", client.directory["newNonce"]).headers["Replay-Nonce"]
        client.nonce = None
        body = compact(make_jws(client.key, url, payload, nonce, client.kid, header))
        return http_request("POST", urlsplit(url).path, body, "Content-Type: application/jose+json")

    def acme(self):
        client, count = self.client(), self.options.count
        order = client.directory["newOrder"]

        def identifiers(names):
            return {"identifiers": [{"type": "dns", "value": f"{at}.{self.zone}"} for at in range(names)]}

        for names in (1, 10):
            self.hold("ACME newOrder", names, [self.signed(client, order, identifiers(names)) for _ in range(count)])
        half = filled(identifiers(1), BODY * 3 // 4 * 95 // 100)
        self.hold("ACME newOrder, payload of {}", 1, [self.signed(client, order, half) for _ in range(count)])
        junk = [{}] * (BODY // 5)
        self.hold("ACME newOrder, header of {}", 1,
                  [self.signed(client, order, identifiers(1), {"x": junk}) for _ in range(count)])
        name, key = f"www.{self.zone}", make_key("p256")
        csr = {"csr": b64(make_csr(key, [name]))}
        urls = [client.new_order([name]).expect(201).json["finalize"] for _ in range(count)]
        self.hold("ACME finalize", 1, [self.signed(client, url, csr) for url in urls])
        client.close()

    def challenge(self):
        client = AcmeClient(self.values["DIRECTORY_URL"], self.box.directory / "tls" / "ca.pem")
        client.register().expect(201)
        urls = []
        for at in range(self.options.count):
            order = client.new_order([f"c{at}.{self.zone}"]).expect(201).json
            urls.append(client.post(order["authorizations"][0]).json["challenges"][0]["url"])
        self.hold("ACME challenge", 1, [self.signed(client, url, {}) for url in urls])
        client.close()

    def rest(self):
        target = urlsplit(self.values["API_URL"]).path + "/certificates"
        fields = [f"X-Auth-User-Service-Key: {self.values['API_KEY']}", "Content-Type: application/json"]

        def members(at):
            return {"hostnames": [f"r{at}.{self.zone}"], "request_type": "origin-ecc", "csr": self.csr}

        self.csr = make_pem_csr()
        for title, text in (("REST create", lambda at: compact(members(at))),
                            ("REST create, body of {}", lambda at: filled(members(1000 + at)))):
            self.hold(title, 1, [http_request("POST", target, text(at), *fields) for at in range(self.options.count)])

    def admin(self):
        self.hold("admin zone check", 0, [http_request("POST", f"/admin/v1/zones/{self.zone}/check", b"")
                                          for _ in range(self.options.count)], is_admin=True)

    def report(self):
        check = {names: self.check_alone(names) for names in (0, 1)}
        print(f"{'bytes held by a request that waits':36} {'names':>5} {'body':>7} {'in a worker':>11} {'DNS check':>10} "
              f"{'rest':>7} {'in the admin process':>20}")
        too_much = []
        for title, names, body, worker, admin in self.rows:
            part = check[min(names, 1)]  # where the zone's servers are silent nothing was asked of the names yet
            print(f"{title:36} {names:5} {body:7} {worker:11.0f} {part:10.0f} {worker - part:7.0f} {admin:20.0f}")
            if max(worker - part, admin) > LIMIT + body:
                too_much.append(title)
        return too_much


def report_checks(programs, options, directory):
    """A check's own bytes while it waits for the addresses of its names, which is when it holds most."""
    farm = dns_farm.Farm()
    hints, anchor = directory / "hints", directory / "anchor"
    hints.write_text(". 3600 NS a.root.\na.root. 3600 A 127.66.0.1\n")
    print(f"\n{'KiB held by a DNS check':36} {'one name waits':>15} {'each further':>13}")
    try:
        for title, is_signed in (("unsigned", False), ("DNSSEC, from the root", True)):
            farm.world = world = dns_farm.World(is_signed)
            command = [programs / "bench-dns-check", "--root-hints", hints, "--port", farm.port, "--count", 0, "--cache", 0,
                       "--silent", FARM_CHECKS, "--silent-zone", "shop.test", "--name-servers",
                       "ns1.provider.test,ns2.provider.test"]
            if is_signed:
                anchor.write_text(world.anchor())
                command += ["--trust-anchor", anchor]
            addresses = dns_farm.TYPE("A"), dns_farm.TYPE("AAAA")
            world.hook(lambda query, *_, silent=addresses: [] if query.question[0].rdtype in silent else None, 11, 12, 13)

            def held(names, command=command):
                return json.loads(run_program([*command, "--names", names], 120))["pending_bytes"] / 1024

            one, ten = held(1), held(10)
            print(f"{title:36} {one:15.1f} {(ten - one) / 9:13.1f}")
    finally:
        farm.close()


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-memory", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="requests of each kind at once (100)")
    parser.add_argument("--port-base", type=int, default=9760, help="first port of the sandbox (9760)")
    options, programs = start_benchmark(parser, {"count": 20})
    settings = {"port_base": options.port_base, "workers": 1, "set": SETTINGS}
    with passing_box(settings) as box:
        bench = Bench(box, programs, options)
        bench.rest()
        bench.admin()
        bench.acme()
    with passing_box(settings | {"no_eab": True}) as box:
        other = Bench(box, programs, options)
        other.challenge()
        other.rows = bench.rows + other.rows
        too_much = other.report()
    with passing_directory() as directory:
        report_checks(programs, options, directory)
    if too_much:
        raise SystemExit(f"bench-memory: more than {LIMIT // 1024} KiB beyond body and DNS check: {', '.join(too_much)}")


if __name__ == "__main__":
    sys.exit(main())
