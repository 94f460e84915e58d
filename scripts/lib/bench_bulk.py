"""scripts/bench-bulk: a drill of a mass revocation.

A sandbox's ledger is filled by bench/make-ledger and replayed into Redis; then all its certificates are revoked by one job as
`originca admin cert revoke --issuer` makes it. The admin process is killed by kill -9 on the way. Revocations a second are those
of the whole job, the death included; the ledger must have each certificate once."""

import argparse
import os
import signal
import time

from measuring import passing_box, run_program, start_benchmark
from processes import children, name_of, wait_until

FAST = 1000000  # no rate but the machine's


class Bench:
    def __init__(self, programs, options):
        self.programs, self.options = programs, options

    def process(self, box, name):
        return next((pid for pid in children(box.processes.pid("server")) if name_of(pid) == name), None)

    def cpu(self, box):
        pids = {"Redis": box.processes.pid("redis"), "signer": self.process(box, "oca-signer")}
        return {name: sum(map(int, open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[11:13])) /
                os.sysconf("SC_CLK_TCK") for name, pid in pids.items()}

    def fill(self, box):
        """How many certificates there are."""
        box.processes.stop("server", 60)
        mib = self.options.certificates * 2.23 / 1024  # two records of a certificate
        made = run_program([self.programs / "make-ledger", box.directory / "ledger", "sandbox", int(mib) + 1, 0], 3600)
        box.processes.start("server", [box.program, "-c", str(box.directory / "originca.conf")], box.token_environment)
        if not wait_until(lambda: box.admin.readiness()[0], 3600, pause=0.2):
            raise SystemExit(f"bench-bulk: not ready after {made}: {box.admin.readiness()[1]}")

    def job(self, box, identifier):
        try:
            return box.admin.get(f"revocations/{identifier}")
        except OSError:  # its process was just killed
            return {"state": "running", "done": 0}

    def run_job(self, box):
        selection = {"issuer": "ecc"}
        began = time.monotonic()
        count = box.admin.post("revocations", {"selection": selection, "dry_run": True})["count"]
        print(f"{count} certificates, counted in {time.monotonic() - began:.2f} s")
        before, began = self.cpu(box), time.monotonic()
        identifier = box.admin.post("revocations", {"selection": selection, "reason": "superseded", "confirm": count,
                                                    "per_second": FAST})["id"]
        wait_until(lambda: self.job(box, identifier)["done"] > count / 3, 3600, pause=0.05)
        first, third = time.monotonic() - began, self.job(box, identifier)["done"]
        os.kill(self.process(box, "oca-admin"), signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda: self.job(box, identifier)["done"] > third + 1000, 600, pause=0.02)
        resumed = time.monotonic() - killed
        if not wait_until(lambda: self.job(box, identifier)["state"] == "done", 3600, pause=0.1):
            raise SystemExit(f"bench-bulk: the job does not end: {self.job(box, identifier)}")
        whole, job = time.monotonic() - began, self.job(box, identifier)
        cpu = {name: (now - before[name]) * 1e6 / count for name, now in self.cpu(box).items()}
        print(f"revoked before the kill: {third / first:.0f}/s; goes on {resumed:.1f} s after it")
        print(f"all {job['done']} in {whole:.1f} s: {count / whole:.0f}/s; CPU of one: Redis {cpu['Redis']:.0f} µs, signer "
              f"{cpu['signer']:.0f} µs")
        return count, job

    def check(self, box, count, job):
        program = [box.program, "-c", box.directory / "originca.conf", "ledger", "show", "--type", "revoked", "--json"]
        lines = run_program(program, 600, box.token_environment).splitlines()
        if (job["done"], job["failed"], len(lines)) != (count, 0, count):
            raise SystemExit(f"bench-bulk: {len(lines)} records in the ledger, {job}")
        print("the ledger has each of them once")

    def run(self):
        with passing_box({"port_base": self.options.port_base, "workers": 1}) as box:
            self.fill(box)
            self.check(box, *self.run_job(box))


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-bulk", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--certificates", type=int, default=100000, help="about so many (100,000)")
    parser.add_argument("--port-base", type=int, default=9750)
    options, programs = start_benchmark(parser, {"certificates": 4000})
    Bench(programs, options).run()


main()
