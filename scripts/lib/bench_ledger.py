"""scripts/bench-ledger: how long recovery takes with a large ledger.

A sandbox's ledger is made large by bench/make-ledger; then the server starts without a checkpoint (everything is read and
replayed into Redis), starts again with one, and loses its signer by kill -9."""

import argparse
import os
import re
import signal
import time

from measuring import passing_box, run_program, start_benchmark
from processes import children, name_of, wait_until


class Bench:
    def __init__(self, programs, options):
        self.programs, self.options = programs, options

    def log_size(self, box):
        return box.processes.log("server").stat().st_size

    def wait_for(self, box, text, since, seconds):
        """Seconds until the log says it; read from the log's own times where it does at once."""
        began = time.monotonic()

        def is_said():
            with open(box.processes.log("server"), errors="replace") as log:
                log.seek(since)
                return text in log.read()

        if not wait_until(is_said, seconds, pause=0.01):
            raise SystemExit(f"bench-ledger: \"{text}\" was not logged:\n{box.processes.log_tail('server')}")
        return time.monotonic() - began

    def start(self, box):
        box.processes.start("server", [box.program, "-c", str(box.directory / "originca.conf")], box.token_environment)

    def wait_ready(self, box, seconds):
        began = time.monotonic()
        if not wait_until(lambda: box.admin.readiness()[0], seconds, pause=0.01):
            raise SystemExit(f"bench-ledger: not ready: {box.admin.readiness()[1]}")
        return time.monotonic() - began

    def cpu(self, box):
        """CPU seconds of Redis, the signer and the admin process so far."""
        server = children(box.processes.pid("server"))
        pids = [box.processes.pid("redis"), self.signer(box), next(pid for pid in server if name_of(pid) == "oca-admin")]
        return [sum(map(int, open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[11:13])) /
                os.sysconf("SC_CLK_TCK") for pid in pids]

    def signer(self, box):
        return next((pid for pid in children(box.processes.pid("server")) if name_of(pid) == "oca-signer"), None)

    def memory(self, box):
        with open(f"/proc/{self.signer(box)}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024

    def measure(self, box):
        box.processes.stop("server", 60)
        ledger = box.directory / "ledger"
        (ledger / "checkpoint").unlink(missing_ok=True)
        made = run_program([self.programs / "make-ledger", ledger, "sandbox", self.options.mib, self.options.revoked, 64,
                            self.options.zones], 3600)
        records, revoked = int(made.split()[0]), int(made.split(", ")[-1].split()[0])
        size = sum(each.stat().st_size for each in ledger.glob("ledger-*")) / 2**20
        print(f"{size:.0f} MiB, {records} records, {revoked} revocations, {self.options.zones} zones, "
              f"{self.options.workers} workers")
        since = self.log_size(box)
        self.start(box)
        whole = self.wait_for(box, "the ledger is read", since, 600)
        print(f"all of it read, no checkpoint: {whole:.2f} s, {size / whole:.0f} MiB/s")
        before = self.cpu(box)
        replay = self.wait_ready(box, 7200)
        redis, signer, admin = [now - then for now, then in zip(self.cpu(box), before)]
        print(f"replayed into an empty Redis: {replay:.1f} s, {records / replay:.0f} records/s; CPU: Redis {redis:.1f} s, "
              f"admin {admin:.1f} s, signer {signer:.1f} s")
        box.processes.stop("server", 60)
        since = self.log_size(box)
        self.start(box)
        read = self.wait_for(box, "the ledger is read", since, 60)
        ready = read + self.wait_ready(box, 60)
        print(f"start with a checkpoint: ledger read after {read:.2f} s, ready after {ready:.2f} s")
        checkpoint = (ledger / "checkpoint").stat().st_size / 2**20
        print(f"resident memory of the signer: {self.memory(box):.0f} MiB; checkpoint: {checkpoint:.1f} MiB")
        verify = self.wait_for(box, "the whole ledger is verified", since, 1200)
        print(f"whole chain verified behind it after another {verify:.1f} s")
        time.sleep(10.5)  # a steady life: the supervisor restarts it at once
        since = self.log_size(box)
        os.kill(self.signer(box), signal.SIGKILL)
        back = self.wait_for(box, "the token is usable", since, 60)
        back = max(back, self.wait_for(box, "the signer is ready", since, 60) + back)
        print(f"signer back after kill -9: {back:.2f} s")

    def run(self):
        settings = {"port_base": self.options.port_base, "workers": self.options.workers}
        with passing_box(settings) as box:
            self.measure(box)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-ledger", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the ledger (1024)")
    parser.add_argument("--revoked", type=int, default=1, help="percent of the certificates that are revoked (1)")
    parser.add_argument("--zones", type=int, default=0, help="zones that were added before all else (0)")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--port-base", type=int, default=9700)
    options, programs = start_benchmark(parser, {"mib": 8, "workers": 2, "zones": 1000})
    Bench(programs, options).run()


main()
