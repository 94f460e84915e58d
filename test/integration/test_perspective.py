"""More than one view: real originca-perspective processes, each over a DNS world of its own, asked by the code that the
server runs (test/perspective/perspective_client.c). A farm is a view: an honest one, a lying one, as a test wants.

Nothing here may hang: every wait has a bound, and a peer that is silent, slow or talks nonsense counts as a no."""

import signal
import socket
import ssl
import struct
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdatatype
import pytest

from perspective_kit import farms, files, perspectives, places  # noqa: F401: fixtures
from perspective_kit import (GOOD, WAIT, Client, Peer, delegate_elsewhere, finding, frame, good_reply, gray, read_frame,
                             replies, resolver_farm, texts, views)
from under_test import free_port_base


# Agreement and disagreement


def test_all_views_agree_and_the_evidence_names_each(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there)
    with Client(files, here, [remote.entry]) as client:
        answer = client.check()
        assert answer["verdict"] == "ok"
        assert views(answer) == {"local": ("ok", "proxied"), remote.entry: ("ok", "proxied")}
        assert all(each["ms"] >= 0 for each in answer["evidence"]["perspectives"])
    assert there.world.queries > 0, "the perspective has asked DNS itself"


def test_one_remote_that_sees_another_delegation_is_a_failed_quorum(files, places, perspectives):
    here, there, *_ = places
    delegate_elsewhere(there.world)
    remote = perspectives(there)
    with Client(files, here, [remote.entry]) as client:
        answer = client.check()
    verdict, reason, text = finding(answer)
    assert (answer["verdict"], verdict, reason) == ("failed", "failed", "quorum")
    assert remote.entry in text and "delegated-elsewhere" in text and "ns1.foreign.test" in text
    assert answer["evidence"]["zones"][0]["reason"] == "quorum"
    assert answer["evidence"]["verdict"] == "failed"
    assert views(answer)[remote.entry] == ("refused", "delegated-elsewhere")


def test_a_delegation_that_fits_other_customers_too_is_none_for_any_view(files, places, perspectives):
    """From here all assigned name servers are seen, from elsewhere the one that somebody else was told as well."""
    here, there, *_ = places
    there.world.tld.remove("shop.test.", "NS").add("shop.test. NS ns1.provider.test.")
    remote = perspectives(there)
    _, resolver = resolver_farm(places[2], {**GOOD, ("shop.test", "NS"): [("NS", "ns1.provider.test.")]})
    with Client(files, here, [remote.entry, resolver]) as client:
        answer = client.check(rivals=["ns1.provider.test"])
        assert views(answer)[remote.entry] == views(answer)[resolver] == ("refused", "ambiguous")
        assert finding(answer)[:2] == ("failed", "quorum")
        assert client.check()["verdict"] == "ok"


@pytest.mark.parametrize("liars, disagreements, expected",
                         [(0, None, "ok"), (1, None, "ok"), (2, None, "failed"), (3, None, "failed"),
                          (1, 0, "failed"), (2, 2, "ok"), (3, 2, "failed")])
def test_quorum_of_three(files, places, perspectives, liars, disagreements, expected):
    """One of three may see something else by the rule; the setting changes the number."""
    here, *there = places
    for farm in there[:liars]:
        gray(farm.world)
    remotes = [perspectives(farm) for farm in there]
    more = {} if disagreements is None else {"perspective_disagreements": disagreements}
    with Client(files, here, [each.entry for each in remotes], **more) as client:
        answer = client.check()
    assert answer["verdict"] == expected
    seen = views(answer)
    assert [seen[each.entry] for each in remotes] == [("refused", "gray")] * liars + [("ok", "proxied")] * (3 - liars)
    about = [each.get("disagrees_about") for each in answer["evidence"]["perspectives"][1:]]
    assert about == [["www.shop.test"]] * liars + [None] * (3 - liars)


@pytest.mark.parametrize("liars, expected", [(2, "ok"), (3, "failed")])
def test_two_of_six_may_disagree(files, places, perspectives, liars, expected):
    here, honest, lying, _ = places
    gray(lying.world)
    remotes = [perspectives(lying if i < liars else honest) for i in range(6)]
    with Client(files, here, [each.entry for each in remotes]) as client:
        assert client.check()["verdict"] == expected


