"""RFC 8555 7.4: orders: names, times, profiles, the list of an account's orders, and DNS that does not answer."""

import datetime
import json
import re
import secrets
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from acme_kit import shared, issued  # noqa: F401: fixtures
from acme_kit import EXTENSIONS, MALFORMED, refused
from acme_raw import make_csr, make_key, unb64
from under_test import silent_name_servers
from verify import load_chain, verify_certificate

PAGE = 5
SANDBOX_OPTIONS = ("--workers", "4", "--set", f"acme.orders_page_size={PAGE}", "--set", "dns.dns_deadline_ms=3000")


# --- newOrder (7.4) ---

def test_a_new_order_is_ready_and_says_what_was_asked(sandbox, shared):
    base = sandbox.name()
    names = [base, f"*.{base}", sandbox.name(sandbox["ZONE_B"]), sandbox["ZONE"]]
    reply = shared.new_order(names).expect(201)
    order = reply.json
    assert order["status"] == "ready" and "certificate" not in order and "error" not in order
    assert order["identifiers"] == [{"type": "dns", "value": name} for name in names]
    assert len(set(order["authorizations"])) == len(names)
    assert not {"notBefore", "notAfter", "replaces"} & set(order), "what is not set is left out"
    assert datetime.datetime.fromisoformat(order["expires"]) > datetime.datetime.now(datetime.timezone.utc)
    read = shared.post(reply.headers["Location"]).expect(200)
    assert read.json == order and read.headers["Location"] == reply.headers["Location"]


def test_an_authorization_is_valid_with_one_valid_dns_challenge(sandbox, shared):
    base = sandbox.name()
    order = shared.new_order([base, f"*.{base}"]).expect(201).json
    for url, is_wildcard in zip(order["authorizations"], (False, True)):
        authorization = shared.post(url).expect(200).json
        assert authorization["identifier"] == {"type": "dns", "value": base}
        assert authorization["status"] == "valid" and authorization["expires"]
        assert authorization.get("wildcard") is (True if is_wildcard else None)
        challenge, = authorization["challenges"]
        assert challenge["type"] == "dns-01" and challenge["status"] == "valid" and challenge["validated"]
        assert len(unb64(challenge["token"])) >= 16
        for payload in (None, {}, {"keyAuthorization": "x"}):
            answer = shared.post(challenge["url"], payload).expect(200)
            assert answer.json == challenge
            assert f'<{url}>;rel="up"' in answer.headers.get_all("Link")


def test_a_deactivated_authorization_ends_its_order(sandbox, shared):
    name = sandbox.name()
    created = shared.new_order([name, sandbox.name()]).expect(201)
    url = created.json["authorizations"][0]
    for status in ("valid", "revoked", 7, None):
        refused(shared.post(url, {"status": status}), *MALFORMED)
    assert shared.post(url, {"status": "deactivated"}).expect(200).json["status"] == "deactivated"
    assert shared.post(url, {"status": "deactivated"}).expect(200).json["status"] == "deactivated"
    assert shared.post(url).expect(200).json["status"] == "deactivated"
    assert shared.post(created.headers["Location"]).expect(200).json["status"] == "invalid"
    refused(shared.finalize(created.json, make_csr(make_key("p256"), [name])), 403, "orderNotReady")


@pytest.mark.parametrize("index", ["2", "-1", "+0", "0x0", "99999999999999999999", "a", "1e0", "%30"])
def test_an_authorization_that_does_not_exist_is_not_found(shared, issued, index):
    for resource in ("authorization", "challenge"):
        refused(shared.post(issued[resource].rpartition("/")[0] + "/" + index), 404, "malformed")


GOOD_NAMES = {
    "upper-case": lambda zone: f"WWW.{secrets.token_hex(3)}.{zone}".upper(),
    "a-label": lambda zone: f"xn--bcher-kva.{zone}",
    "digits": lambda zone: f"123.{zone}",
    "label-of-63": lambda zone: f"{'a' * 63}.{zone}",
    "deep": lambda zone: ".".join("abcdefghijkl") + f".{zone}",
    "longest": lambda zone: ("a" * 49 + ".") * 4 + "b" * (253 - 200 - len(zone) - 1) + f".{zone}",
    "wildcard": lambda zone: f"*.{zone}",
    "wildcard-upper-case": lambda zone: f"*.Sub.{zone}",
    "hyphens-inside": lambda zone: f"a-b--c.{zone}",
}


