"""Who can write Redis puts few certificates on revocation lists that no ledger has revoked; they are seen, and taken off by one
command. What a ledger has revoked is on the lists all the while, whichever host's."""

import re
import time
from datetime import timezone

import pytest

from admin_api import AdminError
from crl_kit import fetch, load
from rest_client import leaf_of, make_csr, rest
from test_crl import wait_listed, wait_published
from test_going_back import redis
from test_two_hosts import with_second
from under_test import stopped, wait_until

MOST = 5
SANDBOX_OPTIONS = ("--set", "revocation.crl_delay_ms=1000", "--set", "revocation.crl_compare_seconds=2",
                   "--set", "signer.crl_settle_seconds=1", "--set", f"revocation.crl_max_unproven={MOST}", "--workers", "1")
RECOVERY = 60
PATIENCE = 130  # longer than proving takes
ALL = "/crl/ecc-all.crl"


@pytest.fixture
def box(own_sandbox):
    wait_published(own_sandbox)
    yield own_sandbox
    drop(own_sandbox)


@pytest.fixture(scope="module")
def hosts(own_sandbox):
    with with_second(own_sandbox) as both:
        yield both


def create(box, count):
    client, made = rest(box), []
    for _ in range(count):
        result = client.create([box.name()], request_type="origin-ecc", csr=make_csr()).result
        made.append((result["id"], leaf_of(result)))
    return made


def serial(leaf):
    return f"{leaf.serial_number:032x}"


def complete_list(box):
    return redis(box, "HGET", "crl-lists", "ecc ")


def plant(box, leaves, revoked_at=None):
    """What a worker that was taken over does with its own connection."""
    key, now = complete_list(box), int(time.time())
    for at, leaf in enumerate(leaves):
        end = int(leaf.not_valid_after.replace(tzinfo=timezone.utc).timestamp())
        redis(box, "ZADD", f"crl-entries:{key}", str(end), f"{serial(leaf)}:{(revoked_at or now) + at}:1")
    redis(box, "ZADD", "crls-due", "LT", "0", key)


def listed(box, leaves, path=ALL):
    crl = load(box["HTTP_URL"], path)
    return [leaf for leaf in leaves if crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None]


def waiting(box):
    return set(redis(box, "ZRANGE", "crl-unproven", "0", "-1").split())


def make_old(box, leaves):
    since = int((time.time() - PATIENCE) * 1000)
    for leaf in leaves:
        redis(box, "ZADD", "crl-unproven", str(since), serial(leaf))


def unproven(box):
    return box.admin.metrics()["originca_crl_unproven_entries"]


def shown(box, path="(complete)"):
    return next(each for each in box.admin.get("crls")["items"] if each["issuer"] == "ecc" and each["url"] == path)


def drop(box, **body):
    return box.admin.post("crls/drop-unproven", body)


def status(box, identifier):
    return box.admin.get(f"certificates/{identifier}")["status"]


def test_what_is_revoked_is_proven_and_waits_for_nothing(box):
    (identifier, leaf), before = create(box, 1)[0], int(redis(box, "ZCARD", "crl-proofs"))
    assert rest(box).revoke(identifier).status == 200
    wait_listed(box, leaf)
    assert wait_until(lambda: serial(leaf) not in waiting(box), RECOVERY)
    assert int(redis(box, "ZCARD", "crl-proofs")) > before
    assert serial(leaf) in redis(box, "ZRANGE", "crl-proofs", "-1", "-1")
    assert unproven(box) == 0 and shown(box)["unproven"] == 0


def test_entries_that_are_planted_are_seen_and_dropped(box):
    made = create(box, 3)
    leaves = [leaf for _, leaf in made]
    plant(box, leaves)
    redis(box, "HSET", f"certificate:{serial(leaves[0])}", "status", "revoked", "revoked", str(int(time.time())), "reason", "1")
    assert wait_until(lambda: len(listed(box, leaves)) == 3, RECOVERY)
    assert wait_until(lambda: waiting(box) >= {serial(leaf) for leaf in leaves}, RECOVERY)
    assert shown(box)["unproven"] == 3 and unproven(box) == 0
    make_old(box, leaves)
    assert wait_until(lambda: unproven(box) == 3, RECOVERY)
    assert 'event="Redis has revocations that no host\'s ledger has' in box.log_text()
    found = drop(box, dry_run=True)
    assert (found["serials"], found["entries"], found["valid_again"]) == (3, 3, 0)
    assert set(found["sample"]) == {identifier for identifier, _ in made}
    assert len(listed(box, leaves)) == 3
    said = box.admin_command("crl", "drop-unproven", check=False)
    assert said.returncode != 0 and "--yes" in said.stderr and len(listed(box, leaves)) == 3
    said = box.admin_command("crl", "drop-unproven", "--yes")
    assert "3 entries of lists taken off" in said.stdout and "1 certificates are valid again" in said.stdout
    assert wait_until(lambda: listed(box, leaves) == [], RECOVERY)
    assert wait_until(lambda: unproven(box) == 0, RECOVERY)
    assert [status(box, identifier) for identifier, _ in made] == ["valid"] * 3
    assert 'event="entries that no ledger has were taken off revocation lists"' in box.log_text()
    assert rest(box).revoke(made[0][0]).status == 200
    wait_listed(box, leaves[0])


