"""The Origin CA REST API over the wire: what it answers, in every form that clients depend on, and what it refuses."""

import base64
import concurrent.futures
import datetime
import json
import re
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from admin_api import AdminError
from processes import wait_until
from rest_client import RestClient, bearer, leaf_of, make_csr, new_key, rest, service_key
from verify import der_of, load_chain, openssl_verify, spki

LIFETIMES = [7, 30, 90, 365, 730, 1095, 5475]
TEXT_1009 = "Permitted values for requested_validity (days): 7, 30, 90, 365, 730, 1095, 5475 (default)"
TEXT_1010 = "This zone is either not part of your account, or you do not have access to it."
TEXT_1101 = "Failed to read certificate from Database"


@pytest.fixture
def api(sandbox):
    return rest(sandbox)


@pytest.fixture
def rival(sandbox):
    return rest(sandbox, customer=2)


@pytest.fixture(scope="module", autouse=True)
def log_before(sandbox):
    """How long the log was: other files share the sandbox, and some of them are answered with errors on purpose."""
    return len(sandbox.log_text())


@pytest.fixture(scope="module")
def csr():
    return make_csr()


def new_api_key(sandbox, kind="token", customer="CUSTOMER", **fields):
    return sandbox.admin.post(f"customers/{sandbox[customer]}/api-keys", {"kind": kind, **fields})


def headers_of(made):
    return service_key(made["key"]) if made["kind"] == "service-key" else bearer(made["key"])


def api_with(sandbox, made):
    return rest(sandbox, headers=headers_of(made))


def names_of(certificate):
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName)


# --- what an answer looks like ---


def test_create_answers_exactly_the_envelope_and_the_fields_that_clients_read(sandbox, api, csr):
    name = sandbox.name()
    answer = api.create([name], csr, validity=30)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f]{16}-[A-Z]{3}", answer.headers["CF-Ray"])
    envelope = answer.json
    assert (envelope["success"], envelope["errors"], envelope["messages"]) == (True, [], [])
    result = envelope["result"]
    assert list(result) == ["certificate", "csr", "expires_on", "hostnames", "id", "request_type",
                            "requested_validity"]
    leaf = leaf_of(result)
    assert result["id"] == str(leaf.serial_number) and re.fullmatch("[0-9]+", result["id"])
    assert result["certificate"].count("BEGIN") == 1 and result["certificate"].endswith("-----\n")
    assert result["csr"] == csr
    assert result["hostnames"] == [name] == names_of(leaf)
    assert result["expires_on"] == leaf.not_valid_after.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    assert (result["request_type"], result["requested_validity"]) == ("origin-ecc", 30)
    assert api.get(result["id"]).result == result


@pytest.mark.parametrize("request_type, issuer", [("origin-rsa", "ISSUER_RSA"), ("origin-ecc", "ISSUER_ECC"),
                                                  ("keyless-certificate", "ISSUER_ECC")])
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384"])
def test_request_type_chooses_the_issuer_whatever_key_the_csr_has(sandbox, api, request_type, issuer, kind):
    key = new_key(kind)
    result = api.create([sandbox.name()], make_csr(key), request_type).result
    leaf = leaf_of(result)
    openssl_verify(leaf, sandbox[issuer])
    assert spki(leaf.public_key()) == spki(key.public_key())
    assert result["request_type"] == request_type


@pytest.mark.parametrize("days", LIFETIMES)
def test_lifetime_is_exact_to_the_second_and_comes_back_as_asked(sandbox, api, days):
    for given in (days, str(days), float(days)):
        result = api.create([sandbox.name()], validity=given).result
        leaf = leaf_of(result)
        assert leaf.not_valid_after - leaf.not_valid_before == datetime.timedelta(days=days)
        assert result["requested_validity"] == days and type(result["requested_validity"]) is int


@pytest.mark.parametrize("absent", [{}, {"requested_validity": None}, {"requested_validity": 0}])
def test_lifetime_is_fifteen_years_when_none_is_asked(sandbox, api, csr, absent):
    body = {"csr": csr, "hostnames": [sandbox.name()], "request_type": "origin-ecc", **absent}
    result = api.call("POST", "/certificates", body).result
    assert result["requested_validity"] == 5475


def test_hostnames_keep_the_order_of_the_request_and_lose_duplicates_without_a_message(sandbox, api):
    zone, other = sandbox["ZONE"], sandbox["ZONE_B"]
    asked = [f"z.{zone}", other, f"*.a.{zone}", f"*.{zone}", zone, f"Z.{zone}", f"*.b.a.{other}", other]
    answer = api.create(asked)
    expected = [f"z.{zone}", other, f"*.a.{zone}", f"*.{zone}", zone, f"*.b.a.{other}"]
    assert answer.result["hostnames"] == expected == names_of(leaf_of(answer.result))
    assert answer.json["messages"] == []
    assert api.get(answer.result["id"]).result["hostnames"] == expected


def test_names_in_other_scripts_become_a_labels(sandbox, api):
    result = api.create([f"bücher.{sandbox['ZONE']}", f"*.straße.{sandbox['ZONE']}"]).result
    assert result["hostnames"] == [f"xn--bcher-kva.{sandbox['ZONE']}", f"*.xn--strae-oqa.{sandbox['ZONE']}"]


def test_two_hundred_hostnames_are_allowed_and_one_more_is_not(sandbox, api):
    names = [f"n{i}.{sandbox['ZONE' if i % 2 else 'ZONE_B']}" for i in range(200)]
    assert api.create(names).result["hostnames"] == names
    api.create(names + [sandbox["ZONE"]]).expect_error(400, 1005, "at most 200")


def test_subject_names_and_extensions_of_the_csr_are_ignored(sandbox, api):
    foreign = [x509.DNSName("www.elsewhere.example"), x509.RFC822Name("a@elsewhere.example")]
    result = api.create([sandbox.name()], make_csr(common_name="elsewhere.example", names=foreign)).result
    text = leaf_of(result).public_bytes(serialization.Encoding.DER)
    assert b"elsewhere" not in text