@pytest.mark.parametrize("case", GOOD_NAMES)
def test_good_names_are_echoed_as_sent_and_certified_in_lower_case(sandbox, shared, case):
    name = GOOD_NAMES[case](sandbox["ZONE"])
    order = shared.new_order([name]).expect(201).json
    assert order["identifiers"] == [{"type": "dns", "value": name}]
    key = make_key("p256")
    done = shared.finalize(order, make_csr(key, [name])).expect(200).json
    assert done["identifiers"] == order["identifiers"]
    chain = shared.post(done["certificate"]).expect(200).text
    verify_certificate(chain, key, [name.lower()], sandbox["ISSUER_ECC"])


REJECTED, UNSUPPORTED = "rejectedIdentifier", "unsupportedIdentifier"
BAD_NAMES = [
    ("", "malformed"), (".", "malformed"), ("ZONE.", "malformed"), (".ZONE", "malformed"), ("a..ZONE", "malformed"),
    ("*", "malformed"), ("*.", "malformed"), ("*.*.ZONE", "malformed"), ("a.*.ZONE", "malformed"),
    ("*a.ZONE", "malformed"), ("a*.ZONE", "malformed"), ("**.ZONE", "malformed"), ("*ZONE", "malformed"),
    ("under_score.ZONE", "malformed"), ("-a.ZONE", "malformed"), ("a-.ZONE", "malformed"),
    ("a" * 64 + ".ZONE", "malformed"), ("a." * 122 + "ZONE", "malformed"), ("a." * 20 + "ZONE", "malformed"),
    ("bücher.ZONE", "malformed"), ("bu\u0308cher.ZONE", "malformed"), ("ａ.ZONE", "malformed"),
    ("a。ZONE", "malformed"), ("é" * 500, "malformed"), ("a" + "é" * 500, "malformed"), ("xn--.ZONE", "malformed"),
    ("xn--a.ZONE", "malformed"), ("xn--99999999.ZONE", "malformed"), ("xn--abc-.ZONE", "malformed"),
    ("xn--zca.xn--bcher-kva1.ZONE", "malformed"), ("ab--cd.ZONE", "malformed"), ("a b.ZONE", "malformed"),
    (" a.ZONE", "malformed"), ("a.ZONE\n", "malformed"), ("a\t.ZONE", "malformed"), ("a/b.ZONE", "malformed"),
    ("%61.ZONE", "malformed"), ("a\\046b.ZONE", "malformed"), ("a,b.ZONE", "malformed"), ("a;.ZONE", "malformed"),
    ("https://a.ZONE", "malformed"), ("a.ZONE:443", "malformed"), ("u@a.ZONE", "malformed"), ("a\"b.ZONE", "malformed"),
    ("192.0.2.1", "malformed"), ("*.192.0.2.1", "malformed"), ("192.0.2.1.", "malformed"), ("3221225985", "malformed"),
    ("0xc0000201", "malformed"), ("192.0.513", "malformed"), ("a.0x1", "malformed"), ("2001:db8::1", "malformed"),
    ("[2001:db8::1]", "malformed"), ("::ffff:192.0.2.1", "malformed"), ("localhost", "malformed"),
    ("shop", "malformed"), ("com", "malformed"), ("*.com", REJECTED), ("co.uk", REJECTED), ("*.co.uk", REJECTED),
    ("*.test", REJECTED), ("CO.UK", REJECTED), ("printer.local", REJECTED), ("a.localhost", REJECTED),
    ("abcdefghijklmnop.onion", REJECTED), ("1.2.0.192.in-addr.arpa", REJECTED), ("a.example", REJECTED),
    ("a.invalid", REJECTED), ("a.internal", REJECTED),
]


@pytest.mark.parametrize("name, problem", BAD_NAMES)
def test_a_bad_name_is_refused_and_the_reason_names_it(sandbox, shared, name, problem):
    value = name.replace("ZONE", sandbox["ZONE"])
    body = refused(shared.new_order([value]), 400, problem)
    sub, = body["subproblems"]
    assert sub["identifier"] == {"type": "dns", "value": value}
    assert sub["type"] == body["type"] and sub["detail"]


def test_several_bad_names_are_each_named_in_subproblems(sandbox, shared):
    good = sandbox.name()
    bad = {f"a_b.{sandbox['ZONE']}": "malformed", "*.co.uk": REJECTED, "": "malformed", "192.0.2.7": "malformed"}
    body = refused(shared.new_order([good, *bad]), 400, "malformed")
    found = {sub["identifier"]["value"]: sub["type"].rpartition(":")[2] for sub in body["subproblems"]}
    assert found == bad
    assert all(sub["detail"] for sub in body["subproblems"])


