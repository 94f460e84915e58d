"""scripts/bench-ocsp: what OCSP answers cost, of certificates that were issued for it: each signed for its first request (cold),
given out again (kept), and random serials, which must not cost a signature (flood).

Client (bench/ocsp-load), Redis and server share the machine. CPU time is the server's (workers, signer) and Redis's, from /proc."""

import argparse
import json
import secrets
import subprocess
from pathlib import Path

from bench import Bench
from bench_rest import cpu_us
from measuring import run_program, start_benchmark
from processes import children, name_of

PLACE = bytes.fromhex("42" * 16)


class OcspBench(Bench):
    def templates(self, box):
        """Requests by SHA-1 and SHA-256 about the serial PLACE."""
        made = []
        for options in ([], ["-sha256"]):
            path = box.directory / "request.der"
            subprocess.run(["openssl", "ocsp", "-issuer", box.directory / "issuer-ecc.pem", *options, "-serial", f"0x{PLACE.hex()}",
                            "-no_nonce", "-reqout", path], check=True, capture_output=True, timeout=30)
            made.append(path.read_bytes())
        return made

    def serials(self, box):
        found, cursor = [], ""
        while cursor is not None:
            page = box.admin.get("certificates?limit=100" + (f"&cursor={cursor}" if cursor else ""))
            found += [int(each["serial"]).to_bytes(16, "big") for each in page["items"]]
            cursor = page.get("cursor") or None
        return found

    def ask(self, box, serials, count):
        path, pids = box.directory / "requests", [box.processes.pid("server"), box.processes.pid("redis")]
        pids += children(pids[0])
        lines = [template.replace(PLACE, serial).hex() for template in self.templates(box) for serial in serials]
        path.write_text("\n".join(lines) + "\n")
        before, signed = cpu_us(pids), self.signatures(box)
        load = json.loads(run_program([self.programs / "ocsp-load", "--port", self.options.port_base + 1, "--requests", path,
                                       "--count", count or len(lines), "--concurrency", self.options.concurrency], 900))
        return load | {"cpu_us": (cpu_us(pids) - before) / load["answered"], "signatures": self.signatures(box) - signed}

    def signatures(self, box):
        return box.admin.metrics().get("originca_signer_ocsp_signatures_total", 0)

    def resident_kb(self, box):
        workers = [pid for pid in children(box.processes.pid("server")) if name_of(pid).startswith("oca-worker")]
        return sum(int(next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                            if line.startswith("VmRSS")).split()[1]) for pid in workers)

    def measure(self, box):
        self.load(box)
        serials = self.serials(box)[:self.options.count]
        results = {"cold": self.ask(box, serials, None), "kept": self.ask(box, serials, 20 * len(serials))}
        before = self.resident_kb(box)
        unknown = [bytes([0x42]) + secrets.token_bytes(15) for _ in range(10 * len(serials))]
        results["flood"] = self.ask(box, unknown, None)
        return results, self.resident_kb(box) - before

    def run(self):
        results, growth = self.with_box(self.options.workers, self.measure)
        print(f"OCSP answers, {self.options.workers} worker(s), {self.options.concurrency} connections\n")
        print(f"{'':8} {'answers':>8} {'signed':>8} {'a second':>9} {'CPU us':>7} {'p50 ms':>7} {'p99 ms':>7}")
        for name, one in results.items():
            print(f"{name:8} {one['answered']:8} {one['signatures']:8.0f} {one['per_second']:9.0f} {one['cpu_us']:7.0f} "
                  f"{one['p50_ms']:7.2f} {one['p99_ms']:7.2f}")
        print(f"\nMemory of the workers over the flood: {growth:+d} kB")
        if results["flood"]["signatures"] or results["flood"]["unauthorized"] != results["flood"]["answered"]:
            raise SystemExit("bench-ocsp: the flood cost signatures, or was answered otherwise than by unauthorized")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-ocsp", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="certificates that are asked about (1000)")
    parser.add_argument("--concurrency", type=int, default=16, help="client connections (16)")
    parser.add_argument("--workers", type=int, default=1, help="workers of the server (1)")
    parser.add_argument("--port-base", type=int, default=9780, help="ports of the sandbox it measures (9780)")
    options, programs = start_benchmark(parser, {"count": 50})
    vars(options).update(accounts=4, names=1, key="p256")
    OcspBench(programs, options).run()


if __name__ == "__main__":
    main()