@pytest.mark.parametrize("change", [
    lambda pem: pem.replace("\n", "\\n"),
    lambda pem: pem.replace("\n", "\r\n"),
    lambda pem: pem.rstrip("\n"),
    lambda pem: pem.replace("\n", ""),
    lambda pem: "some text before\n" + pem,
    lambda pem: pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
], ids=["literal-backslash-n", "crlf", "no-final-newline", "one-line", "text-before", "new-label"])
def test_csr_is_read_in_every_spelling_and_echoed_byte_for_byte(sandbox, api, change):
    text = change(make_csr())
    result = api.create([sandbox.name()], text).result
    assert result["csr"] == text
    assert api.get(result["id"]).result["csr"] == text


def test_fields_that_old_clients_send_beside_are_ignored(sandbox, api):
    extra = {"id": "", "certificate": "", "expires_on": "0001-01-01T00:00:00Z", "revoked_at": "0001-01-01T00:00:00Z"}
    assert api.create([sandbox.name()], **extra).status == 200


def test_expires_on_in_rfc_3339_is_a_setting(tmp_path_factory):
    from conftest import _started
    sandbox = _started(tmp_path_factory, "rfc3339", "--set", "rest.rest_rfc3339_dates=true", "--set",
                       "rest.rest_max_hostnames=2", "--set", "rest.rest_retry_window_seconds=0")
    try:
        api, csr, name = rest(sandbox), make_csr(), sandbox["ZONE"]
        assert wait_until(lambda: api.create([name]).status == 200, 20, pause=0.3), "DNS is not served everywhere yet"
        first, second = api.create([name], csr).result, api.create([name], csr).result
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["expires_on"])
        assert first["id"] != second["id"], "without a window each create stands for itself"
        api.create([name, "a." + name, "b." + name]).expect_error(400, 1005, "at most 2")
    finally:
        sandbox.down()


# --- who may ask ---


def test_every_form_of_key_works(sandbox):
    key, token = sandbox["API_KEY"], sandbox["API_TOKEN"]
    for headers in (service_key(key), bearer(token), {"Authorization": f"bearer {token}"},
                    {"X-Auth-Email": "a@example.test", "X-Auth-Key": key},
                    {"X-Auth-Email": "a@example.test", "X-Auth-Key": token}, {"X-Auth-Key": key}):
        api = rest(sandbox, headers=headers)
        result = api.create([sandbox.name()]).result
        assert api.get(result["id"]).status == 200
        assert api.list(sandbox["ZONE_ID"]).status == 200
        assert api.revoke(result["id"]).result["id"] == result["id"]


def test_one_good_key_among_stale_ones_is_enough(sandbox):
    key, token = sandbox["API_KEY"], sandbox["API_TOKEN"]
    bad_key, bad_token = key[:-1] + ("0" if key[-1] != "0" else "1"), "A" * 40
    everything = {**service_key(bad_key), **bearer(bad_token), "X-Auth-Email": "a@b", "X-Auth-Key": "stale"}
    path = f"/certificates?zone_id={sandbox['ZONE_ID']}"
    api = rest(sandbox)
    for good in (service_key(key), bearer(token), {"X-Auth-Email": "a@b", "X-Auth-Key": token}):
        assert api.call("GET", path, headers={**everything, **good}).status == 200
    api.call("GET", path, headers=everything).expect_error(400, 10000, "Authentication error")


def wrong_headers(sandbox):
    key, token = sandbox["API_KEY"], sandbox["API_TOKEN"]
    return [service_key(key[:-1]), service_key(key + "0"), service_key(key.upper()), service_key("v1.0-"),
            service_key(key[:-4] + "0000"), service_key(token), bearer(token[:-1]), bearer(token[:-4] + "AAAA"),
            bearer(key), bearer(""), {"Authorization": token}, {"Authorization": f"Basic {token}"},
            {"X-Auth-Email": "a@b"}, {"X-Auth-Key": token}, {"X-Auth-Email": "a@b", "X-Auth-Key": "x" * 37},
            {"X-Auth-Key": "x" * 5000}, bearer("v1.0-" + "0" * 24 + "-" + "0" * 146), bearer("\x80" * 40),
            service_key("v1.0-" + "0" * 24 + "-" + "0" * 146), service_key("' OR 1=1 --")]


def test_no_wrong_key_gets_in_anywhere(sandbox):
    api = rest(sandbox)
    calls = [("POST", "/certificates"), ("GET", f"/certificates?zone_id={sandbox['ZONE_ID']}"),
             ("GET", "/certificates/1"), ("DELETE", "/certificates/1"), ("GET", "/zones"),
             ("GET", f"/zones/{sandbox['ZONE_ID']}"), ("PATCH", f"/zones/{sandbox['ZONE_ID']}/settings/ssl")]
    for method, path in calls:
        api.call(method, path, headers={}).expect_error(401, 1001, "Request had no Authorization header")
        for headers in wrong_headers(sandbox):
            answer = api.call(method, path, headers=headers)
            if answer.status != 401:
                answer.expect_error(400, 10000, "Authentication error")
            else:
                answer.expect_error(401, 1001)


def test_deleted_key_ends_at_once_on_every_worker(sandbox):
    made = new_api_key(sandbox, name="short-lived")
    api = api_with(sandbox, made)
    path = f"/certificates?zone_id={sandbox['ZONE_ID']}"
    assert all(api.call("GET", path).status == 200 for _ in range(8))
    with pytest.raises(AdminError):
        sandbox.admin.delete(f"customers/{sandbox['CUSTOMER_2']}/api-keys/{made['id']}")
    assert api.call("GET", path).status == 200
    sandbox.admin.delete(f"customers/{sandbox['CUSTOMER']}/api-keys/{made['id']}")
    for _ in range(16):  # the kernel spreads connections over the workers
        api.call("GET", path).expect_error(400, 10000)
    listed = {each["id"]: each for each in sandbox.admin.get(f"customers/{sandbox['CUSTOMER']}/api-keys")["items"]}
    assert listed[made["id"]]["revoked"] is True and listed[made["id"]]["name"] == "short-lived"