def test_the_primary_itself_must_agree(files, places, perspectives):
    """Others cannot outvote what is seen here; nobody waits for them, and the reason stays the primary's."""
    here, *there = places
    gray(here.world)
    remotes = [perspectives(farm) for farm in there]
    with Client(files, here, [each.entry for each in remotes]) as client:
        answer = client.check()
    assert finding(answer)[:2] == ("refused", "gray")
    assert views(answer)["local"] == ("refused", "gray")


def test_names_are_counted_one_by_one(files, places, perspectives):
    """Two perspectives that each miss another name: no name has more than one against it."""
    here, first, second, third = places
    for farm in places:
        farm.world.shop.add("api.shop.test. A 203.0.113.20")
    gray(first.world)
    second.world.shop.remove("api.shop.test.")
    with Client(files, here, [perspectives(farm).entry for farm in (first, second, third)]) as client:
        answer = client.check("www.shop.test", "api.shop.test")
        assert answer["verdict"] == "ok"
        third.world.shop.remove("api.shop.test.")
        answer = client.check("www.shop.test", "api.shop.test")
        assert answer["verdict"] == "failed"
        assert answer["names"] == [["ok", "proxied"], ["failed", "quorum"]]


def test_dns_01_is_asked_of_every_view(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there)
    here.world.shop.add('_acme-challenge.www.shop.test. TXT "token"')
    with Client(files, here, [remote.entry]) as client:
        answer = client.check(txt="token")
        assert views(answer) == {"local": ("ok", "proven"), remote.entry: ("refused", "no-txt")}
        assert answer["verdict"] == "failed"
        there.world.shop.add('_acme-challenge.www.shop.test. TXT "token"')
        assert client.check(txt="token")["verdict"] == "ok"


def test_local_alone_is_the_plain_check(files, places):
    with Client(files, places[0], []) as client:
        answer = client.check()
        assert answer["verdict"] == "ok" and "perspectives" not in answer["evidence"]
        gray(places[0].world)
        assert client.check()["verdict"] == "refused"


def test_many_checks_at_once_get_their_own_answers(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there, "--query-timeout-ms", 5000)  # the places are slow when all come at once
    there.world.shop.add("odd.shop.test. A 198.51.100.7")
    here.world.shop.add("odd.shop.test. A 203.0.113.9")
    with Client(files, here, [remote.entry], perspective_timeout_ms=8000, dns_query_timeout_ms=5000,
                dns_deadline_ms=8000) as client:
        for i in range(40):
            client.send("odd.shop.test" if i % 2 else "www.shop.test", tag=str(i))
        verdicts = {answer["tag"]: answer["verdict"] for answer in (client.take() for _ in range(40))}
    assert verdicts == {str(i): "failed" if i % 2 else "ok" for i in range(40)}


def test_a_perspective_has_addresses_of_its_own_that_it_does_not_ask(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there, "--deny-addresses", "127.66.0.12/32")
    with Client(files, here, [remote.entry]) as client:
        answer = client.check()
    assert views(answer)["local"] == ("ok", "proxied") and views(answer)[remote.entry] == ("failed", "no-address")
    assert there.world.ns2.asked == [] and here.world.ns2.asked != []


def test_over_a_unix_socket_too(files, places, perspectives, tmp_path):
    here, there, *_ = places
    remote = perspectives(there, address=f"unix:{tmp_path}/p.sock")
    with Client(files, here, [remote.entry]) as client:
        assert views(client.check())[remote.entry] == ("ok", "proxied")


# Resolvers


