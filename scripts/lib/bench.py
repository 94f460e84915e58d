"""scripts/bench: issues certificates as fast as it goes and sets the cost of one against its unavoidable parts.

Both are measured in the same run on the same machine, as CPU time: the server's (workers, signer) and Redis's from
/proc while bench/acme-load drives it, the parts by bench/bench-parts."""

import argparse
import json
import re
import socket

from measuring import passing_box, run_program, start_benchmark

# A round of acme-load: connect, HEAD newNonce, and three signed requests (newOrder, finalize, certificate).
SIGNED_REQUESTS = 3


def redis_scripts(box):
    """How many scripts Redis has run so far."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(box.redis_socket))
        connection.sendall(b"INFO commandstats\r\n")
        with connection.makefile("rb") as reply:
            length = int(reply.readline()[1:])
            text = reply.read(length).decode()
    return sum(int(calls) for calls in re.findall(r"cmdstat_evalsha(?:_ro)?:calls=(\d+)", text))


def dns_queries(box):
    """Queries that all workers have sent so far."""
    return sum(value for name, value in box.admin.metrics().items() if name == "originca_dns_queries_total")


class Bench:
    def __init__(self, programs, options):
        self.programs, self.options = programs, options

    def load(self, box, **changed):
        settings = {"count": self.options.count, "concurrency": self.options.concurrency, "names": self.options.names,
                    "key": self.options.key, "accounts": self.options.accounts} | changed
        customer = box.state["customers"]["alice"]
        command = [self.programs / "acme-load", "--directory", box.environment()["DIRECTORY_URL"], "--ca",
                   box.directory / "tls" / "ca.pem", "--eab-kid", customer["eab"]["kid"], "--eab-hmac",
                   customer["eab"]["hmac"], "--zone", next(iter(customer["zones"])), "--server-pid",
                   box.processes.pid("server"), "--redis-pid", box.processes.pid("redis"), "--json"]
        command += [part for name, value in settings.items() for part in (f"--{name}", value)]
        return json.loads(run_program(command, 900, explain=lambda: box.processes.log_tail("server")))

    def parts(self, box):
        command = [self.programs / "bench-parts", "--certificate", box.directory / "tls" / "server.pem", "--key",
                   box.directory / "tls" / "server-key.pem", "--redis-socket", box.redis_socket, "--redis-pid",
                   box.processes.pid("redis"), "--module", box.pkcs11_module, "--pin-file", box.directory / "pin",
                   "--token", box.TOKEN, "--directory", box.directory, "--rounds", 200 if self.options.smoke else 2000]
        return json.loads(run_program(command, 300, box.token_environment))

    def with_box(self, workers, use):
        with passing_box({"port_base": self.options.port_base, "workers": workers}) as box:
            return use(box)

    def cost(self, box):
        """One issuance against its parts; counts are this run's own."""
        self.load(box, count=max(20, self.options.count // 10))
        scripts, queries = redis_scripts(box), dns_queries(box)
        load = self.load(box)
        scripts = (redis_scripts(box) - scripts) / load["issued"]
        queries = (dns_queries(box) - queries) / load["issued"]
        counts = {"tls_handshake": ("TLS 1.3 handshake", 1), "signature_check": ("signature checks (JWS, our own)",
                  SIGNED_REQUESTS + 1), "request": ("CSR", 1), "token_signature": ("signature by the token", 1),
                  "redis_script": ("Redis scripts", scripts), "ledger_write": ("ledger writes, synced", 2),
                  "dns_query": ("DNS queries", queries)}
        parts = self.parts(box)
        rows = [(title, parts[name], count, parts[name] * count) for name, (title, count) in counts.items()]
        return {"load": load, "rows": rows, "sum": sum(row[3] for row in rows),
                "used": load["server_cpu_us"] + load["redis_cpu_us"]}

    def memory(self, box):
        """Growth of the server over equal loads, in kB: it must come to rest."""
        return [self.load(box, count=self.options.count // 2)["resident_growth_kb"] for _ in range(4)]

    def run(self):
        cost = self.with_box(1, self.cost)  # the DNS counter is a worker's own
        print_cost(cost, self.options)
        if self.options.smoke:
            return
        print("\nThroughput, certificates a second (client and Redis share the machine):")
        for workers in (1, 2, 4):
            load = self.with_box(workers, lambda box: (self.load(box, count=50), self.load(box))[1])
            print(f"  {workers} workers: {load['per_second']:7.0f}   p50 {load['steps']['whole']['p50_ms']:6.1f} ms   "
                  f"p99 {load['steps']['whole']['p99_ms']:6.1f} ms")
        print("\nKey kinds and names, server CPU of one issuance:")
        kinds = [("p256", 1), ("p384", 1), ("rsa2048", 1), ("rsa4096", 1), ("p256", 10), ("p256", 100)]
        for key, names in kinds:
            load = self.with_box(2, lambda box: self.load(box, key=key, names=names,
                                                          count=max(20, self.options.count // (1 + names // 5))))
            print(f"  {key:8} {names:3} names: {load['server_cpu_us']:7.0f} us server, {load['redis_cpu_us']:5.0f} us "
                  "Redis")
        growth = self.with_box(2, self.memory)
        print("\nMemory of the server over four equal loads of "
              f"{self.options.count // 2}: {', '.join(f'{each:+d}' for each in growth)} kB")


def print_cost(cost, options):
    load = cost["load"]
    print(f"{load['issued']} certificates ({options.key}, {options.names} names each, {options.concurrency} "
          f"connections, a new one each): {load['per_second']:.0f} a second\n")
    print(f"{'step':12} {'p50 ms':>8} {'p90 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9}")
    for name, step in load["steps"].items():
        print(f"{name:12} {step['p50_ms']:8.2f} {step['p90_ms']:8.2f} {step['p99_ms']:8.2f} {step['p999_ms']:9.2f}")
    print(f"\n{'unavoidable part':34} {'us each':>9} {'times':>6} {'us':>8}")
    for title, each, count, total in cost["rows"]:
        print(f"{title:34} {each:9.1f} {count:6.2f} {total:8.1f}")
    print(f"{'sum':34} {'':9} {'':6} {cost['sum']:8.1f}")
    print(f"{'used: server ' + format(load['server_cpu_us'], '.0f') + ' + Redis ' + format(load['redis_cpu_us'], '.0f'):34} "
          f"{'':9} {'':6} {cost['used']:8.1f}")
    print(f"{'ratio (aim: at most 1.5)':34} {'':9} {'':6} {cost['used'] / cost['sum']:8.2f}")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="certificates of one measurement (2000)")
    parser.add_argument("--concurrency", type=int, default=8, help="client connections (8)")
    parser.add_argument("--accounts", type=int, default=8, help="ACME accounts (8)")
    parser.add_argument("--names", type=int, default=1, help="names in an order (1)")
    parser.add_argument("--key", default="p256", choices=["p256", "p384", "rsa2048", "rsa4096"])
    parser.add_argument("--port-base", type=int, default=9700, help="ports of the sandbox it measures (9700)")
    options, programs = start_benchmark(parser, {"count": 100})
    Bench(programs, options).run()


if __name__ == "__main__":
    main()
