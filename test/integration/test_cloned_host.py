"""A machine and its clone: the second server that writes under one host_name serves nobody while the first is alive, and takes
over when that one is gone; the first, started again where it was, need not wait."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from acme_raw import AcmeClient
from admin_api import AdminClient, AdminError
from box import Sandbox
from fence_kit import box, redis, wait_well  # noqa: F401
from processes import Processes
from server_config import issuers_for, render, sections_for
from under_test import SANITIZER_MARKS, children, free_port_base, start_time, wait_end, wait_until

SANDBOX_OPTIONS = ("--workers", "1")
PROGRAM = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"


class Clone:
    """Another server with the sandbox's host_name, a copy of its ledger and its Redis; sockets and ports of its own."""

    def __init__(self, box, folder):  # noqa: F811
        self.box, self.folder = box, folder
        files, port = Sandbox(box.directory), free_port_base(2)
        self.url = f"https://localhost:{port}"
        sections = sections_for(files)
        sections["server"] |= {"base_url": self.url, "https_listen": files.listen_addresses(port),
                               "http_listen": files.listen_addresses(port + 1),
                               "admin_listen": f"unix:{folder}/admin.sock", "run_directory": folder}
        sections["signer"] |= {"ledger_directory": folder / "ledger"}
        (folder / "originca.conf").write_text(render(sections, issuers_for(files)))
        shutil.copytree(box.directory / "ledger", folder / "ledger")
        self.processes, self.admin = Processes(folder, folder), AdminClient(folder / "admin.sock")

    def start(self):
        self.processes.start("server", [PROGRAM, "-c", self.folder / "originca.conf"],
                             {"SOFTHSM2_CONF": self.box["SOFTHSM2_CONF"]})

    def log_text(self):
        return self.processes.log("server").read_text()

    def wait_refused(self):
        def reason():
            with contextlib.suppress(Exception):
                is_ready, text = self.admin.readiness()
                return "another server writes under host_name sandbox" in text and not is_ready and text
        assert wait_until(reason, 30), self.log_text()[-3000:]
        return reason()


@pytest.fixture
def clone(box, tmp_path):  # noqa: F811
    box.client().issue([box.name()])
    clone = Clone(box, tmp_path)
    yield clone
    if clone.processes.pid("server"):
        clone.processes.stop("server")
    assert not any(mark in clone.log_text() for mark in SANITIZER_MARKS)


def start(box):  # noqa: F811
    box.processes.start("server", [PROGRAM, "-c", box["CONFIG"]], {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]})


def test_a_clone_is_refused_while_the_first_lives(box, clone):  # noqa: F811
    clone.start()
    reason = clone.wait_refused()
    assert f"process {box.supervisor} since" in reason and "operations.md" in reason
    assert "event=serving" not in clone.log_text()
    with pytest.raises(AdminError, match="another server writes"):
        clone.admin.post("ledger/confirm-loss")
    with pytest.raises(AdminError, match="another server writes"):
        clone.admin.post("ledger/accept-empty")
    assert box.admin.readiness()[0]
    box.client().issue([box.name()])
    client = AcmeClient(f"{clone.url}/acme/directory", box["CA_BUNDLE"])
    assert client.register(box["EAB_KID"], box["EAB_HMAC"]).status == 503
    client.close()
    clone.wait_refused()
    assert "event=serving" not in clone.log_text()


def test_the_first_comes_back_at_once_where_it_was(box, clone):  # noqa: F811
    clone.start()
    clone.wait_refused()
    processes = {pid: start_time(pid) for pid in [box.supervisor, *children(box.supervisor)]}
    os.kill(box.supervisor, 9)
    assert all(wait_end(pid, started, 10) for pid, started in processes.items())
    start(box)
    wait_well(box)
    box.client().issue([box.name()])
    clone.wait_refused()
    assert "event=serving" not in clone.log_text()


def test_a_clone_takes_over_when_the_first_is_gone(box, clone):  # noqa: F811
    """With the ledger as it was at the end: the machine was moved. The first is then the one that is refused."""
    assert not box.processes.stop("server")
    shutil.rmtree(clone.folder / "ledger")
    shutil.copytree(box.directory / "ledger", clone.folder / "ledger")
    clone.start()
    assert wait_until(lambda: clone.admin.readiness()[0], 30), clone.log_text()[-3000:]
    start(box)
    try:
        assert wait_until(lambda: "another server writes under host_name sandbox" in box.admin.readiness()[1], 30)
        assert not box.admin.readiness()[0] and clone.admin.readiness()[0]
        assert int(redis(box, "HGET", "ledger:sandbox", "writer_seen")) > 0
    finally:
        clone.processes.stop("server")
    wait_well(box)