@pytest.mark.parametrize("change, expected", [
    ({}, ("ok", "proxied")),
    ({("www.shop.test", "A"): [("CNAME", "edge.provider.test."), ("A", "203.0.113.9")]}, ("ok", "proxied")),
    ({("www.shop.test", "A"): [("A", "203.0.113.10", "198.51.100.1")]}, ("refused", "gray")),
    ({("www.shop.test", "AAAA"): [("AAAA", "2001:db8::1")]}, ("refused", "gray")),
    ({("www.shop.test", "AAAA"): [("AAAA", "::ffff:203.0.113.5")]}, ("ok", "proxied")),
    ({("www.shop.test", "A"): []}, ("refused", "no-address")),
    ({("www.shop.test", "A"): None, ("www.shop.test", "AAAA"): None}, ("refused", "does-not-exist")),
    ({("www.shop.test", "A"): 2}, ("failed", "servfail")),
    ({("www.shop.test", "A"): 5}, ("failed", "lookup-failed")),
    ({("shop.test", "NS"): [("NS", "ns1.foreign.test.")]}, ("refused", "delegated-elsewhere")),
    ({("shop.test", "NS"): [("NS", "ns1.provider.test.", "ns1.foreign.test.")]}, ("refused", "partly-delegated")),
    ({("shop.test", "NS"): []}, ("refused", "not-delegated")),
    ({("shop.test", "NS"): None}, ("refused", "does-not-exist")),
])
def test_a_resolver_is_a_view(files, places, change, expected):
    here, there, *_ = places
    server, entry = resolver_farm(there, {**GOOD, **change})
    with Client(files, here, [entry]) as client:
        answer = client.check()
    assert views(answer)[entry] == expected
    assert answer["verdict"] == ("ok" if expected[0] == "ok" else "failed")
    assert all(wants_recursion for wants_recursion, _, _ in server.flags), "RD is set"


def test_a_resolver_is_asked_for_txt_and_wildcards(files, places):
    here, there, *_ = places
    here.world.shop.add('_acme-challenge.shop.test. TXT "token"')
    answers = {**GOOD, ("shop.test", "A"): [("A", "203.0.113.10")], ("shop.test", "AAAA"): [],
               ("_acme-challenge.shop.test", "TXT"): [("TXT", '"other"')]}
    server, entry = resolver_farm(there, answers)
    with Client(files, here, [entry]) as client:
        assert views(client.check("*.shop.test"))[entry] == ("ok", "proxied")
        assert views(client.check("*.shop.test", txt="token"))[entry] == ("refused", "wrong-txt")
        answers["_acme-challenge.shop.test", "TXT"] = [("TXT", '"other"', '"to" "ken"')]
        assert client.check("*.shop.test", txt="token")["verdict"] == "ok"


class Wildcard(dict):
    """Answers for any name that has none of its own."""

    def __init__(self, answers, everything_else):
        super().__init__(answers)
        self.everything_else = everything_else

    def get(self, key, default=None):
        return super().get(key, self.everything_else if key[0].endswith(".shop.test") else default)


def test_a_wildcard_that_is_an_alias_to_nothing_is_a_wildcard(files, places):
    """As in the check: the base is asked for only where DNS has no wildcard."""
    here, there, *_ = places
    base = {**GOOD, ("shop.test", "A"): [("A", "203.0.113.10")], ("shop.test", "AAAA"): []}
    server, entry = resolver_farm(there, Wildcard(base, [("CNAME", "gone.elsewhere.test.")]))
    with Client(files, here, [entry]) as client:
        answer = client.check("*.shop.test")
    assert views(answer) == {"local": ("ok", "proxied"), entry: ("refused", "no-address")}


@pytest.mark.parametrize("length, expected", [(10, ("refused", "gray")), (40, ("refused", "cname-chain"))])
def test_what_lies_behind_too_many_aliases_is_not_absent(files, places, length, expected):
    """One family leads through them to an address that is not the edge's, the other is fine."""
    here, there, *_ = places
    chain = [("CNAME", f"a{i}.shop.test.") for i in range(length)]
    server, entry = resolver_farm(there, {**GOOD, ("www.shop.test", "A"): [*chain, ("A", "198.51.100.1")],
                                          ("www.shop.test", "AAAA"): [("AAAA", "2001:db8:ed9e::1")]})
    with Client(files, here, [entry]) as client:
        answer = client.check()
    assert views(answer)[entry] == expected