def test_key_is_shown_once_and_kept_only_as_a_hash(sandbox):
    for kind, shape in (("service-key", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}"), ("token", r"[A-Za-z0-9_-]{40}")):
        made = new_api_key(sandbox, kind)
        assert re.fullmatch(shape, made["key"])
        listed = sandbox.admin.get(f"customers/{sandbox['CUSTOMER']}/api-keys")
        assert made["key"] not in json.dumps(listed)
        dump = subprocess.run(["redis-cli", "-s", sandbox["REDIS_SOCKET"], "HGETALL", f"api-key:{made['id']}"],
                              capture_output=True, text=True, check=True).stdout
        assert made["id"] in json.dumps(listed) and made["key"] not in dump
        assert made["key"][-20:] not in dump and made["key"] not in sandbox.log_text()


@pytest.mark.parametrize("body", [{}, {"kind": "other"}, {"kind": 1}, {"kind": "token", "zones": []},
                                  {"kind": "token", "zones": "all"}, {"kind": "token", "zones": [1]},
                                  {"kind": "token", "rights": []}, {"kind": "token", "rights": ["all"]},
                                  {"kind": "token", "name": "n" * 101}, {"kind": "token", "name": 1}])
def test_malformed_key_request_is_refused(sandbox, body):
    with pytest.raises(AdminError) as refused:
        sandbox.admin.post(f"customers/{sandbox['CUSTOMER']}/api-keys", body)
    assert refused.value.status == 400


def test_key_cannot_be_limited_to_a_strangers_zone(sandbox):
    for zone in (sandbox["ZONE_2"], sandbox["ZONE_2_ID"], "nothing.test"):
        with pytest.raises(AdminError) as refused:
            new_api_key(sandbox, zones=[zone])
        assert refused.value.status == 404


def test_key_limited_to_a_zone_sees_and_does_nothing_else(sandbox, api):
    limited = api_with(sandbox, new_api_key(sandbox, zones=[sandbox["ZONE"]]))
    elsewhere = api.create([sandbox["ZONE_B"]]).result["id"]
    across = api.create([sandbox["ZONE"], sandbox["ZONE_B"]]).result["id"]
    own = limited.create([sandbox.name()]).result["id"]
    limited.create([sandbox.name(), sandbox["ZONE_B"]]).expect_error(400, 1010, sandbox["ZONE_B"])
    limited.get(elsewhere).expect_error(404, 1101)
    limited.revoke(elsewhere).expect_error(404, 1101)
    limited.list(sandbox["ZONE_B_ID"]).expect_error(403, 1016)
    assert limited.get(across).status == 200
    limited.revoke(across).expect_error(403, 1016, "User is not authorized to perform this action")
    assert limited.revoke(own).status == 200
    assert [zone["name"] for zone in limited.call("GET", "/zones").result] == [sandbox["ZONE"]]
    limited.call("GET", f"/zones/{sandbox['ZONE_B_ID']}").expect_error(404, 7003)


def test_key_has_only_the_rights_it_was_given(sandbox, api):
    reader = api_with(sandbox, new_api_key(sandbox, rights=["certificates:read"]))
    identifier = api.create([sandbox.name()]).result["id"]
    assert reader.get(identifier).status == 200
    reader.create([sandbox.name()]).expect_error(403, 1016)
    reader.revoke(identifier).expect_error(403, 1016)
    reader.call("GET", "/zones").expect_error(403, 1016)
    settings = api_with(sandbox, new_api_key(sandbox, rights=["zones:edit"]))
    assert settings.call("PATCH", f"/zones/{sandbox['ZONE_ID']}/settings/ssl", {"value": "full"}).status == 200
    settings.get(identifier).expect_error(403, 1016)
    # A service key lies in plain files of old clients: it cannot lower a zone's protection.
    api.call("PATCH", f"/zones/{sandbox['ZONE_ID']}/settings/ssl", {"value": "off"}).expect_error(403, 1016)


def test_customers_never_see_each_other(sandbox, api, rival):
    mine = api.create([sandbox.name()]).result["id"]
    rival.get(mine).expect_error(404, 1101, TEXT_1101)
    rival.revoke(mine).expect_error(404, 1101, TEXT_1101)
    assert rival.get(mine).errors == rival.get("12345").errors, "not yours looks like absent"
    rival.list(sandbox["ZONE_ID"]).expect_error(403, 1016)
    assert rival.list(sandbox["ZONE_ID"]).errors == rival.list("0" * 32).errors
    rival.call("GET", f"/zones/{sandbox['ZONE_ID']}").expect_error(404, 7003)
    rival.create([sandbox.name()]).expect_error(400, 1010, TEXT_1010)
    before = len(sandbox.certificates(sandbox["ZONE_2"]))
    api.create([sandbox["ZONE"], sandbox["ZONE_2"]]).expect_error(400, 1010, sandbox["ZONE_2"])
    assert len(sandbox.certificates(sandbox["ZONE_2"])) == before
    assert api.get(mine).result.get("revoked_at") is None


def test_admin_command_line_makes_lists_and_ends_keys(sandbox):
    made = json.loads(sandbox.admin_command("key", "add", sandbox["CUSTOMER"], "--kind", "token", "--name", "cli",
                                            "--zones", sandbox["ZONE"], "--rights",
                                            "certificates:read,zones:read", "--json").stdout)
    api = api_with(sandbox, made)
    assert [zone["id"] for zone in api.call("GET", "/zones").result] == [sandbox["ZONE_ID"]]
    assert made["id"] in sandbox.admin_command("key", "list", sandbox["CUSTOMER"]).stdout
    sandbox.admin_command("key", "delete", made["id"], "--customer", sandbox["CUSTOMER"])
    api.call("GET", "/zones").expect_error(400, 10000)
    assert sandbox.admin_command("key", "delete", "nothing", "--customer", sandbox["CUSTOMER"],
                                 check=False).returncode == 1


# --- what is refused: every field missing, of a wrong type, at its bounds, hostile ---


def without(field):
    return lambda body: body.pop(field)


def with_value(field, value):
    return lambda body: body.__setitem__(field, value)


BAD_BODIES = [
    ("no-type", without("request_type"), 1002), ("no-csr", without("csr"), 1007),
    ("no-hostnames", without("hostnames"), 1010),
    ("null-type", with_value("request_type", None), 1002), ("null-csr", with_value("csr", None), 1007),
    ("null-hostnames", with_value("hostnames", None), 1010),
    *[(f"type-{value!r}"[:40], with_value("request_type", value), code) for value, code in
      [("", 1002), ("origin", 1002), ("origin-dsa", 1002), ("origin-rsa ", 1002), ("origin-rsa\x00", 1004),
       (1, 1004), (True, 1004), (["origin-rsa"], 1004), ({}, 1004), ("x" * 10000, 1002)]],
    *[(f"validity-{value!r}"[:40], with_value("requested_validity", value), code) for value, code in
      [(1, 1009), (-7, 1009), (6, 1009), (8, 1009), (5476, 1009), (7.5, 1009), (2 ** 62, 1009), (1e300, 1009),
       ("", 1009), ("seven", 1009), ("7d", 1009), ("-7", 1009), (" 7", 1009), ("0x7", 1009), ("7.0.0", 1009),
       ("1e1", 1009), ("9" * 400, 1009), (True, 1004), ([7], 1004), ({}, 1004)]],
    *[(f"csr-{value!r}"[:40], with_value("csr", value), code) for value, code in
      [("", 1007), (" ", 1007), ("csr", 1007), (1, 1004), (True, 1004), ([], 1004), ({}, 1004),
       (base64.b64encode(b"\x30" * 300).decode(), 1007), ("-----BEGIN CERTIFICATE REQUEST-----", 1011),
       ("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n", 1011),
       ("-----BEGIN CERTIFICATE REQUEST-----\n!!!!\n-----END CERTIFICATE REQUEST-----\n", 1011),
       ("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", 1011),
       ("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", 1011),
       ("-----BEGIN CERTIFICATE REQUEST-----\n" + "MAAA" * 20000 + "\n-----END CERTIFICATE REQUEST-----\n", 1011)]],
    *[(f"hostnames-{value!r}"[:40], with_value("hostnames", value), code) for value, code in
      [([], 1010), ("shop.test", 1004), (1, 1004), ({}, 1004), ([1], 1004), ([None], 1004), ([["shop.test"]], 1004),
       (True, 1004)]],
]


@pytest.mark.parametrize("change, code", [each[1:] for each in BAD_BODIES], ids=[each[0] for each in BAD_BODIES])
def test_each_bad_field_has_its_own_error(sandbox, api, csr, change, code):
    body = {"csr": csr, "hostnames": [sandbox["ZONE"]], "request_type": "origin-ecc", "requested_validity": 7}
    change(body)
    errors = api.call("POST", "/certificates", body).expect_error(400, code)
    if code == 1009:
        assert errors[0]["message"] == TEXT_1009


HOSTILE_NAMES = [
    "", " ", ".", "..", "*", "*.", "**", "*.*", "*.*.{zone}", "a.*.{zone}", "a*.{zone}", "*a.{zone}", "**.{zone}",
    "{zone}.", ".{zone}", "a..{zone}", "-a.{zone}", "a-.{zone}", "a_b.{zone}", "a b.{zone}", "a\tb.{zone}",
    "a\nb.{zone}", "a\r\nHost: x.{zone}", "a/b.{zone}", "a@{zone}", "{zone}:443", "https://{zone}/", "%2e.{zone}",
    "a\\000.{zone}", "192.0.2.1", "[2001:db8::1]", "2001:db8::1", "3221225985", "0xC0000201", "localhost", "test",
    "*.test", "com", "*.com", "co.uk", "*.co.uk", "{label63}a.{zone}", "{long}.{zone}", "xn--.{zone}", "xn--a.{zone}",
    "ab--c.{zone}", "\u202e.{zone}", "\u0000.{zone}", "\u2024{zone}", "\ufffd.{zone}", "😀.{zone}", "a'.{zone}",
    "a\".{zone}", "$(id).{zone}", "<b>.{zone}", "{{7*7}}.{zone}", "a;b.{zone}", "1.2.3.4.in-addr.arpa", "a.onion",
    "a.local", "a.invalid", "provider.test", "xshop.test", "shop.test.example.com", "x" * 10000, "ö" * 5000,
    "a." * 200 + "{zone}",
]


@pytest.mark.parametrize("at", range(len(HOSTILE_NAMES)))
def test_hostile_hostname_is_refused_and_named(sandbox, api, csr, at):
    text = HOSTILE_NAMES[at]
    for piece, value in (("{zone}", sandbox["ZONE"]), ("{label63}", "a" * 63), ("{long}", ".".join(["a" * 60] * 5))):
        text = text.replace(piece, value)
    answer = api.create([sandbox["ZONE"], text], csr)
    assert answer.status == 400, answer.body
    assert answer.errors[0]["code"] in (1010, 1004)
    if answer.errors[0]["code"] == 1010:
        assert answer.errors[0]["message"].startswith("Failed to validate requested hostname")


@pytest.mark.parametrize("body, code", [
    (b"", 1003), (b" ", 1004), (b"{", 1004), (b"[]", 1004), (b"null", 1004), (b"1", 1004), (b'"x"', 1004),
    (b"{}", 1002), (b"{} {}", 1004), (b'{"a":1,"a":2}', 1004), (b"\xff\xfe", 1004), (b'{"csr":"\xff"}', 1004),
    (b"{" + b'"a":{' * 100 + b"}" * 101, 1004), (b"[" * 100000, 1004), (b'{"csr":"\\u0000"}', 1004),
    (b"csr=x&hostnames=y", 1004), (b"\xef\xbb\xbf{}", 1004), (b'{"requested_validity":' + b"9" * 5000 + b"}", 1004),
    (b"\x00" * 1000, 1004), (b"{'csr':1}", 1004)])
def test_body_that_is_no_json_object_is_refused(api, body, code):
    api.call("POST", "/certificates", body).expect_error(400, code)


def test_body_over_the_limit_is_refused_in_the_envelope(api):
    api.call("POST", "/certificates", b"x" * 300000).expect_error(413, 1003)


def test_content_type_does_not_matter(sandbox, api, csr):
    body = json.dumps({"csr": csr, "hostnames": [sandbox["ZONE"]], "request_type": "origin-ecc"})
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=utf-8"}):
        assert api.call("POST", "/certificates", body, {**api.headers, **headers}).status == 200
    # 4.x of the official client says JSON of the empty body of a GET.
    headers = {**api.headers, "Content-Type": "application/json"}
    assert api.call("GET", f"/certificates?zone_id={sandbox['ZONE_ID']}", headers=headers).status == 200


def test_csr_needs_a_good_key_and_a_true_signature(sandbox, api):
    der = x509.load_pem_x509_csr(make_csr().encode()).public_bytes(serialization.Encoding.DER)
    swapped = bytearray(der)
    swapped[-5] ^= 1
    for bad in (bytes(swapped), der + b"\x00", der[:-3]):
        text = base64.encodebytes(bad).decode()
        pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
        api.create([sandbox.name()], pem).expect_error(400, 1011)
    api.create([sandbox.name()], make_csr(new_key("rsa1024"))).expect_error(400, 1011, "2048")


def test_private_key_in_the_body_is_refused_and_not_written_anywhere(sandbox, api, csr):
    key = new_key()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                            serialization.NoEncryption()).decode()
    mark = pem.splitlines()[1]
    old = pem.replace("PRIVATE KEY", "EC PRIVATE KEY")
    hidden = json.dumps({"csr": csr + pem}).replace("PRIVATE KEY", "PRIVATE\\u0020KEY")
    for body in ({"csr": pem}, {"csr": csr + old}, {"csr": csr, "key": pem}, {"csr": csr, "a": [{"b": [pem]}]},
                 {"csr": csr, pem: 1}, pem, hidden):
        errors = api.call("POST", "/certificates", body).expect_error(400, 1011, "private key")
        assert mark not in json.dumps(errors)
    assert mark not in sandbox.log_text()
    keys = subprocess.run(["grep", "-rlF", mark, str(sandbox.directory)], capture_output=True, text=True).stdout
    assert keys == "", keys


