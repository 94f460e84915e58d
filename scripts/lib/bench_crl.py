"""scripts/bench-crl: what signing a large revocation list costs.

bench/make-crl gives the sandbox's signer a list of made-up entries over its operators' socket, as the admin process does, and
puts together what was signed."""

import argparse
import os
import re
import subprocess
import time

from measuring import passing_box, start_benchmark
from processes import children, name_of


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return sum(map(int, stat.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def largest_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))


def measure(box, programs, issuer, count):
    signer = next(pid for pid in children(box.processes.pid("server")) if name_of(pid) == "oca-signer")
    path = box.directory / f"{issuer}.crl"
    before = cpu_seconds(signer)
    result = subprocess.run([programs / "make-crl", box.directory / "originca.conf", issuer, "", str(count), path],
                            capture_output=True, text=True, timeout=600)
    if result.returncode != 0:
        raise SystemExit(f"bench-crl: {result.stderr}")
    spent = cpu_seconds(signer) - before
    if "verified yes" not in result.stdout:
        raise SystemExit(f"bench-crl: a host would not serve it: {result.stdout}")
    numbers = dict(re.findall(r"(\w+) (\d+)", result.stdout))
    began = time.monotonic()
    subprocess.run(["openssl", "crl", "-in", path, "-inform", "DER", "-noout", "-verify", "-CAfile",
                    box.directory / f"issuer-{issuer}.pem"], check=True, capture_output=True, timeout=600)
    print(f"{count:,} entries under {issuer}: {int(numbers['bytes']):,} bytes; CPU: client {numbers['cpu_ms']} ms, signer "
          f"{spent * 1000:.0f} ms; {numbers['wall_ms']} ms in all; largest memory: client {int(numbers['memory_kib']) // 1024} MiB, "
          f"signer {largest_kib(signer) // 1024} MiB; a host verifies it in {numbers['verify_ms']} ms, openssl verifies it in {time.monotonic() - began:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-crl", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1000000, help="of the list (1000000)")
    parser.add_argument("--port-base", type=int, default=9680, help="ports of the sandbox it starts (9680)")
    options, programs = start_benchmark(parser, {"entries": 1000})
    with passing_box({"port_base": options.port_base, "set": []}) as box:
        for issuer in ("ecc", "rsa"):
            measure(box, programs, issuer, options.entries)


if __name__ == "__main__":
    main()