def test_beyond_the_bound_planted_entries_are_left_out(box):
    made = create(box, 20)
    leaves = [leaf for _, leaf in made]
    plant(box, leaves, int(time.time()) - 1000)
    assert wait_until(lambda: shown(box).get("left_out") == 15, RECOVERY)
    assert shown(box)["unproven"] == 20
    assert wait_until(lambda: listed(box, leaves) == leaves[:MOST], RECOVERY)
    assert "left_out=15" in box.log_text()
    # What the ledger has comes all the same, those among them too.
    for identifier, leaf in (create(box, 1)[0], made[10]):
        assert rest(box).revoke(identifier).status == 200
        wait_listed(box, leaf)
        assert wait_until(lambda: leaf in listed(box, [leaf]), RECOVERY)
    assert wait_until(lambda: serial(leaves[10]) not in waiting(box), RECOVERY)
    assert drop(box)["serials"] == 19
    assert wait_until(lambda: listed(box, leaves) == [leaves[10]], RECOVERY)
    assert "left_out" not in shown(box)


def test_whoever_hides_what_waits_hides_no_entry(box):
    made = create(box, 8)
    leaves = [leaf for _, leaf in made]
    plant(box, leaves)
    assert wait_until(lambda: shown(box).get("left_out") == 3, RECOVERY)
    redis(box, "DEL", "crl-unproven", "crl-provers", "crls-left-out")
    redis(box, "ZADD", "crl-proofs", str(int((time.time() + 60) * 1e6)), "0" * 64 + " " + "".join(map(serial, leaves)))
    redis(box, "ZADD", "crl-proofs", "9e15", "none")
    before = shown(box)["number"]
    redis(box, "ZADD", "crls-due", "LT", "0", complete_list(box))
    assert wait_until(lambda: shown(box)["number"] > before, RECOVERY)
    assert shown(box)["left_out"] == 3 and waiting(box) >= set(map(serial, leaves))
    assert wait_until(lambda: box.admin.metrics()["originca_crl_proofs_unsealed_total"] == 1, RECOVERY)


def test_the_bound_outlives_the_process(box):
    leaves = [leaf for _, leaf in create(box, 12)]
    plant(box, leaves)
    assert wait_until(lambda: shown(box).get("left_out") == 7, RECOVERY)
    redis(box, "DEL", "crl-proofs", "crl-proofs-by-end", "crl-provers")
    before = shown(box)["number"]
    box.kill(box.admin_process())
    box.wait_ready()
    redis(box, "ZADD", "crls-due", "LT", "0", complete_list(box))
    assert wait_until(lambda: shown(box)["number"] > before, PATIENCE)
    assert shown(box)["left_out"] == 7 and wait_until(lambda: len(listed(box, leaves)) == MOST, RECOVERY)
    record = next(each for each in box.ledger("crl") if each["number"] == shown(box)["number"] and each["url"] == "")
    assert record["bounded"] is True and record["unproven"] == 12


def test_a_list_that_had_more_from_the_beginning_has_them_all(box):
    """As those of a host that is gone for good, in an installation of before there were proofs."""
    leaves, url = [leaf for _, leaf in create(box, 9)], box["HTTP_URL"] + "/crl/former"
    redis(box, "HSET", "crl-lists", f"ecc {url}", "7001")
    redis(box, "HSET", "crl:7001", "issuer", "ecc", "url", url)
    for leaf in leaves:
        redis(box, "ZADD", "crl-entries:7001", str(int(time.time()) + 86400), f"{serial(leaf)}:{int(time.time())}:4")
    redis(box, "ZADD", "crls-due", "0", "7001")
    assert wait_until(lambda: "number" in shown(box, url), PATIENCE)
    assert wait_until(lambda: fetch(box["HTTP_URL"], "/crl/former")[0] == 200, RECOVERY)
    assert wait_until(lambda: len(listed(box, leaves, "/crl/former")) == 9, RECOVERY)
    assert shown(box, url)["unproven"] == 9 and "left_out" not in shown(box, url)
    assert "they are listed, since they never were less" in box.log_text()
    assert drop(box)["serials"] == 9
    assert wait_until(lambda: listed(box, leaves, "/crl/former") == [], RECOVERY)