def test_strangers_answers_are_not_the_resolvers(files, places):
    """Wrong ids, questions and letter case do not count; the query goes to TCP and gets the truth."""
    here, there, *_ = places
    server, entry = resolver_farm(there, GOOD)
    honest = server.hooks[0]

    def forge(query, wire, transport, _):
        true = honest(query, wire, transport, _)[0]
        if transport == "tcp":
            return [true]
        forged = dns.message.from_wire(true)
        for rrset in forged.answer:
            if rrset.rdtype == dns.rdatatype.A:
                rrset.clear()
                rrset.add(dns.rdata.from_text("IN", "A", "198.51.100.66"), 60)
        lie = forged.to_wire()
        other_id = struct.pack(">H", struct.unpack(">H", wire[:2])[0] ^ 1) + lie[2:]
        other_case = lie[:13] + lie[13:16].swapcase() + lie[16:]
        other_type = lie[:2] + lie[2:12] + b"\1x\0\0\1\0\1"
        return [other_id, other_case, other_type]

    server.hooks = [forge]
    with Client(files, here, [entry]) as client:
        assert client.check()["verdict"] == "ok"
    assert {transport for _, transport, _ in server.flags} == {"udp", "tcp"}


def test_truncated_answers_are_asked_for_over_tcp(files, places):
    here, there, *_ = places
    server, entry = resolver_farm(there, GOOD)
    honest = server.hooks[0]

    def cut(query, wire, transport, _):
        whole = honest(query, wire, transport, _)
        if transport == "tcp":
            return whole
        short = dns.message.make_response(query)
        short.flags |= dns.flags.TC
        return [short.to_wire()]

    server.hooks = [cut]
    with Client(files, here, [entry]) as client:
        assert client.check()["verdict"] == "ok"


def test_a_silent_resolver_is_a_disagreement_in_time(files, places):
    here, there, *_ = places
    server, entry = resolver_farm(there, GOOD)
    server.hooks = [lambda *_: []]
    with Client(files, here, [entry]) as client:
        answer = client.check()
    assert answer["verdict"] == "failed" and views(answer)[entry] == ("failed", "timeout")


# Mutual authentication


def test_a_client_without_our_certificate_is_refused(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there)
    for identity in (files.strange_client, files.expired_client, files.server):  # the last has no client purpose
        with Client(files, here, [remote.entry], identity=identity) as client:
            answer = client.check()
            assert answer["verdict"] == "failed" and views(answer)[remote.entry] == ("failed", "no-answer")
    assert there.world.queries == 0, "it has not worked for a stranger"
    with Client(files, here, [remote.entry]) as client:
        assert client.check()["verdict"] == "ok"


def speak_at_once(files, remote, identity):
    """Sends a frame in one piece with the end of the handshake; the first bytes of the answer, b"" where there is none."""
    context = ssl.create_default_context(cafile=str(files.ca))
    if identity:
        context.load_cert_chain(*map(str, identity))
    received, unsent = ssl.MemoryBIO(), ssl.MemoryBIO()
    stream = context.wrap_bio(received, unsent, server_hostname="localhost")

    def until_it_wants_no_more(action, *arguments):
        while True:
            try:
                return action(*arguments)
            except ssl.SSLWantReadError:
                if unsent.pending:
                    raw.sendall(unsent.read())
                piece = raw.recv(65536)
                if not piece:
                    return b""
                received.write(piece)

    with socket.create_connection(("127.0.0.1", remote.port), timeout=WAIT) as raw:
        until_it_wants_no_more(stream.do_handshake)
        stream.write(frame({"version": 2, "id": 5}))
        try:
            return until_it_wants_no_more(stream.read, 4)
        except (ssl.SSLError, ConnectionError):
            return b""


@pytest.mark.parametrize("identity, reason", [
    (None, "Certificate is required"), ("strange_client", "issuer is unknown"), ("expired_client", "uses expired"),
    ("server", "intended purpose"), ("other_client", "not welcome")])