def test_names_on_no_zone_of_the_customer_are_each_named_in_subproblems(sandbox, shared):
    good, foreign = sandbox.name(), [f"www.{sandbox['ZONE_2']}", "www.nobody-has-this.test"]
    body = refused(shared.new_order([good, *foreign]), 403, REJECTED)
    assert [sub["identifier"]["value"] for sub in body["subproblems"]] == foreign


IDENTIFIERS = [
    ("missing", None, "malformed"), ("empty", [], "malformed"),
    ("object", {"type": "dns", "value": "a.ZONE"}, "malformed"),
    ("text", "a.ZONE", "malformed"), ("list-of-texts", ["a.ZONE"], "malformed"), ("list-of-numbers", [1], "malformed"),
    ("null-inside", [None], "malformed"), ("empty-object", [{}], "malformed"),
    ("value-missing", [{"type": "dns"}], "malformed"), ("type-missing", [{"value": "a.ZONE"}], "malformed"),
    ("value-number", [{"type": "dns", "value": 7}], "malformed"),
    ("value-list", [{"type": "dns", "value": ["a.ZONE"]}], "malformed"),
    ("type-number", [{"type": 1, "value": "a.ZONE"}], "malformed"),
    ("ip", [{"type": "ip", "value": "192.0.2.1"}], UNSUPPORTED),
    ("ipv6", [{"type": "ip", "value": "2001:db8::1"}], UNSUPPORTED),
    ("email", [{"type": "email", "value": "a@shop.test"}], UNSUPPORTED),
    ("type-upper-case", [{"type": "DNS", "value": "a.ZONE"}], UNSUPPORTED),
    ("type-empty", [{"type": "", "value": "a.ZONE"}], UNSUPPORTED),
    ("type-not-ascii", [{"type": "a" + "é" * 60, "value": "a.ZONE"}], UNSUPPORTED),
    ("type-with-control-characters", [{"type": "a\n\x1b[31m", "value": "a.ZONE"}], UNSUPPORTED),
    ("twice", [{"type": "dns", "value": "a.ZONE"}, {"type": "dns", "value": "a.ZONE"}], "malformed"),
    ("twice-in-another-case", [{"type": "dns", "value": "a.ZONE"}, {"type": "dns", "value": "A.ZONE"}], "malformed"),
]


@pytest.mark.parametrize("identifiers, problem", [pytest.param(*case[1:], id=case[0]) for case in IDENTIFIERS])
def test_bad_identifiers_are_refused(sandbox, shared, identifiers, problem):
    payload = {} if identifiers is None else json.loads(json.dumps({"identifiers": identifiers}).replace(
        "ZONE", sandbox["ZONE"]))
    body = refused(shared.post(shared.directory["newOrder"], payload), 400, problem)
    if problem == UNSUPPORTED:
        assert [sub["identifier"] for sub in body["subproblems"]] == payload["identifiers"]


def test_a_hundred_names_are_one_order_and_one_more_are_too_many(sandbox, shared):
    names = [f"h{number}.{sandbox.name()}" for number in range(101)]
    refused(shared.new_order(names), *MALFORMED)
    key, chain, _ = shared.issue(names[:100])
    verify_certificate(chain, key, names[:100], sandbox["ISSUER_ECC"])


def test_refused_orders_leave_nothing_for_the_account(sandbox):
    client = sandbox.client()
    for name in (f"a_b.{sandbox['ZONE']}", "www.nobody-has-this.test", "co.uk"):
        assert client.new_order([name]).status in (400, 403)
    assert client.post(client.post(client.kid).json["orders"]).expect(200).json == {"orders": []}
    client.close()


# --- times and profiles ---

def utc(seconds_from_now=0, days=0):
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return now + datetime.timedelta(days=days, seconds=seconds_from_now)


def rfc3339(when):
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def naive(when):
    return when.astimezone(datetime.timezone.utc).replace(tzinfo=None)


DAY = 86400
GOOD_TIMES = [(None, 3 * DAY), (None, 3700), (3600, 3 * DAY), (DAY - 60, None), (-3600, None), (-3600, 2 * DAY),
              (0, 400 * DAY), (None, 5475 * DAY - 30)]


