"""npm's official `cloudflare` client 4.x and the curl command of the service's announcement, both unmodified."""

import json
import os
import re
import subprocess

import pytest

from rest_client import leaf_of, make_csr, new_key, rest
from verify import openssl_verify, spki


@pytest.fixture
def official(sandbox, npm_modules):
    def run(*calls, **options):
        """What each call gave, and [method, status] of every request that was sent."""
        options = options or {"apiToken": sandbox["API_TOKEN"]}
        request = {"options": {"baseURL": sandbox["API_URL"], **options}, "calls": calls}
        result = subprocess.run(["node", "cloudflare.js"], cwd=npm_modules, input=json.dumps(request), text=True,
                                capture_output=True, timeout=120,
                                env={**os.environ, "NODE_EXTRA_CA_CERTS": sandbox["CA_BUNDLE"]})
        assert result.returncode == 0, result.stdout + result.stderr
        reply = json.loads(result.stdout)
        return reply["results"], reply["requests"]

    return run


def create(sandbox, csr=None, **fields):
    return ["originCACertificates.create",
            {"csr": csr or make_csr(), "hostnames": [sandbox.name()], "request_type": "origin-ecc",
             "requested_validity": 90, **fields}]


def test_official_client_creates_reads_lists_and_revokes(sandbox, official):
    key = new_key("rsa2048")
    csr, names = make_csr(key), [f"*.{sandbox['ZONE']}", sandbox["ZONE"], sandbox["ZONE_B"]]
    (created,), _ = official(create(sandbox, csr, hostnames=names, request_type="origin-rsa"))
    made = created["value"]
    leaf = leaf_of(made)
    openssl_verify(leaf, sandbox["ISSUER_RSA"])
    assert spki(leaf.public_key()) == spki(key.public_key())
    assert (made["hostnames"], made["csr"], made["requested_validity"]) == (names, csr, 90)
    (found, listed, revoked, again, after), requests = official(
        ["originCACertificates.get", made["id"]],
        ["originCACertificates.list", {"zone_id": sandbox["ZONE_ID"]}],
        ["originCACertificates.delete", made["id"]],
        ["originCACertificates.delete", made["id"]],
        ["originCACertificates.get", made["id"]])
    assert found["value"] == made
    assert made["id"] in [each["id"] for each in listed["value"]["result"]]
    assert revoked["value"]["id"] == made["id"] and revoked["value"]["revoked_at"]
    assert (again["thrown"], again["status"], again["errors"][0]["code"]) == ("BadRequestError", 400, 1014)
    assert after["value"]["revoked_at"] == revoked["value"]["revoked_at"]
    assert len(requests) == 5, f"something was sent twice: {requests}"


def test_official_client_sends_each_kind_of_credential(sandbox, official):
    forms = [{"apiToken": sandbox["API_TOKEN"]}, {"userServiceKey": sandbox["API_KEY"]},
             {"apiEmail": "somebody@example.test", "apiKey": sandbox["API_TOKEN"]},
             {"apiEmail": "somebody@example.test", "apiKey": sandbox["API_KEY"], "apiToken": "A" * 40}]
    for form in forms:
        everything = {"apiToken": None, "apiKey": None, "apiEmail": None, "userServiceKey": None, **form}
        (created,), _ = official(create(sandbox), **everything)
        assert "value" in created, (form.keys(), created)


def test_official_client_throws_the_right_class_once(sandbox, official):
    calls = [create(sandbox, requested_validity=14), create(sandbox, hostnames=["www.rival.test"]),
             ["originCACertificates.get", "12345"], create(sandbox, csr="no csr")]
    results, requests = official(*calls)
    assert [(each["thrown"], each["status"], each["errors"][0]["code"]) for each in results] == [
        ("BadRequestError", 400, 1009), ("BadRequestError", 400, 1010), ("NotFoundError", 404, 1101),
        ("BadRequestError", 400, 1007)]
    assert len(requests) == 4, "a refusal was tried again"
    (refused,), _ = official(create(sandbox), apiToken="A" * 40)
    assert (refused["status"], refused["errors"][0]["code"]) == (400, 10000)


def test_official_client_pages_through_zones_to_their_end(sandbox, official):
    (zones, one, mode), requests = official(
        ["zones.list.all", {"per_page": 1}], ["zones.get", {"zone_id": sandbox["ZONE_ID"]}],
        ["zones.settings.get", "ssl", {"zone_id": sandbox["ZONE_ID"]}])
    names = [zone["name"] for zone in zones["value"]]
    assert {sandbox["ZONE"], sandbox["ZONE_B"]} <= set(names) and len(names) == len(set(names))
    assert one["value"]["name"] == sandbox["ZONE"] and mode["value"]["id"] == "ssl"
    assert len(requests) == len(names) + 1 + 2
    (changed,), _ = official(["zones.settings.edit", "ssl", {"zone_id": sandbox["ZONE_B_ID"], "value": "full"}])
    assert changed["value"]["value"] == "full"


def test_official_client_verifies_its_token(official):
    (verified,), _ = official(["user.tokens.verify"])
    assert verified["value"]["status"] == "active"


def test_curl_command_of_the_announcement_works(sandbox, tmp_path):
    """Seed: openssl makes key and CSR, its line ends become "\\n" by hand, curl posts strings only."""
    key, request = tmp_path / "www.key", tmp_path / "www.csr"
    subprocess.run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-out", request, "-keyout", key,
                    "-subj", "/C=US/ST=California/L=/O=/"], check=True, capture_output=True)
    csr = request.read_text().strip().replace("\n", "\\n")
    zone = sandbox["ZONE"]
    data = ('{"hostnames":["%s","*.%s"],"requested_validity":"365","request_type":"origin-rsa","csr":"%s"}'
            % (zone, zone, csr))
    reply = subprocess.run(
        ["curl", "--cacert", sandbox["CA_BUNDLE"], "-sX", "POST", f"{sandbox['API_URL']}/certificates",
         "-H", "Content-Type: application/json", "-H", "Accept: application/json",
         "-H", f"X-Auth-User-Service-Key: {sandbox['API_KEY']}", "--data", data],
        capture_output=True, text=True, check=True, timeout=60).stdout
    answer = json.loads(reply)
    assert answer["success"] is True and answer["errors"] == [] and answer["messages"] == []
    assert answer["result"]["hostnames"] == [zone, f"*.{zone}"]
    assert answer["result"]["requested_validity"] == 365 and re.fullmatch("[0-9]+", answer["result"]["id"])
    openssl_verify(leaf_of(answer["result"]), sandbox["ISSUER_RSA"])


def test_openapi_document_is_valid(sandbox, npm_modules):
    document = rest(sandbox).call("GET", "/openapi.json", headers={})
    assert document.status == 200 and document.headers["Content-Type"] == "application/json"
    checked = subprocess.run(["node", "check_openapi.mjs"], cwd=npm_modules, input=document.body.decode(), text=True,
                             capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    broken = document.body.decode().replace('"responses"', '"respones"', 1)
    assert subprocess.run(["node", "check_openapi.mjs"], cwd=npm_modules, input=broken, text=True,
                          capture_output=True, timeout=60).returncode == 1