def test_a_client_is_refused_before_its_request_is_read(files, places, perspectives, identity, reason):
    """Without a certificate, with one of another CA, an expired one, one without the client's purpose, another name."""
    remote = perspectives(places[1], "--client-names", "ca.provider.test")
    assert speak_at_once(files, remote, identity and getattr(files, identity)) == b""
    remote.log.until(reason)
    assert not any(words in "".join(remote.log.seen) for words in ("event=connected", "request"))
    assert speak_at_once(files, remote, files.client) != b"", "it answers a client with a good certificate"
    remote.log.until("event=connected")
    remote.log.until("a request is not answered")


def test_only_named_clients_are_welcome(files, places, perspectives):
    here, there, *_ = places
    welcome = perspectives(there, "--client-names", "other.test", "--client-names", "ca.provider.test")
    unwelcome = perspectives(there, "--client-names", "other.test")
    with Client(files, here, [welcome.entry]) as client:
        assert client.check()["verdict"] == "ok"
    with Client(files, here, [unwelcome.entry]) as client:
        assert client.check()["verdict"] == "failed"


@pytest.mark.parametrize("which", ["strange_server", "other_name", "client", "expired_server"])
def test_a_perspective_with_a_wrong_certificate_is_not_believed(files, places, perspectives, which):
    """Of another CA, for another name, without the server's purpose, expired."""
    here, there, *_ = places
    remote = perspectives(there, identity=getattr(files, which))
    with Client(files, here, [remote.entry]) as client:
        answer = client.check()
    assert answer["verdict"] == "failed" and views(answer)[remote.entry] == ("failed", "no-answer")
    assert "certificate" in texts(answer)[remote.entry]
    assert there.world.queries == 0


def test_the_name_after_the_hash_is_what_the_certificate_must_be_for(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there, identity=files.other_name)
    with Client(files, here, [f"tls://127.0.0.1:{remote.port}#elsewhere.test"]) as client:
        assert client.check()["verdict"] == "ok"


def test_tls_1_2_is_spoken_by_neither_side(files, places, perspectives):
    peer = Peer(files, replies(lambda asked: frame(good_reply(asked))))
    peer.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with peer, Client(files, places[0], [peer.entry]) as client:
        assert client.check()["verdict"] == "failed"
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(*map(str, files.client))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", perspectives(places[1]).port), timeout=WAIT) as raw:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(raw, server_hostname="localhost")


# Peers that misbehave


def silent(stream, peer):
    peer.is_over.wait(WAIT)


def reads_and_says_nothing(stream, peer):
    while True:
        read_frame(stream)


def drips(stream, peer):
    asked = read_frame(stream)
    for byte in frame(good_reply(asked)):
        stream.sendall(bytes([byte]))
        if peer.is_over.wait(0.05):
            return


def hangs_up(stream, peer):
    read_frame(stream)


def floods(stream, peer):
    reply = frame({"version": 2, "id": 99999, "error": "busy", "text": "later"}) * 10000
    while not peer.is_over.is_set():
        stream.sendall(reply)


NASTY = {
    "floods": floods,
    "silent": silent,
    "reads-only": reads_and_says_nothing,
    "drips": drips,
    "hangs-up": hangs_up,
    "garbage": replies(lambda asked: frame(b"\x00\xff garbage")),
    "not-json": replies(lambda asked: frame(b'{"version":2,')),
    "array": replies(lambda asked: frame([])),
    "deep": replies(lambda asked: frame(b"[" * 100000)),
    "huge": replies(lambda asked: b"\xff\xff\xff\xff" + b"x" * 100),
    "empty": replies(lambda asked: b"\0\0\0\0"),
    "too-few": replies(lambda asked: frame(good_reply(asked, names=[]))),
    "too-many": replies(lambda asked: frame(good_reply(asked, names=[{"verdict": "ok", "reason": "x"}] * 2))),
    "other-id": replies(lambda asked: frame(good_reply(asked, id=asked["id"] + 1))),
    "unknown-verdict": replies(lambda asked: frame(good_reply(asked, zones=[{"verdict": "yes", "reason": "x"}]))),
    "version": replies(lambda asked: frame(good_reply(asked, version=1))),
    "busy": replies(lambda asked: frame({"version": 2, "id": asked["id"], "error": "busy", "text": "later"})),
    "zone-no-name-ok": replies(lambda asked: frame(good_reply(asked, zones=[{"verdict": "refused", "reason": "lame"}]))),
}


