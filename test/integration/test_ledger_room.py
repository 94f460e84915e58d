"""The ledger's disk fills up: signing stops at the reserve, revocations go on into it, and all of it is said."""

import subprocess
import time

import pytest

from acme_raw import make_csr, make_key
from fence_kit import wait_not_ready
from under_test import SandboxUnderTest, wait_until
from verify import der_of, load_chain

MIB = 1 << 20


class Disk:
    """A file system of 16 MiB; of it the ledger leaves 4 to revocations."""

    def __init__(self, directory):
        self.directory, self.ballast = directory, directory / "ballast"
        directory.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(directory)], capture_output=True)
        if mounted.returncode != 0:
            pytest.skip("only root mounts a file system")

    def leave(self, free_bytes):
        self.ballast.unlink(missing_ok=True)
        with self.ballast.open("wb") as file:
            while True:
                left = self.free() - free_bytes
                if left <= 0:
                    return
                file.write(b"\0" * min(left, 65536))
                file.flush()

    def free(self):
        line = subprocess.run(["df", "--output=avail", "-B1", str(self.directory)], capture_output=True, text=True)
        return int(line.stdout.splitlines()[1])

    def close(self):
        subprocess.run(["umount", "-l", str(self.directory)], check=True)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.close()


@pytest.fixture
def box(disk, tmp_path_factory):
    box = SandboxUnderTest(tmp_path_factory.mktemp("room"), "--workers", "1", "--set",
                           f"signer.ledger_directory={disk.directory}/ledger", "--set",
                           f"signer.ledger_reserve_bytes={4 * MIB}", "--set", "signer.signer_timeout_ms=2000")
    try:
        yield box.up()
    finally:
        box.down()


def test_a_full_disk_stops_certificates_before_revocations_and_is_said(box, disk):
    client = box.client()
    leaves = [load_chain(client.issue([box.name()])[1])[0] for _ in range(3)]
    name = box.name()
    created = client.new_order([name]).expect(201)
    url, order = created.headers["Location"], created.json
    csr = make_csr(make_key("p256"), [name])

    disk.leave(2 * MIB)
    wait_not_ready(box, "signer", "disk of the ledger", "ledger_reserve_bytes")
    reply = client.finalize(order, csr).expect(200)
    assert reply.json["status"] == "processing"
    client.revoke(der_of(leaves[0]), 4).expect(200)

    signer = box.signer()
    disk.leave(MIB // 2)
    time.sleep(1)  # the signer looks twice a second
    assert "disk" not in client.revoke(der_of(leaves[1]), 4).expect(503).text
    # One that starts now waits for room instead of ending over and over.
    box.kill(signer)
    assert wait_until(lambda: box.signer() not in (None, signer), 30)
    wait_not_ready(box, "signer", "disk of the ledger")
    signer = box.signer()

    disk.leave(8 * MIB)
    box.wait_ready()
    assert box.signer() == signer
    assert wait_until(lambda: client.post(url).expect(200).json["status"] == "valid", 60, pause=0.3)
    client.revoke(der_of(leaves[1]), 4).expect(200)
    box.server_tool("ledger", "verify")
    assert {each["serial"] for each in box.ledger("revoked")} == {f"{leaf.serial_number:032x}" for leaf in leaves[:2]}