def test_an_entry_that_is_revoked_after_it_was_planted_is_not_dropped(box):
    made = create(box, 2)
    plant(box, [leaf for _, leaf in made])
    assert wait_until(lambda: len(listed(box, [leaf for _, leaf in made])) == 2, RECOVERY)
    assert rest(box).revoke(made[0][0]).status == 200
    assert drop(box)["serials"] == 1
    wait_listed(box, made[0][1])
    assert wait_until(lambda: listed(box, [leaf for _, leaf in made]) == [made[0][1]], RECOVERY)
    assert [status(box, identifier) for identifier, _ in made] == ["revoked", "valid"]


@pytest.fixture
def without_secret(box):
    path = box.directory / "originca.conf"
    text = path.read_text()
    path.write_text(re.sub(r"(?m)^ *(operator_secret_file|moved_zone_certificates) .*$", "", text))
    box.server_tool("reload")
    yield box
    path.write_text(text)
    box.server_tool("reload")


def test_a_host_alone_needs_no_secret(without_secret):
    box, before = without_secret, int(redis(without_secret, "ZCARD", "crl-proofs"))
    made = create(box, 9)
    leaves = [leaf for _, leaf in made]
    assert rest(box).revoke(made[0][0]).status == 200
    wait_listed(box, leaves[0])
    plant(box, leaves[1:])
    assert wait_until(lambda: shown(box).get("left_out") == 3, RECOVERY)
    assert wait_until(lambda: serial(leaves[0]) not in waiting(box), RECOVERY)
    assert int(redis(box, "ZCARD", "crl-proofs")) == before
    assert drop(box)["serials"] == 8
    assert wait_until(lambda: listed(box, leaves) == leaves[:1], RECOVERY)


def test_another_hosts_revocations_are_listed_and_proven(hosts, box):
    made = create(box, 3)
    leaves = [leaf for _, leaf in made]
    for identifier, _ in made:
        hosts[1].admin.post(f"certificates/{identifier}/revoke", {"reason": "superseded"})
    assert wait_until(lambda: len(listed(box, leaves)) == 3, RECOVERY)
    assert wait_until(lambda: not waiting(box) & set(map(serial, leaves)), RECOVERY)
    assert drop(box)["serials"] == 0 and len(listed(box, leaves)) == 3


def make_here(hosts, box):
    """The complete list is made by this host, with nothing unproven: it has gone through what waits since it came to serve."""

    def made():
        return sum(each["url"] == "" and each["issuer"] == "ecc" for each in box.ledger("crl"))

    with stopped(*hosts[1].parts("admin")):
        before, (identifier, _) = made(), create(box, 1)[0]
        assert rest(box).revoke(identifier).status == 200
        assert wait_until(lambda: made() > before, PATIENCE)


def test_a_host_whose_admin_process_is_away_still_revokes(hosts, box):
    make_here(hosts, box)
    made = create(box, MOST + 3)
    leaves = [leaf for _, leaf in made]
    client = hosts[1].rest(box["API_KEY"])
    with stopped(*hosts[1].parts("admin")):
        for identifier, _ in made[:3]:
            assert client.revoke(identifier).status == 200
        assert wait_until(lambda: len(listed(box, leaves)) == 3, RECOVERY)
        with pytest.raises(AdminError) as refused:
            drop(box)
        assert refused.value.status == 409 and "host second has not looked" in str(refused.value)
        for identifier, _ in made[3:]:
            assert client.revoke(identifier).status == 200
        assert wait_until(lambda: shown(box).get("left_out") == 3, RECOVERY)
        assert wait_until(lambda: len(listed(box, leaves)) == MOST, RECOVERY)
    assert wait_until(lambda: len(listed(box, leaves)) == MOST + 3, RECOVERY)
    assert wait_until(lambda: "left_out" not in shown(box), RECOVERY)


def test_a_redis_that_forgot_the_proofs_takes_nothing_off(hosts, box):
    made = create(box, MOST + 3)
    leaves = [leaf for _, leaf in made]
    for identifier, _ in made:
        hosts[1].admin.post(f"certificates/{identifier}/revoke", {"reason": "superseded"})
    assert wait_until(lambda: len(listed(box, leaves)) == MOST + 3, RECOVERY)
    redis(box, "DEL", "crl-proofs", "crl-proofs-by-end", "crl-provers", "crl-unproven", "crls-left-out")
    box.kill(box.admin_process())
    box.wait_ready()
    for _ in range(3):
        (identifier, leaf), = create(box, 1)
        assert rest(box).revoke(identifier).status == 200
        wait_listed(box, leaf)
        assert len(listed(box, leaves)) == MOST + 3
    assert wait_until(lambda: not waiting(box), RECOVERY)