@pytest.mark.parametrize("kind", NASTY)
def test_a_nasty_peer_counts_as_a_disagreement_and_in_time(files, places, perspectives, kind):
    """Alone it fails the quorum; beside two honest ones it is the one that may."""
    here, there, *_ = places
    honest = [perspectives(there), perspectives(there)]
    with Peer(files, NASTY[kind]) as peer:
        with Client(files, here, [peer.entry]) as client:
            answer = client.check()
            assert finding(answer)[:2] == ("failed", "quorum")
            assert views(answer)[peer.entry][0] != "ok"
            assert peer.connections > 0
        with Client(files, here, [peer.entry, *(each.entry for each in honest)]) as client:
            for _ in range(3):
                assert client.check()["verdict"] == "ok"


def test_a_peer_that_never_finishes_the_handshake_is_bounded(files, places):
    with Peer(files, silent, speaks_tls=False) as peer, Client(files, places[0], [peer.entry]) as client:
        assert finding(client.check())[:2] == ("failed", "quorum")


def test_a_peer_that_speaks_no_tls_is_refused(files, places):
    def behave(raw, peer):
        raw.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        peer.is_over.wait(WAIT)

    with Peer(files, behave, speaks_tls=False) as peer, Client(files, places[0], [peer.entry]) as client:
        assert finding(client.check())[:2] == ("failed", "quorum")


def test_a_good_peer_of_the_test_is_believed(files, places):
    """The nasty ones fail for what they do, not for how the test speaks."""
    with Peer(files, replies(lambda asked: frame(good_reply(asked)))) as peer:
        with Client(files, places[0], [peer.entry]) as client:
            for _ in range(5):
                assert client.check()["verdict"] == "ok"
            assert peer.connections == 1, "the connection is kept"


def test_a_peer_that_answers_unasked_is_not_trusted_for_it(files, places):
    """It would be connected to again at once, for ever."""
    def behave(stream, peer):
        stream.sendall(frame(good_reply({"id": 99999, "names": []})))

    with Peer(files, behave) as peer, Client(files, places[0], [peer.entry]) as client:
        assert finding(client.check())[:2] == ("failed", "quorum")
        peer.is_over.wait(2)
        assert 1 < peer.connections < 10


def test_a_peer_that_takes_nothing_is_sent_no_more(files, places, tmp_path):
    """Requests that it leaves unread do not pile up here."""
    gone = [f"{i:03}-{'x' * 59}.{'y' * 63}.{'z' * 63}.gone.test" for i in range(200)]
    peer = Peer(files, silent, path=tmp_path / "peer")
    with peer, Client(files, places[0], [peer.entry], perspective_timeout_ms=5000) as client:
        for _ in range(120):  # of 50,000 bytes each
            client.send(*gone, zone="gone.test")
        for _ in range(120):
            assert client.take()["verdict"] == "refused"
        assert texts(client.check())[peer.entry] == "it leaves requests unread"


def test_replies_may_come_in_any_order(files, places):
    held = []

    def behave(stream, peer):
        for _ in range(3):
            held.append(read_frame(stream))
        for asked in reversed(held):
            stream.sendall(frame(good_reply(asked)))
        peer.is_over.wait(WAIT)

    with Peer(files, behave) as peer, Client(files, places[0], [peer.entry], perspective_timeout_ms=5000) as client:
        for i in range(3):
            client.send(tag=str(i))
        assert {client.take()["verdict"] for _ in range(3)} == {"ok"}


def test_a_silent_peer_is_not_awaited_twice(files, places, perspectives):
    """Once it has cost a check its time, the others suffice at once. Both waits are the program's own: no stopwatch."""
    here, there, *_ = places
    honest = [perspectives(there), perspectives(there)]
    with Peer(files, reads_and_says_nothing) as peer:
        with Client(files, here, [peer.entry, *(each.entry for each in honest)]) as client:
            first, second = client.check(), client.check()
    assert texts(first)[peer.entry] == "timeout"
    assert "not awaited" in texts(second)[peer.entry] or "silent" in texts(second)[peer.entry]
    assert first["verdict"] == second["verdict"] == "ok"