def test_names_of_a_zone_that_left_are_refused_and_kept_for_admins(sandbox, api):
    zone = sandbox.new_zone()
    first = api.create([f"a.{zone}"])
    assert first.status == 200
    sandbox.dns("gray", f"gray.{zone}")
    errors = api.create([f"a.{zone}", f"gray.{zone}"]).expect_error(400, 1010, f"gray.{zone}")
    assert "203.0.113" in errors[0]["message"] or "edge" in errors[0]["message"].lower()
    refused = sandbox.listing(f"orders?zone={zone}&status=refused")
    assert len(refused) == 1
    shown = sandbox.admin.get(f"orders/{refused[0]['id']}")
    assert shown["error"]["code"] == 1010 and shown["evidence"]
    sandbox.admin.post(f"zones/{zone}/pause")
    api.create([f"a.{zone}"]).expect_error(503, 1202, f"stopped for the zone {zone}")
    sandbox.admin.post(f"zones/{zone}/resume")
    sandbox.admin.delete(f"zones/{zone}")
    api.create([f"a.{zone}"]).expect_error(400, 1010, TEXT_1010)
    assert api.get(first.result["id"]).status == 200


def test_undelegated_zone_gets_no_certificate(sandbox, api):
    zone = sandbox.new_zone(is_delegated=False)
    api.create([zone]).expect_error(400, 1010, zone)
    assert sandbox.certificates(zone) == []


