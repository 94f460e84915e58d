"""What a request takes: hostile documents are refused or soon forgotten, whatever their shape, and a request that waits for
silent name servers holds no more than what it needs.

Under the sanitizers the heap tells nothing of itself and every block is larger, so bounds are wider there."""

import json
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from acme_kit import refused
from acme_raw import compact
from rest_client import make_csr, rest
from test_http import configured
from under_test import silent_name_servers, wait_until

SANDBOX_OPTIONS = ("--set", "dns.dns_deadline_ms=60000", "--set", "dns.dns_query_timeout_ms=50000",
                   "--set", "dns.dns_max_per_server=10000")
BODY = 65536
TOO_MANY = "the JSON holds more values than fit into the memory of a request; send fewer"

# What an unknown member of a document is made of, as often as it fits.
SHAPES = {
    "empty-objects": ("[", "{}", "]"),
    "empty-arrays": ("[", "[]", "]"),
    "nested-arrays": ("[", "[" * 28 + "]" * 28, "]"),
    "nested-objects": ("[", '{"a":' * 28 + "0" + "}" * 28, "]"),
    "many-keys": ("{", '"%06x":0', "}"),
    "one-key-each": ("[", '{"":0}', "]"),
    "numbers": ("[", "0", "]"),
    "reals": ("[", "1e1", "]"),
    "empty-strings": ("[", '""', "]"),
    "escaped-strings": ("[", '"\\u00e9\\ud83d\\ude00"', "]"),
    "literals": ("[", "null", "]"),
    "long-string": ('["', "a" * 100, '"]'),
    "long-escapes": ('["', "\\u00e9\\ud83d\\ude00" * 5, '"]'),
}


def filled(shape, size):
    begin, piece, end = SHAPES[shape]
    separator = "" if begin == '["' else ","
    count = (size - len(begin) - len(end)) // (len(piece) + 2 + len(separator))
    return begin + separator.join(piece % at if "%" in piece else piece for at in range(count)) + end


@pytest.fixture(scope="module", autouse=True)
def no_quarantine():
    """Memory that is freed goes: the sanitizer keeps 256 MiB of it otherwise. Before the sandbox starts."""
    before = os.environ.get("ASAN_OPTIONS", "")
    os.environ["ASAN_OPTIONS"] = f"{before}:quarantine_size_mb=1:thread_local_quarantine_size_kb=64".lstrip(":")
    yield
    os.environ["ASAN_OPTIONS"] = before


def with_member(members, text):
    """The JSON of `members` with another member "x" of that text."""
    return compact(members)[:-1] + b',"x":' + text.encode() + b"}"


def resident(sandbox):
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in sandbox.workers())


def heap(sandbox):
    """0 under the sanitizers."""
    return sum(value for name, value in sandbox.admin.metrics().items() if name.startswith("originca_worker_heap_bytes"))


def waiting(sandbox):
    return sum(value for name, value in sandbox.admin.metrics().items()
               if name.startswith("originca_dns_checks_in_progress"))


def create_of(zone, at, csr):
    return {"csr": csr, "hostnames": [f"m{at}.{zone}"], "request_type": "origin-ecc", "requested_validity": 7}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rest_create_with_a_member_of_any_shape_is_served(own_sandbox, shape):
    api, before = rest(own_sandbox), heap(own_sandbox)
    body = with_member(create_of(own_sandbox["ZONE"], shape, make_csr()), filled(shape, 64000))
    assert len(body) < BODY
    assert api.call("POST", "/certificates", body).result["certificate"]
    assert heap(own_sandbox) - before < 500_000


@pytest.mark.parametrize("shape", SHAPES)
def test_an_acme_order_with_a_member_of_any_shape_is_served(own_sandbox, shape):
    client = own_sandbox.client()
    payload = with_member({"identifiers": [{"type": "dns", "value": own_sandbox.name()}]}, filled(shape, 47000))
    before = heap(own_sandbox)
    client.post(client.directory["newOrder"], payload).expect(201)
    assert heap(own_sandbox) - before < 500_000
    client.close()


@pytest.fixture
def narrow(own_sandbox):
    """A request may take one MiB."""
    with configured(own_sandbox, max_request_memory_bytes=1048576):
        yield own_sandbox


def test_documents_that_take_more_than_a_request_may_are_refused_everywhere(narrow):
    wide = "[" + ",".join(["{}"] * 14000) + "]"
    api, client = rest(narrow), narrow.client()
    answer = api.call("POST", "/certificates", with_member(create_of(narrow["ZONE"], "w", make_csr()), wide))
    answer.expect_error(400, 1004, TOO_MANY)
    order = {"identifiers": [{"type": "dns", "value": narrow.name()}]}
    reply = client.post(client.directory["newOrder"], with_member(order, wide))
    assert TOO_MANY in refused(reply, 400, "malformed")["detail"]
    header = {"x": [{}] * 14000}
    reply = client.post(client.directory["newOrder"], order, header=header)
    assert TOO_MANY in refused(reply, 400, "malformed")["detail"]
    status, _, text = narrow.admin.fetch("POST", "/admin/v1/customers", {"name": "wide", "x": [{}] * 14000})
    assert status == 400 and TOO_MANY in json.loads(text)["error"]["message"]
    client.post(client.directory["newOrder"], order).expect(201)
    assert api.create([narrow.name()]).result["certificate"]
    client.close()


def test_many_hostile_creates_that_wait_for_silent_name_servers_leave_the_worker_small(own_sandbox):
    """64 kB of "{}" each, which held 4.1 MiB each."""
    count, zone, api, csr = 100, own_sandbox.new_zone(), rest(own_sandbox), make_csr()
    is_sanitized = heap(own_sandbox) == 0
    wide = "[" + ",".join(["{}"] * 21000) + "]"
    fields = "".join(f"{name}: {value}\r\n" for name, value in api.headers.items())
    before, held = resident(own_sandbox), heap(own_sandbox)
    with ExitStack() as stack:
        stack.enter_context(silent_name_servers(own_sandbox))
        for at in range(count):
            body = with_member(create_of(zone, at, csr), wide)
            connection = stack.enter_context(api.context.wrap_socket(
                socket.create_connection((api.base.hostname, api.base.port), 30), server_hostname="localhost"))
            connection.sendall(f"POST {api.base.path}/certificates HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: "
                               f"{len(body)}\r\n\r\n".encode() + body)
        assert wait_until(lambda: waiting(own_sandbox) == count, 60), waiting(own_sandbox)
        grown, now = resident(own_sandbox) - before, heap(own_sandbox)
        assert grown < (200 if is_sanitized else 60) * 1024 * 1024, grown
        assert is_sanitized or (now - held) / count < 256 * 1024, (now - held) / count
    assert wait_until(lambda: waiting(own_sandbox) == 0, 60)
    assert api.create([own_sandbox.name()]).result["certificate"]
