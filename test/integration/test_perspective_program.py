"""originca-perspective as a program: its wire format, its limits, its options, its manual."""

import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from dns_farm import EDGE
from perspective_kit import farms, files, perspectives, places  # noqa: F401: fixtures
from perspective_kit import OURS, WAIT, Client, build, frame, read_frame
from under_test import free_port_base


def connect(files, remote, identity=None):
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(*map(str, identity or files.client))
    if remote.address.startswith("unix:"):
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(WAIT)
        raw.connect(remote.address.removeprefix("unix:"))
    else:
        raw = socket.create_connection(("127.0.0.1", remote.port), timeout=WAIT)
    return context.wrap_socket(raw, server_hostname="localhost")


def ask(**changes):
    return {"version": 2, "id": 5, "deadline_ms": 2000, "caa_mode": "off", "caa_identities": [], "name_server_pool": [],
            "edge_prefixes": EDGE, "zones": [{"name": "shop.test", "name_servers": OURS}],
            "names": [{"name": "www.shop.test", "zone": 0}], **changes}


def test_the_wire_format_is_what_the_document_says(files, places, perspectives):
    remote = perspectives(places[1])
    with connect(files, remote) as stream:
        stream.sendall(frame(ask()))
        answer = read_frame(stream)
        assert answer["id"] == 5 and answer["version"] == 2
        assert answer["zones"] == [{"verdict": "ok", "reason": "delegated", "secure": False}]
        assert answer["names"] == [{"verdict": "ok", "reason": "proxied", "secure": False}]
        stream.sendall(frame(ask(id=6, edge_prefixes=["198.51.100.0/24"])))
        answer = read_frame(stream)
        assert answer["names"][0]["reason"] == "gray" and "203.0.113.10" in answer["names"][0]["text"]


def test_a_wrong_request_is_told_so_and_the_connection_stays(files, places, perspectives):
    remote = perspectives(places[1])
    with connect(files, remote) as stream:
        stream.sendall(frame(ask(names=[{"name": "www.other.test", "zone": 0}])))
        assert read_frame(stream)["error"] == "invalid"
        stream.sendall(frame(ask(id=8)))
        assert read_frame(stream)["id"] == 8


@pytest.mark.parametrize("bytes_sent", [b"\xff\xff\xff\xff", b"\0\0\0\0", frame(b"no json"), frame({}),
                                        struct.pack(">I", 70000) + b"[" * 70000], ids=range(5))
def test_what_is_no_request_ends_the_connection(files, places, perspectives, bytes_sent):
    remote = perspectives(places[1])
    with connect(files, remote) as stream:
        stream.sendall(bytes_sent)
        try:
            assert stream.recv(100) == b""
        except ConnectionError:
            pass
    with connect(files, remote) as stream:
        stream.sendall(frame(ask()))
        assert read_frame(stream)["names"][0]["verdict"] == "ok"


def test_slow_clients_are_cut_off(files, places, perspectives):
    """A handshake that is never finished, a frame that is never whole, a connection without requests."""
    remote = perspectives(places[1], "--handshake-timeout-ms", 300, "--frame-timeout-ms", 300, "--idle-timeout-ms", 900)
    with socket.create_connection(("127.0.0.1", remote.port), timeout=WAIT) as raw:
        assert raw.recv(100) == b""
    remote.log.until("TLS handshake in time")
    with connect(files, remote) as stream:
        stream.sendall(frame(ask())[:50])
        try:
            assert stream.recv(100) == b""
        except ConnectionError:
            pass
    remote.log.until("did not come whole in time")
    with connect(files, remote) as stream:
        try:
            assert stream.recv(100) == b""
        except ConnectionError:
            pass
    remote.log.until("reason=idle")


def test_strangers_cannot_take_all_places(files, places, perspectives):
    """Connections without a certificate make room for a client that has one."""
    remote = perspectives(places[1], "--max-connections", 3, "--handshake-timeout-ms", 20000)
    idlers = [socket.create_connection(("127.0.0.1", remote.port), timeout=WAIT) for _ in range(10)]
    with connect(files, remote) as stream:
        stream.sendall(frame(ask()))
        assert read_frame(stream)["names"][0]["verdict"] == "ok"
    for each in idlers:
        each.close()


def test_a_client_that_sends_without_end_does_not_keep_others_waiting(files, places, perspectives):
    remote = perspectives(places[1])
    requests = frame({"version": 2, "id": 1, "more": "x" * 60000}) * 100
    greedy = connect(files, remote)

    def flood():
        try:
            while True:
                greedy.sendall(requests)
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    remote.log.until("a request is not answered")
    with connect(files, remote) as stream:
        stream.sendall(frame(ask(deadline_ms=20000)))
        assert read_frame(stream)["names"][0]["verdict"] == "ok"
    greedy.close()
    thread.join(WAIT)