# --- one certificate ---


def test_revoked_certificate_says_when_and_can_be_revoked_once(sandbox, api):
    created = api.create([sandbox.name()]).result
    answer = api.call("DELETE", f"/certificates/{created['id']}", {})
    assert list(answer.result) == ["id", "revoked_at"] and answer.result["id"] == created["id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.result["revoked_at"])
    again = api.revoke(created["id"])
    assert again.expect_error(400, 1014)[0]["message"] == "Certificate already revoked"
    found = api.get(created["id"]).result
    assert found == {**created, "revoked_at": answer.result["revoked_at"]}
    assert sandbox.admin.get(f"certificates/{created['id']}")["status"] == "revoked"
    assert any(int(record["serial"], 16) == int(created["id"]) for record in sandbox.ledger("revoked"))


REASONS = {"keyCompromise": 1, "affiliationChanged": 3, "superseded": 4, "cessationOfOperation": 5, "privilegeWithdrawn": 9}


@pytest.mark.parametrize("reason", REASONS)
def test_reason_of_a_revocation_comes_by_body_or_query_and_reaches_ledger_and_views(sandbox, api, reason):
    number = REASONS[reason]
    for query, body in (("", {"reason": reason}), (f"?reason={reason}", None), ("", {"reason": str(number)}),
                        (f"?reason={number}", {"reason": number}), (f"?reason={reason}", {})):
        made = api.create([sandbox.name()]).result
        answer = api.call("DELETE", f"/certificates/{made['id']}{query}", body)
        assert answer.result["reason"] == reason
        assert api.get(made["id"]).result["revocation_reason"] == reason
        assert sandbox.admin.get(f"certificates/{made['id']}")["reason"] == reason
        record = next(each for each in sandbox.ledger("revoked") if int(each["serial"], 16) == int(made["id"]))
        assert record["reason"] == REASONS[reason]
        assert record["by"].endswith(f" customer:{sandbox.admin.get('customers/' + sandbox['CUSTOMER'])['id']}")


def test_who_asks_for_it_is_told_who_revoked_and_whether_the_list_has_it(sandbox, api):
    for by in ("api-key", "operator"):
        made = api.create([sandbox.name()]).result
        path = f"/certificates/{made['id']}?revocation=true"
        assert "revocation" not in api.call("GET", path).result
        if by == "operator":
            sandbox.admin.post(f"certificates/{made['id']}/revoke", {"reason": "superseded"})
        else:
            api.revoke(made["id"], {"reason": "superseded"})
        told = api.call("GET", path).result["revocation"]
        assert told["reason"] == "superseded" and told["revoked_by"].split(":")[0] == by and "admin" not in str(told), told
        assert wait_until(lambda: api.call("GET", path).result["revocation"]["crl"]["listed"], 30)
        assert "revocation" not in api.get(made["id"]).result
        assert api.call("GET", path + "&format=pem").status == 200


def test_reason_that_is_none_revokes_nothing(sandbox, api):
    made = api.create([sandbox.name()]).result
    for body in ({"reason": "KeyCompromise"}, {"reason": "certificateHold"}, {"reason": 6}, {"reason": None}, {"reason": [1]},
                 {"reason": 4294967297}, {"reason": -1}):
        assert "keyCompromise" in api.revoke(made["id"], body).expect_error(400, 1004)[0]["message"]
    for query, body in (("?reason=", None), ("?reason=2", None), ("?reason=01", None), ("?reason=4%20", None)):
        api.call("DELETE", f"/certificates/{made['id']}{query}", body).expect_error(400, 1004)
    for body in ({"reasn": "keyCompromise"}, {"reason": 4, "Reason": 1}, {"revocation_reason": 1}, [], "keyCompromise", 1):
        api.revoke(made["id"], body).expect_error(400, 1004)
    for query, body in (("?reason=1", {"reason": 4}), ("?reason=superseded", {"reason": "unspecified"})):
        told = api.call("DELETE", f"/certificates/{made['id']}{query}", body).expect_error(400, 1004)[0]["message"]
        assert "in the body" in told and "in the query" in told
    for query in ("?reasn=keyCompromise", "?reason=1&reason=4", "?Reason=1"):
        api.call("DELETE", f"/certificates/{made['id']}{query}").expect_error(400, 1000)
    assert "revoked_at" not in api.get(made["id"]).result
    assert api.revoke(made["id"], {"reason": 4}).result["reason"] == "superseded"


def test_key_compromise_may_be_said_after_another_reason_and_blocks_the_key_for_its_customer(sandbox, api):
    csr = make_csr()
    made = api.create([sandbox.name()], csr=csr).result
    assert api.revoke(made["id"], {"reason": "superseded"}).status == 200
    api.revoke(made["id"], {"reason": "affiliationChanged"}).expect_error(400, 1014)
    assert api.revoke(made["id"], {"reason": "keyCompromise"}).result["reason"] == "keyCompromise"
    api.create([sandbox.name()], csr=csr).expect_error(400, 1011, "compromised")
    rest(sandbox, 2).create([sandbox.name(sandbox["ZONE_2"])], csr=csr).result  # no proof: nobody else is harmed
    api.revoke(made["id"], {"reason": "keyCompromise"}).expect_error(400, 1014)


def test_absent_certificate_is_not_found_by_status_code_and_text(sandbox, api):
    identifier = api.create([sandbox.name()]).result["id"]
    absent = [identifier[:-1], identifier + "0", "0", "1", "-1", "0x", "0xzz", "x", "9" * 49, "9" * 400, "null", "1.0",
              " ", "%20", "certificates", "'", "1;2", "1,2"]
    for text in absent:
        errors = api.get(text.replace(" ", "%20")).expect_error(404, 1101)
        assert errors[0]["message"] == TEXT_1101
        api.revoke(text.replace(" ", "%20")).expect_error(404, 1101)
    assert api.get(hex(int(identifier))).result["id"] == identifier, "hex as the oldest documentation has it"
    assert api.get(identifier, f"?zone_id={sandbox['ZONE_ID']}").status == 200


def test_operation_without_serial_says_so(api):
    for method, path in (("GET", "/certificates/"), ("DELETE", "/certificates/"), ("DELETE", "/certificates")):
        api.call(method, path).expect_error(400, 1013, "serial number needed")


def test_formats_by_accept_and_by_query_are_the_same_certificate(sandbox, api):
    created = api.create([sandbox.name()], request_type="origin-rsa").result
    leaf = leaf_of(created)
    der = leaf.public_bytes(serialization.Encoding.DER)
    issuer = x509.load_pem_x509_certificate(open(sandbox["ISSUER_RSA"], "rb").read())
    expected = {
        "pem": ("application/x-pem-file", lambda body: [x509.load_pem_x509_certificate(body)], [leaf]),
        "chain": ("application/pem-certificate-chain", lambda body: load_chain(body.decode()), [leaf, issuer]),
        "der": ("application/pkix-cert", lambda body: [x509.load_der_x509_certificate(body)], [leaf]),
        "pkcs7": ("application/x-pkcs7-certificates", pkcs7.load_pem_pkcs7_certificates, [leaf, issuer]),
        "pkcs7-der": ("application/pkcs7-mime", pkcs7.load_der_pkcs7_certificates, [leaf, issuer]),
    }
    for name, (kind, load, wanted) in expected.items():
        for answer in (api.get(created["id"], f"?format={name}"),
                       api.get(created["id"], headers={**api.headers, "Accept": f"text/html, {kind};q=0.9"})):
            assert answer.headers["Content-Type"] == kind
            assert sorted(map(der_of, load(answer.body))) == sorted(map(der_of, wanted)), name
            assert b"PRIVATE" not in answer.body
    assert api.get(created["id"], "?format=der").body == der
    assert api.get(created["id"], headers={**api.headers, "Accept": "*/*"}).result == created
    api.get(created["id"], "?format=pfx").expect_error(400, 1000, "format")
    body = {"csr": make_csr(), "hostnames": [sandbox.name()], "request_type": "origin-ecc"}
    made = api.call("POST", "/certificates?format=chain", body)
    assert len(load_chain(made.body.decode())) == 2
    api.call("POST", "/certificates?format=pfx", body).expect_error(400, 1000)


def test_keyless_client_gets_strings_only(sandbox):
    alone = rest(sandbox, headers={"X-Auth-Key": sandbox["API_KEY"]})
    result = alone.create([sandbox.name()], make_csr(new_key("p384")), "keyless-certificate").result
    assert all(isinstance(value, str) for value in result.values())
    assert sorted(result) == ["certificate", "expires_on", "id", "request_type"]
    full = rest(sandbox).create([sandbox.name()], request_type="keyless-certificate").result
    assert full["hostnames"] and full["requested_validity"] == 7


def test_certificate_of_acme_can_be_read_and_revoked_too(sandbox, api, client):
    name = sandbox.name()
    serial = str(load_chain(client.issue([name])[1])[0].serial_number)
    found = api.get(serial).result
    assert found["hostnames"] == [name] and found["requested_validity"] == 90 and found["csr"] == ""
    assert api.revoke(serial).status == 200


# --- lists ---


def test_list_needs_a_zone_of_the_caller(sandbox, api):
    for query in ("", "?zone_id=", "?zone_id=x", f"?zone_id={sandbox['ZONE']}", f"?zone_id={'G' * 32}",
                  f"?zone_id={sandbox['ZONE_ID']}0"):
        api.call("GET", f"/certificates{query}").expect_error(400, 1012, "zone id needed")
    api.list("0" * 32).expect_error(403, 1016)


def test_pages_are_complete_without_gaps_until_an_empty_one(sandbox, api):
    zone = sandbox.new_zone()
    zone_id = sandbox.admin.get(f"zones/{zone}")["id"]
    made = [api.create([f"n{i}.{zone}"]).result["id"] for i in range(7)]
    made.reverse()
    api.revoke(made[2])
    assert api.list(zone_id).json["result_info"] == {"page": 1, "per_page": 100, "count": 7, "total_count": 7,
                                                     "total_pages": 1}
    assert [each["id"] for each in api.list(zone_id).result] == made
    seen, page = [], 1
    while True:
        answer = api.list(zone_id, f"&page={page}.0&per_page=3")
        if not answer.result:
            break
        assert answer.json["result_info"] == {"page": page, "per_page": 3, "count": len(answer.result),
                                              "total_count": 7, "total_pages": 3}
        seen += [each["id"] for each in answer.result]
        page += 1
        assert page < 9
    assert seen == made and page == 4
    assert [each["id"] for each in api.list(zone_id, "&limit=2&offset=4&page=9").result] == made[4:6]
    assert api.list(zone_id).result[2]["revoked_at"]
    assert api.list(zone_id, "&page=1000000000&per_page=500").result == []
    assert api.list(zone_id, "&per_page=999999").json["result_info"]["per_page"] == 500


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page=1.5", "page=1e3", "page=99999999999999999999",
                                   "per_page=0", "per_page=-5", "per_page=ten", "limit=0", "limit=x", "offset=-1",
                                   "offset=x", "page=%00", "page=1%20", "limit=1&offset=99999999999"])
