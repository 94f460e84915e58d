"""An issuing certificate near its end, past it, or not begun: certificates end with it, and the operator is told."""

import datetime
import json
from pathlib import Path

import pytest
from acme_raw import make_csr, make_key
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from rest_client import make_csr as make_rest_csr, rest
from under_test import wait_until

DAY = datetime.timedelta(days=1)
FILES = ("ISSUER_ECC", "ISSUER_RSA")


def with_times(pem, begin, end):
    """The same issuer with other times, as another root would certify it."""
    old = x509.load_pem_x509_certificate(pem)
    root = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "some root")])
    builder = x509.CertificateBuilder(root, old.subject, old.public_key(), x509.random_serial_number(), begin, end)
    for each in old.extensions:
        if each.oid != x509.ExtensionOID.AUTHORITY_KEY_IDENTIFIER:
            builder = builder.add_extension(each.value, each.critical)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def set_times(own_sandbox):
    kept = {name: Path(own_sandbox[name]).read_bytes() for name in FILES}
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)

    def change(begin, end, names=FILES):
        for name in names:
            Path(own_sandbox[name]).write_bytes(with_times(kept[name], now + begin * DAY, now + end * DAY))
        return now + end * DAY

    yield change
    for name, pem in kept.items():
        Path(own_sandbox[name]).write_bytes(pem)


def test_a_default_lifetime_ends_with_the_issuer(own_sandbox, set_times):
    end = set_times(-1, 60)
    told = own_sandbox.server_tool("--check-config", check=False)
    assert told.returncode == 0 and "certificates are cut short to that end" in told.stdout + told.stderr
    told = own_sandbox.server_tool("reload")
    assert "warning: " in told.stderr and "certificates are cut short to that end" in told.stderr, told
    own_sandbox.wait_ready(30)
    client = own_sandbox.client()

    def is_cut(**times):  # the signer takes over after the workers
        name = own_sandbox.name()
        order = client.new_order([name], **times).expect(201)
        client.finalize(order.json, make_csr(make_key("p256"), [name])).expect(200)

        def done():
            return client.post(order.headers["Location"]).expect(200).json

        assert wait_until(lambda: done()["status"] == "valid", 30), done()
        chain = client.post(done()["certificate"]).expect(200).text
        return x509.load_pem_x509_certificate(chain.encode()).not_valid_after == end

    assert wait_until(is_cut, 30)
    start = (datetime.datetime.utcnow() + datetime.timedelta(hours=1)).replace(microsecond=0)
    assert is_cut(notBefore=start.strftime("%FT%TZ")), "a start without an end"
    late = (start + 89 * DAY).strftime("%FT%TZ")
    for times in ({"notBefore": start.strftime("%FT%TZ"), "notAfter": late}, {"notAfter": late}):  # what is asked for is exact
        refused = client.new_order([own_sandbox.name()], **times)
        assert refused.status == 400 and "outlive its issuer" in refused.json["detail"], refused.text
    api = rest(own_sandbox)
    for body in ({"requested_validity": 90}, {}):  # exactly so many days, also the default
        whole = {"csr": make_rest_csr(), "hostnames": [own_sandbox.name()], "request_type": "origin-ecc", **body}
        api.call("POST", "/certificates", whole).expect_error(400, 1009, "outlive its issuer")
    assert api.create([own_sandbox.name()], validity=30).status == 200


def test_an_issuer_that_has_ended_is_a_mistake(own_sandbox, set_times):
    set_times(-30, -1)
    told = own_sandbox.server_tool("--check-config", check=False)
    assert told.returncode == 2 and "has ended" in told.stderr, told.stderr
    told = own_sandbox.server_tool("reload", check=False)
    assert told.returncode != 0 and "has ended" in told.stdout + told.stderr


def test_no_order_is_taken_before_the_issuer_begins(own_sandbox, set_times):
    set_times(365, 3650)
    told = own_sandbox.server_tool("--check-config", check=False)
    assert told.returncode == 0 and "begins only at" in told.stdout + told.stderr
    own_sandbox.server_tool("reload")
    answer = own_sandbox.client().new_order([own_sandbox.name()])
    assert answer.status == 503 and answer.json["type"].endswith(":serverInternal"), answer.text
    before = own_sandbox.admin.get("orders")["items"]
    for kind in ("origin-ecc", "origin-rsa"):
        answer = rest(own_sandbox).create([own_sandbox.name()], request_type=kind)
        assert answer.status == 503 and "nothing can be signed at the moment" in str(answer.errors), answer.errors
    assert own_sandbox.admin.get("orders")["items"] == before, "refused before DNS, and no order is left behind"


@pytest.mark.parametrize("lacking", FILES)
def test_a_host_is_not_ready_while_one_of_its_issuers_cannot_sign(own_sandbox, set_times, lacking):
    name, other = ("ecc", "rsa") if lacking == "ISSUER_ECC" else ("rsa", "ecc")
    own_sandbox.server_tool("reload")
    own_sandbox.wait_ready(30)
    set_times(365, 3650, [lacking])
    own_sandbox.server_tool("reload")

    def document():
        return json.loads(own_sandbox.admin.fetch("GET", "/readyz")[2])

    assert wait_until(lambda: f"nothing can be signed by the issuer {name}" in document()["issuers"].get("reason", ""), 30), document()
    said = document()
    assert said["ready"] is False and said["signer"] == {"ok": True} and "begins only" in said["issuers"]["reason"], said
    assert own_sandbox.admin.fetch("GET", "/readyz")[0] == 503
    health = own_sandbox.admin_command("health", check=False)
    assert health.returncode == 1 and f"issuers nothing can be signed by the issuer {name}" in health.stdout, health.stdout
    assert rest(own_sandbox).create([own_sandbox.name()], request_type=f"origin-{name}").status == 503
    assert rest(own_sandbox).create([own_sandbox.name()], request_type=f"origin-{other}").status == 200
    set_times(-1, 3650)
    own_sandbox.server_tool("reload")
    own_sandbox.wait_ready(30)
    assert document()["issuers"] == {"ok": True}


def test_an_order_waits_for_an_issuer_that_is_in_force(own_sandbox, set_times):
    """Its CSR is good, and readyz and the metrics tell the operator what is not."""
    own_sandbox.server_tool("reload")
    own_sandbox.wait_ready(30)
    client, name = own_sandbox.client(), own_sandbox.name()
    order = client.new_order([name]).expect(201)
    csr = make_csr(make_key("p256"), [name])
    end = set_times(365, 3650)
    own_sandbox.server_tool("reload")

    def reason():
        is_ready, parts = own_sandbox.admin.readiness()
        return "" if is_ready else str(parts)

    assert wait_until(lambda: "no issuing certificate is in force" in reason(), 30), reason()
    client.close()  # a kept connection leads to a worker of before
    answer = client.finalize(order.json, csr)
    assert answer.status == 503 and answer.json["type"].endswith(":serverInternal"), answer.text
    assert wait_until(lambda: "an issuer cannot sign" in own_sandbox.log_text(), 30)
    ends = end.replace(tzinfo=datetime.timezone.utc).timestamp()
    assert own_sandbox.admin.metrics()['originca_issuer_not_after_seconds{issuer="ecc"}'] == ends
    set_times(-1, 3650)
    own_sandbox.server_tool("reload")
    own_sandbox.wait_ready(30)
    client.close()
    client.finalize(order.json, csr).expect(200)
    assert wait_until(lambda: client.post(order.headers["Location"]).expect(200).json["status"] == "valid", 30)