@pytest.mark.parametrize("query_timeout_ms", [200, 2000], ids=["its-queries", "its-answer"])
def test_a_silent_resolver_is_not_awaited_twice(files, places, perspectives, query_timeout_ms):
    """Whichever of the two bounds it ran into."""
    here, there, honest, _ = places
    server, entry = resolver_farm(there, GOOD)
    server.hooks = [lambda *_: []]
    others = [perspectives(honest).entry for _ in range(2)]
    with Client(files, here, [entry, *others], dns_query_timeout_ms=query_timeout_ms) as client:
        first, second = client.check(), client.check()
    assert "timeout" in texts(first)[entry] and "not awaited" in texts(second)[entry]
    assert first["verdict"] == second["verdict"] == "ok"


def test_what_was_on_its_way_when_a_connection_ended_is_asked_again(files, places):
    """Once: a perspective that dies of a request is not fed it for ever."""
    asked = []

    def behave(stream, peer):
        first = read_frame(stream)
        asked.append(first["id"])
        if peer.connections == 1 or len(asked) > 2:
            stream.sendall(frame(good_reply(first)))
            asked.append(read_frame(stream)["id"])

    with Peer(files, behave) as peer, Client(files, places[0], [peer.entry]) as client:
        assert client.check()["verdict"] == "ok"
        assert client.check()["verdict"] == "ok"
        assert asked[1] == asked[2] and peer.connections == 2
        assert client.check()["verdict"] == "ok"


def test_an_absent_perspective_fails_fast_and_is_found_when_it_comes(files, places, perspectives):
    here, there, *_ = places
    port = free_port_base(1)
    with Client(files, here, [f"tls://localhost:{port}"]) as client:
        answer = client.check()
        assert answer["verdict"] == "failed" and "refused" in texts(answer)[f"tls://localhost:{port}"]
        remote = perspectives(there, address=f"127.0.0.1:{port}")
        client.log.until("cannot be reached")
        remote.log.until("connected")
        assert client.check()["verdict"] == "ok"


def test_a_connection_that_ended_for_idleness_is_no_outage(files, places, perspectives):
    """Nobody asked anything over it: the next check must find the perspective, not a pause before connecting."""
    here, there, *_ = places
    remote = perspectives(there, "--idle-timeout-ms", 2500)
    with Client(files, here, [remote.entry]) as client:
        remote.log.until("reason=idle")
        assert "the connection to a perspective ended" in client.log.next()
        assert client.check()["verdict"] == "ok"


def test_a_restarted_perspective_is_reconnected(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there)
    with Client(files, here, [remote.entry]) as client:
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            assert client.check()["verdict"] == "ok"
            remote.stop(number)
            client.log.until("the connection to a perspective ended")
            remote.start()
            remote.log.until("connected")
            assert client.check()["verdict"] == "ok"


def test_a_check_that_is_under_way_is_answered_before_the_perspective_stops(files, places, perspectives):
    """SIGTERM while name servers keep it waiting: the answer still comes, then it ends by itself."""
    here, there, *_ = places
    is_asked, may_answer = threading.Event(), threading.Event()

    def hold(query, wire, transport, server):
        if is_asked.is_set():
            return None
        is_asked.set()
        return held(server.resolve(query).to_wire())

    def held(answer):
        while not may_answer.is_set():
            yield 0.02
        yield answer

    there.world.hook(hold, 1)
    remote = perspectives(there, "--query-timeout-ms", 5000)
    with Client(files, here, [remote.entry], perspective_timeout_ms=5000) as client:
        client.send()
        assert is_asked.wait(WAIT)
        remote.process.send_signal(signal.SIGTERM)
        remote.log.until("stopping")
        may_answer.set()
        assert client.take()["verdict"] == "ok"
        assert remote.process.wait(WAIT) == 0
    remote.log.thread.join(WAIT)
    assert not any("drain time is over" in line for line in remote.log.seen)