def test_bad_page_is_refused(sandbox, api, query):
    api.list(sandbox["ZONE_ID"], f"&{query}").expect_error(400, 1000, "Invalid value")


def test_certificate_of_two_zones_is_in_both_lists(sandbox, api):
    identifier = api.create([sandbox["ZONE_B"], sandbox.name()]).result["id"]
    for zone in (sandbox["ZONE_ID"], sandbox["ZONE_B_ID"]):
        assert identifier in [each["id"] for each in api.list(zone, "&per_page=5").result]


# --- zones, settings, tokens ---


def test_zone_has_the_fields_that_clients_read(sandbox, api):
    zone = api.call("GET", f"/zones/{sandbox['ZONE_ID']}").result
    assert (zone["id"], zone["name"], zone["status"], zone["paused"]) == (sandbox["ZONE_ID"], sandbox["ZONE"],
                                                                        "active", False)
    assert zone["name_servers"] == sandbox.admin.get(f"zones/{sandbox['ZONE']}")["name_servers"]
    assert zone["account"]["name"] == sandbox["CUSTOMER"] and zone["type"] == "full"
    assert all(key in zone for key in ("created_on", "modified_on", "activated_on", "owner", "plan", "meta",
                                       "permissions", "development_mode", "original_name_servers"))


def test_zones_are_found_by_name_and_status_and_paged(sandbox, api):
    found = api.call("GET", f"/zones?name={sandbox['ZONE'].upper()}").result
    assert [zone["id"] for zone in found] == [sandbox["ZONE_ID"]]
    assert api.call("GET", f"/zones?name={sandbox['ZONE_2']}").result == []
    assert api.call("GET", "/zones?name=%27%20OR").result == []
    pending = sandbox.new_zone(is_delegated=False)
    names = [zone["name"] for zone in api.call("GET", "/zones?status=pending").result]
    assert pending in names and sandbox["ZONE"] not in names
    first = api.call("GET", "/zones?per_page=1")
    assert first.json["result_info"]["count"] == 1 and first.json["result_info"]["total_count"] >= 3
    api.call("GET", "/zones?status=odd").expect_error(400, 1000)
    paused = sandbox.new_zone()
    sandbox.admin.post(f"zones/{paused}/pause")
    zone = api.call("GET", f"/zones?name={paused}").result[0]
    assert (zone["status"], zone["paused"]) == ("active", True)