def test_who_takes_no_replies_is_not_read_from(files, places, perspectives, tmp_path):
    """Else its replies pile up. Once it takes them it gets them all."""
    count = 100
    remote = perspectives(places[1], "--max-checks", count, "--write-timeout-ms", 60000,
                          "--frame-timeout-ms", 60000, address=f"unix:{tmp_path}/p.sock")
    names = [{"name": f"{i:03}-{'x' * 50}.{'y' * 60}.gone.test", "zone": 0} for i in range(1000)]
    zones = [{"name": "gone.test", "name_servers": OURS}]
    requests = b"".join(frame(ask(id=i + 1, names=names, zones=zones)) for i in range(count))
    with connect(files, remote) as stream:
        unsent = memoryview(requests)

        def send_until_it_does_not_take_it(seconds):
            nonlocal unsent
            stream.settimeout(seconds)
            try:
                while unsent:
                    unsent = unsent[stream.send(unsent[:16384]):]
            except TimeoutError:
                pass
            stream.settimeout(WAIT)

        send_until_it_does_not_take_it(3)
        assert len(unsent) > len(requests) / 2, "it read on"
        ids = set()
        while len(ids) < count:
            ids.add(read_frame(stream)["id"])
            send_until_it_does_not_take_it(0.01)
    assert ids == set(range(1, count + 1))


def test_more_checks_than_allowed_are_answered_busy(files, places, perspectives):
    there = places[1]
    there.world.hook(lambda *_: [], 1)  # the root is silent: checks stay under way
    remote = perspectives(there, "--max-checks", 2)
    with connect(files, remote) as stream:
        for number in (1, 2, 3):
            stream.sendall(frame(ask(id=number, deadline_ms=1500)))
        answers = [read_frame(stream) for _ in range(3)]
    assert (answers[0]["id"], answers[0]["error"]) == (3, "busy")
    assert {each["id"]: each["zones"][0]["verdict"] for each in answers[1:]} == {1: "failed", 2: "failed"}


def test_new_certificates_are_taken_on_hangup(files, places, perspectives, tmp_path):
    identity = tmp_path / "p.crt", tmp_path / "p.key"
    for source, target in zip(files.other_name, identity):
        target.write_bytes(source.read_bytes())
    remote = perspectives(places[1], identity=identity)
    with Client(files, places[0], [remote.entry]) as client:
        assert client.check()["verdict"] == "failed"
        for source, target in zip(files.server, identity):
            target.write_bytes(source.read_bytes())
        remote.process.send_signal(signal.SIGHUP)
        remote.log.until("certificates read again")
        remote.log.until("connected")
        assert client.check()["verdict"] == "ok"


def run_perspective(*options):
    command = [build() / "perspective" / "originca-perspective", *options]
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=WAIT)


def test_settings_come_from_the_file_and_the_command_line_wins(files, tmp_path):
    path = tmp_path / "perspective.conf"
    path.write_text(f"""listen = {{"127.0.0.1:{free_port_base(1)}"}}
certificate_file = "{files.server[0]}"
key_file = "{files.server[1]}"
client_ca_file = "{files.ca}"
root_hints_file = "{files.directory / 'hints'}"
allow_addresses = {{"127.0.0.0/8"}}
max_checks = 0
""")
    result = run_perspective("-c", path, "--check-config")
    assert result.returncode == 2 and "max_checks" in result.stderr
    assert run_perspective("-c", path, "--max-checks", 7, "--check-config").returncode == 0


@pytest.mark.parametrize("first, second", [
    ("tls://localhost:1", "tls://localhost:1"), ("tls://localhost:1", "tls://LOCALHOST:01"),
    ("tls://localhost:1", "tls://localhost:1#b.test"), ("udp://127.0.0.1:53", "udp://127.0.0.1:053"),
    ("tls://[::1]:1", "tls://[0::1]:1")])
def test_a_place_that_stands_twice_is_refused(files, places, first, second):
    """However it is written: it would count twice."""
    client = Client(files, places[0], [first, second, "tls://localhost:2", "udp://127.0.0.2:53"])
    program = build() / "test" / "perspective" / "perspective-client"
    result = subprocess.run([program, client.path], input="", capture_output=True, text=True, timeout=WAIT)
    assert result.returncode != 0
    assert set(re.findall('names "(.*)" twice', result.stderr)) == {second}


@pytest.mark.parametrize("options, said", [
    ([], "listen: is required"), (["--listen", "nowhere"], "listen"), (["--bogus", "1"], "bogus"),
    (["--dns-port", "70000"], "dns_port"), (["--dns-port", "1", "--dns-port", "2"], "twice"),
    (["-c", "/nowhere.conf"], "cannot read"), (["extra"], "extra")])
def test_wrong_options_are_told(options, said):
    result = run_perspective(*options)
    assert result.returncode == 2 and said in result.stderr


def test_every_option_is_in_the_manual():
    text = (Path(__file__).resolve().parents[2] / "doc" / "man" / "originca-perspective.8").read_text()
    options = [line.split()[0][2:] for line in run_perspective("--help").stdout.splitlines()
               if line.startswith("      --")]
    assert len(options) > 20
    assert [each for each in options if each.rstrip(",") not in text] == []
