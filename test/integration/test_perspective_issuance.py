"""Issuance by a server with perspectives: what one place alone sees is not enough for a certificate."""

import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from perspective_kit import Files, Perspective
from dns_farm import Farm, World
from under_test import wait_until

SANDBOX_OPTIONS = ("--workers", "1")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def blind(files):
    """A place that sees another tree: in it the sandbox's zones do not exist."""
    farm = Farm()
    farm.world = World()
    yield farm
    farm.close()


def hup(sandbox):
    before = sandbox.log_text().count("reload complete")
    os.kill(sandbox.supervisor, signal.SIGHUP)
    assert wait_until(lambda: sandbox.log_text().count("reload complete") > before, 30), sandbox.log_text()[-3000:]


@pytest.fixture
def configure(own_sandbox, files):
    """A function that gives the server its perspectives; the former configuration is restored."""
    path = Path(own_sandbox["CONFIG"])
    good = path.read_text()

    def use(*entries):
        views = ", ".join(f'"{each}"' for each in ["local", *entries])
        path.write_text(good.replace("dns {\n", f"""dns {{
    perspectives = {{{views}}}
    perspective_timeout_ms = 3000
    perspective_ca_file = "{files.ca}"
    perspective_certificate_file = "{files.client[0]}"
    perspective_key_file = "{files.client[1]}"
"""))
        hup(own_sandbox)

    yield use
    path.write_text(good)
    hup(own_sandbox)


@pytest.fixture
def seeing(own_sandbox, files):
    """A perspective that looks at the sandbox's own DNS."""
    text = Path(own_sandbox["CONFIG"]).read_text()
    hints = re.search(r'root_hints_file = "([^"]+)"', text)[1]
    port = int(re.search(r"dns_port = (\d+)", text)[1])
    view = SimpleNamespace(port=port)
    (files.directory / "sandbox").mkdir(exist_ok=True)
    (files.directory / "sandbox" / "hints").write_text(Path(hints).read_text())
    places = SimpleNamespace(server=files.server, ca=files.ca, directory=files.directory / "sandbox")
    remote = Perspective(places, view)
    yield remote
    assert remote.stop() == 0


@pytest.fixture
def unseeing(files, blind):
    remote = Perspective(files, blind)
    yield remote
    assert remote.stop() == 0


def test_a_certificate_needs_the_quorum(own_sandbox, configure, seeing, unseeing):
    configure(seeing.entry)
    own_sandbox.client().issue([own_sandbox.name()])
    configure(unseeing.entry)  # a kept connection would still lead to the worker that retires
    reply = own_sandbox.client().new_order([own_sandbox.name()])
    assert reply.status == 400 and reply.json["type"].endswith(":dns"), reply.json
    assert unseeing.entry in reply.json["detail"] or unseeing.entry in str(reply.json["subproblems"])


def test_one_of_two_may_disagree_and_is_counted(own_sandbox, configure, seeing, unseeing):
    def counts():
        metrics = own_sandbox.admin.metrics()
        return [metrics.get(f"originca_perspective_{what}_total", 0)
                for what in ("checks", "disagreements", "quorum_failures")]

    configure(seeing.entry, unseeing.entry)
    before = counts()
    own_sandbox.client().issue([own_sandbox.name()])
    assert wait_until(lambda: counts()[0] > before[0] and counts()[1] > before[1], 20), (before, counts())
    assert counts()[2] == before[2]


def test_the_evidence_of_an_order_names_the_perspectives(own_sandbox, configure, seeing):
    configure(seeing.entry)
    client = own_sandbox.client()
    order = client.new_order([own_sandbox.name()]).expect(201)
    shown = own_sandbox.admin.get("orders/" + order.headers["Location"].rsplit("/", 1)[-1])
    assert seeing.entry in str(shown), shown