@pytest.mark.parametrize("identifier", ["x", "0" * 32, "0" * 31, "G" * 32, "0" * 400],
                         ids=["short", "absent", "31-digits", "not-hex", "long"])
def test_absent_zone_is_not_found(api, identifier):
    api.call("GET", f"/zones/{identifier}").expect_error(404, 7003)
    api.call("GET", f"/zones/{identifier}/settings/ssl").expect_error(404, 7003)


def test_ssl_mode_is_flexible_until_it_is_set(sandbox):
    api = rest(sandbox, headers=bearer(sandbox["API_TOKEN"]))
    zone = sandbox.admin.get(f"zones/{sandbox.new_zone(is_delegated=False)}")["id"]
    path = f"/zones/{zone}/settings/ssl"
    assert api.call("GET", path).result == {"id": "ssl", "value": "flexible", "editable": True, "modified_on": None}
    for mode in ("off", "full", "strict", "flexible"):
        changed = api.call("PATCH", path, {"value": mode}).result
        assert changed["value"] == mode and changed["modified_on"]
        assert api.call("GET", path).result == changed
    for body in ({}, {"value": None}, {"value": "Strict"}, {"value": 1}, {"value": ["full"]}, {"value": ""},
                 {"value": "strict\n"}):
        api.call("PATCH", path, body).expect_error(400, 1007)
    api.call("PATCH", path, b"").expect_error(400, 1003)
    assert api.call("GET", path).result["value"] == "flexible"


def test_token_verifies_itself(sandbox):
    api = rest(sandbox)
    answer = api.call("GET", "/user/tokens/verify", headers=bearer(sandbox["API_TOKEN"]))
    assert answer.result["status"] == "active" and answer.result["id"]
    assert answer.json["messages"][0]["code"] == 10000
    api.call("GET", "/user/tokens/verify", headers=bearer("A" * 40)).expect_error(401, 1000, "Invalid API Token")
    api.call("GET", "/user/tokens/verify", headers={}).expect_error(401, 1001)
    api.call("GET", "/user/tokens/verify").expect_error(401, 1000)