@pytest.mark.parametrize("start, end", GOOD_TIMES)
def test_the_asked_validity_is_what_the_certificate_has(sandbox, shared, start, end):
    name, fields = sandbox.name(), {}
    if start is not None:
        fields["notBefore"] = rfc3339(utc(start))
    if end is not None:
        fields["notAfter"] = rfc3339(utc(end))
    reply = shared.new_order([name], **fields)
    assert reply.status == 201, reply.text
    assert {key: reply.json.get(key) for key in fields} == fields
    done = shared.finalize(reply.json, make_csr(make_key("p256"), [name])).expect(200).json
    leaf = load_chain(shared.post(done["certificate"]).expect(200).text)[0]
    if start is not None:
        assert rfc3339(leaf.not_valid_before) == fields["notBefore"]
    if end is not None:
        assert rfc3339(leaf.not_valid_after) == fields["notAfter"]
    else:
        assert leaf.not_valid_after - leaf.not_valid_before == datetime.timedelta(days=90)
    assert leaf.not_valid_after - leaf.not_valid_before <= datetime.timedelta(days=5475)


def test_times_with_an_offset_and_fractions_are_understood(sandbox, shared):
    name, end = sandbox.name(), utc(days=10)
    text = (end + datetime.timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.250+02:00")
    order = shared.new_order([name], notAfter=text).expect(201).json
    done = shared.finalize(order, make_csr(make_key("p256"), [name])).expect(200).json
    leaf = load_chain(shared.post(done["certificate"]).expect(200).text)[0]
    assert leaf.not_valid_after == naive(end)


BAD_TIMES = {
    "end-in-the-past": lambda: {"notAfter": rfc3339(utc(-DAY))},
    "end-too-soon": lambda: {"notAfter": rfc3339(utc(60))},
    "end-too-late": lambda: {"notAfter": rfc3339(utc(5476 * DAY))},
    "end-in-the-year-9999": lambda: {"notAfter": "9999-12-31T23:59:59Z"},
    "end-before-start": lambda: {"notBefore": rfc3339(utc(DAY)), "notAfter": rfc3339(utc(3600))},
    "end-is-start": lambda: {"notBefore": rfc3339(utc(DAY)), "notAfter": rfc3339(utc(DAY))},
    "start-too-early": lambda: {"notBefore": rfc3339(utc(-2 * DAY))},
    "start-in-1970": lambda: {"notBefore": "1970-01-01T00:00:00Z"},
    "end-in-1970": lambda: {"notAfter": "1970-01-01T00:00:00Z"},
    "start-before-1970": lambda: {"notBefore": "1960-01-01T00:00:00Z"},
    "start-too-late": lambda: {"notBefore": rfc3339(utc(DAY + 60))},
    "start-in-five-years": lambda: {"notBefore": rfc3339(utc(1826 * DAY))},
    "start-after-all": lambda: {"notBefore": rfc3339(utc(6000 * DAY))},
    "start-empty": lambda: {"notBefore": ""},
    "start-number": lambda: {"notBefore": int(time.time())},
    "start-date-alone": lambda: {"notBefore": utc(DAY).strftime("%Y-%m-%d")},
    "start-without-zone": lambda: {"notBefore": utc(DAY).strftime("%Y-%m-%dT%H:%M:%S")},
    "start-with-a-blank": lambda: {"notBefore": rfc3339(utc(DAY)).replace("T", " ")},
    "start-with-text-behind": lambda: {"notBefore": rfc3339(utc(DAY)) + "Z"},
    "no-such-day": lambda: {"notAfter": f"{utc(days=400).year}-02-31T00:00:00Z"},
    "no-such-month": lambda: {"notAfter": f"{utc(days=400).year}-13-01T00:00:00Z"},
    "no-such-hour": lambda: {"notAfter": f"{utc(days=400).year}-01-01T25:00:00Z"},
    "http-date": lambda: {"notAfter": "Sun, 06 Nov 2044 08:49:37 GMT"},
}


@pytest.mark.parametrize("case", BAD_TIMES)
def test_bad_times_are_refused(sandbox, shared, case):
    refused(shared.new_order([sandbox.name()], **BAD_TIMES[case]()), *MALFORMED)


@pytest.mark.parametrize("profile", [None, *EXTENSIONS])
def test_the_chosen_profile_is_what_the_certificate_has(sandbox, shared, profile):
    names = [sandbox.name()]
    fields = {} if profile is None else {"profile": profile}
    order = shared.new_order(names, **fields).expect(201).json
    assert order["profile"] == (profile or "origin")
    key = make_key("p256")
    done = shared.finalize(order, make_csr(key, names)).expect(200).json
    leaf = verify_certificate(shared.post(done["certificate"]).text, key, names, sandbox["ISSUER_ECC"])
    assert {extension.oid._name for extension in leaf.extensions} == EXTENSIONS[profile or "origin"]
    assert bool(leaf.subject.rdns) == (profile == "classic")
    usage = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert usage == ({ExtendedKeyUsageOID.SERVER_AUTH} if profile == "compact" else both)


@pytest.mark.parametrize("profile, problem", [("nothing", "invalidProfile"), ("", "invalidProfile"),
                                              ("Origin", "invalidProfile"), (7, "malformed"),
                                              pytest.param("a" + "é" * 90, "invalidProfile", id="not-ascii"),
                                              pytest.param("o" * 5000, "invalidProfile", id="long"),
                                              (["origin"], "malformed"), ({}, "malformed")])
def test_an_unknown_profile_is_refused(sandbox, shared, profile, problem):
    refused(shared.new_order([sandbox.name()], profile=profile), 400, problem)


# --- the list of orders (7.1.2.1) ---

def next_of(reply):
    links = [link for link in reply.headers.get_all("Link", []) if 'rel="next"' in link]
    assert len(links) <= 1
    return re.match(r"<([^>]+)>;", links[0]).group(1) if links else None


def pages_of(client, url):
    while url:
        reply = client.post(url).expect(200)
        yield reply.json["orders"]
        url = next_of(reply)


@pytest.mark.parametrize("count", [0, PAGE, 3 * PAGE + 2])
def test_the_orders_of_an_account_come_in_pages_newest_first(own_sandbox, count):
    client = own_sandbox.client()
    made = [client.new_order([own_sandbox.name()]).expect(201).headers["Location"] for _ in range(count)]
    pages = list(pages_of(client, client.post(client.kid).json["orders"]))
    assert [url for page in pages for url in page] == made[::-1]
    assert all(len(page) <= PAGE for page in pages)
    assert len(pages) == max(1, -(-count // PAGE))
    client.close()


def test_a_list_of_orders_stays_whole_while_new_ones_come(own_sandbox):
    client = own_sandbox.client()
    made = [client.new_order([own_sandbox.name()]).expect(201).headers["Location"] for _ in range(2 * PAGE)]
    seen = []
    for page in pages_of(client, client.post(client.kid).json["orders"]):
        seen += page
        client.new_order([own_sandbox.name()]).expect(201)
    assert seen == made[::-1]
    client.close()


def test_invalid_orders_are_not_listed(own_sandbox):
    client = own_sandbox.client()
    created = [client.new_order([own_sandbox.name()]).expect(201) for _ in range(3)]
    client.post(created[1].json["authorizations"][0], {"status": "deactivated"}).expect(200)
    listed = client.post(client.post(client.kid).json["orders"]).expect(200).json["orders"]
    assert listed == [created[2].headers["Location"], created[0].headers["Location"]]
    client.close()


@pytest.mark.parametrize("query", ["cursor=", "cursor=x", "cursor=0,x", "cursor=-1,x", "cursor=1e9,x", "x=y",
                                   "cursor=" + "9" * 400 + ",x", "cursor=9999999999999999,%00", "cursor=%ff", "cursor"])
def test_a_cursor_that_was_not_given_out_breaks_nothing(shared, issued, query):
    reply = shared.post(f"{issued['orders']}?{query}")
    assert reply.status in (200, 400), reply.text
    if reply.status == 400:
        refused(reply, *MALFORMED)


# --- Retry-After ---

def test_a_dns_failure_is_told_apart_and_says_when_to_try_again(own_sandbox):
    client, zone = own_sandbox.client(), own_sandbox.new_zone()
    names = [f"a.{zone}", f"b.{zone}"]
    with silent_name_servers(own_sandbox):
        reply = client.new_order(names)
    body = refused(reply, 400, "dns")
    assert reply.headers["Retry-After"].isdigit() and int(reply.headers["Retry-After"]) > 0
    assert {sub["identifier"]["value"]: sub["type"].rpartition(":")[2] for sub in body["subproblems"]} == dict.fromkeys(
        names, "dns")
    client.new_order(names).expect(201)
    client.close()