def test_unknown_paths_and_methods_answer_in_the_envelope(api):
    for path in ("/", "/certificates/1/2", "/user", "/zones/", "/certificatesx", "/accounts"):
        api.call("GET", path).expect_error(404, 7000)
    for method, path in (("PUT", "/certificates"), ("PATCH", "/certificates/1"), ("POST", "/certificates/1"),
                         ("POST", "/zones"), ("DELETE", "/zones/1"), ("POST", "/user/tokens/verify")):
        answer = api.call(method, path)
        answer.expect_error(405, 7001)
        assert answer.headers["Allow"]


# --- many at once, retries, cut connections ---


def test_two_hundred_parallel_creates_are_two_hundred_certificates(sandbox, api, quick):
    count = 50 if quick else 200
    zone = sandbox.new_zone()
    requests = [make_csr() for _ in range(count)]
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda at: api.create([f"p{at}.{zone}"], requests[at]), range(count)))
    assert [answer.status for answer in answers] == [200] * count
    ids = {answer.result["id"] for answer in answers}
    assert len(ids) == count == len(sandbox.certificates(zone))
    for at, answer in enumerate(answers):
        assert answer.result["hostnames"] == [f"p{at}.{zone}"] and answer.result["csr"] == requests[at]


def test_same_create_sent_again_or_at_once_makes_one_certificate(sandbox, api):
    zone, csr = sandbox.new_zone(), make_csr()
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: api.create([zone], csr), range(32)))
    assert [answer.status for answer in answers] == [200] * 32, [answer.body for answer in answers]
    assert len({answer.result["id"] for answer in answers}) == 1
    assert api.create([zone], csr).result == answers[0].result
    assert len(sandbox.certificates(zone)) == 1
    others = [api.create([zone], csr, validity=30), api.create([zone], csr, "origin-rsa"),
              api.create([zone, f"a.{zone}"], csr), api.create([zone]),
              rest(sandbox, headers=bearer(sandbox["API_TOKEN"])).create([zone], csr)]
    assert len({answer.result["id"] for answer in others + answers[:1]}) == 6


def test_same_create_after_revocation_makes_a_new_certificate(sandbox, api, csr):
    name = sandbox.name()
    first = api.create([name], csr).result["id"]
    api.revoke(first)
    second = api.create([name], csr).result
    assert second["id"] != first and "revoked_at" not in second


def test_cut_connections_leave_one_certificate_each_and_nothing_else(sandbox, api):
    zone = sandbox.new_zone()
    bodies = [json.dumps({"csr": make_csr(), "hostnames": [f"c{at}.{zone}"], "request_type": "origin-ecc",
                          "requested_validity": 7}) for at in range(12)]
    for body in bodies:
        for keep in (len(body) // 2, len(body)):
            connection = api.connect()
            connection.putrequest("POST", api.base.path + "/certificates")
            for name, value in {**api.headers, "Content-Length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.send(body[:keep].encode())
            connection.sock.close()
    answers = [api.call("POST", "/certificates", body) for body in bodies]
    assert [answer.status for answer in answers] == [200] * 12
    assert len(sandbox.certificates(zone)) == 12
    assert all(order["status"] == "valid" for order in sandbox.listing(f"orders?zone={zone}"))


def test_orders_of_the_api_are_shown_to_admins_with_their_origin_and_evidence(sandbox, api):
    zone = sandbox.new_zone()
    api.create([zone]).result
    order = sandbox.listing(f"orders?zone={zone}")[0]
    shown = sandbox.admin.get(f"orders/{order['id']}")
    assert (shown["origin"], shown["status"]) == ("rest", "valid") and shown["evidence"]


def test_openapi_document_describes_every_route(api):
    """That the document is valid is proven in test_client_cloudflare.py."""
    document = api.call("GET", "/openapi.json", headers={}).json
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item
                 if method in ("get", "post", "delete", "patch", "put")}
    assert described == {("POST", "/certificates"), ("GET", "/certificates"), ("GET", "/certificates/{certificate_id}"),
                         ("DELETE", "/certificates/{certificate_id}"), ("GET", "/zones"), ("GET", "/zones/{zone_id}"),
                         ("GET", "/zones/{zone_id}/settings/ssl"), ("PATCH", "/zones/{zone_id}/settings/ssl"),
                         ("GET", "/user/tokens/verify")}


def test_nothing_above_was_answered_with_a_server_error(sandbox, log_before):
    lines = [line for line in sandbox.log_text()[log_before:].splitlines() if "REST" in line and "status=5" in line
             and "Issuance is stopped" not in line]  # 503 by an operator's word
    assert lines == []


def test_verified_tls_is_needed(sandbox):
    client = RestClient(sandbox["API_URL"], sandbox["CA_BUNDLE"], {})
    client.context = ssl.create_default_context()
    with pytest.raises(ssl.SSLError):
        client.call("GET", "/zones")


def test_limits_are_told_by_code_and_time_and_a_retry_takes_none(tmp_path_factory):
    from conftest import _started
    sandbox = _started(tmp_path_factory, "limits", "--limits", "production", "--set", "limits.orders_per_customer=5",
                       "--set", "limits.requests_per_key=40", "--set", "limits.failed_check_pause_seconds=5")
    try:
        api, csr, name = rest(sandbox), make_csr(), sandbox["ZONE"]
        assert wait_until(lambda: api.create([name], csr).status == 200, 20, pause=5), "DNS is not served everywhere yet"
        assert len({api.create([name], csr).result["id"] for _ in range(10)}) == 1
        answers = [api.create([sandbox.name()]) for _ in range(5)]
        assert [answer.status for answer in answers].count(200) <= 4
        answers[-1].expect_error(429, 971, "orders of one customer")
        assert int(answers[-1].headers["Retry-After"]) >= 1
        for _ in range(40):
            last = api.list(sandbox["ZONE_ID"])
        last.expect_error(429, 971, "requests of one API key")
        assert rest(sandbox, customer=2).list(sandbox["ZONE_2_ID"]).status == 200
    finally:
        sandbox.down()
