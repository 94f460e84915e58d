"""The ownership check against real, honest name servers: NSD, Knot and BIND serve the same zones, signed by ldns, BIND and
Knot in every usual way, and `originca check` must see in each what the zone's owner put there: verdict, reason, and
whether DNSSEC vouches for it."""

import json
import os
from pathlib import Path

import pytest

from honest_servers import HOSTS, PROGRAMS, Farm, Tree, Zone
from under_test import run

EDGE = ["203.0.113.0/24", "2001:db8:ed9e::/48"]
OURS = "ns1.provider.test,ns2.provider.test"
TOOLS = ["ldns", "bind", "knot"]
DENIALS = ["nsec", "nsec3", "optout"]
ALGORITHMS = {"rsa": "RSASHA256", "ecdsa": "ECDSAP256SHA256", "ed25519": "ED25519"}
KINDS = [f"{denial}-{tool}" for denial in DENIALS for tool in TOOLS]  # of top-level domains
SHOPS = [f"{algorithm}-{kind}.test" for algorithm in ALGORITHMS for kind in KINDS]
MANY = 60  # addresses of each family: more than a datagram holds

FEATURES = """
@ A 203.0.113.10
www A 203.0.113.10
www AAAA 2001:db8:ed9e::10
only4 A 203.0.113.4
only6 AAAA 2001:db8:ed9e::6
*.wild A 203.0.113.7
*.wild AAAA 2001:db8:ed9e::7
*.wild4 A 203.0.113.7
*.blog.wild-alias CNAME www
a.b.ent A 203.0.113.8
alias CNAME alias2
alias2 CNAME www
alias-out CNAME edge.provider.test.
alias-plain CNAME edge.plain.test.
alias-gray CNAME gray.foreign.test.
alias-dangling CNAME nothing.provider.test.
old DNAME new
x.new A 203.0.113.9
away DNAME shops.provider.test.
gray A 198.51.100.20
mixed A 203.0.113.10
mixed A 198.51.100.20
text TXT "no address"
sub NS ns1.foreign.test.
caa-ours A 203.0.113.10
caa-ours CAA 0 issue "ca.provider.test"
caa-other A 203.0.113.10
caa-other CAA 0 issue "ca.other.example"
caa-alias CNAME caa-other
below.caa-other A 203.0.113.10
*.caa-wild A 203.0.113.10
caa-wild CAA 0 issue "ca.provider.test"
caa-wild CAA 0 issuewild ";"
_acme-challenge.alias CNAME challenge.plain.test.
_acme-challenge.www TXT "another value"
_acme-challenge.www TXT "the-right-value"
""" + "".join(f"many A 203.0.113.{at}\nmany AAAA 2001:db8:ed9e::{at:x}\n" for at in range(1, MANY + 1)) + "".join(
    f'_acme-challenge.only4 TXT "{at:03} {"x" * 90}"\n' for at in range(40)) + '_acme-challenge.only4 TXT "the-right-value"\n'

SECURE, PLAIN = True, False
# Below the zone's name: what the check concludes, and whether a signed zone proves it. "wildcard": a wildcard made the
# answer, so under opt-out an unsigned delegation may be there that nobody would see (RFC 5155 6).
NAMES = {
    "": ("ok", "proxied", SECURE),
    "www": ("ok", "proxied", SECURE),
    "only4": ("ok", "proxied", SECURE),
    "only6": ("ok", "proxied", SECURE),
    "*.wild": ("ok", "proxied", "wildcard"),
    "made-up.wild": ("ok", "proxied", "wildcard"),
    "much.deeper.wild": ("ok", "proxied", "wildcard"),
    "made-up.wild4": ("ok", "proxied", "wildcard"),
    "x.blog.wild-alias": ("ok", "proxied", "wildcard"),
    "*.www": ("ok", "proxied", SECURE),
    "a.b.ent": ("ok", "proxied", SECURE),
    "b.ent": ("refused", "no-address", PLAIN),
    "ent": ("refused", "no-address", PLAIN),
    "alias": ("ok", "proxied", SECURE),
    "alias-out": ("ok", "proxied", SECURE),
    "alias-plain": ("ok", "proxied", PLAIN),
    "alias-gray": ("refused", "gray", PLAIN),
    "alias-dangling": ("refused", "does-not-exist", PLAIN),
    "x.old": ("ok", "proxied", SECURE),
    "x.away": ("ok", "proxied", SECURE),
    "gray": ("refused", "gray", PLAIN),
    "mixed": ("refused", "gray", PLAIN),
    "text": ("refused", "no-address", PLAIN),
    "missing": ("refused", "does-not-exist", PLAIN),
    "missing.below.www": ("refused", "does-not-exist", PLAIN),
    "www.sub": ("refused", "sub-zone", PLAIN),
    "many": ("ok", "proxied", SECURE),
}


def signed_zones():
    day = 86400
    zones = [Zone("", "root", tool="bind", algorithm="RSASHA256"), Zone("test", "tld", tool="bind"),
             Zone("provider.test", "provider", "edge A 203.0.113.1\nedge AAAA 2001:db8:ed9e::1\nx.shops A 203.0.113.3",
                  tool="ldns", denial="nsec3"),
             Zone("foreign.test", "foreign", "gray A 198.51.100.20"),
             Zone("plain.test", "provider", 'edge A 203.0.113.2\nchallenge TXT "the-right-value"')]
    for shop in SHOPS:
        algorithm, denial, tool = shop.removesuffix(".test").split("-")
        zones.append(Zone(shop, "provider", FEATURES, tool, ALGORITHMS[algorithm], denial))
    for kind in KINDS:  # each under a top-level domain that is signed in that way, beside a sibling that is not signed
        denial, tool = kind.split("-")
        zones += [Zone(kind, "tld", tool=tool, denial=denial),
                  Zone(f"plain.{kind}", "provider", "www A 203.0.113.10"),
                  Zone(f"signed.{kind}", "provider", 'www A 203.0.113.10\ntaken TXT "no delegation"', tool, denial=denial),
                  Zone(f"stray.signed.{kind}", "provider", "www A 203.0.113.10", is_delegated=False),
                  Zone(f"taken.signed.{kind}", "provider", "www A 203.0.113.10", is_delegated=False),
                  Zone(f"kid.signed.{kind}", "provider", "www A 203.0.113.10", tool, denial=denial),
                  Zone(f"kid.plain.{kind}", "provider", "www A 203.0.113.10", tool, denial=denial, ds="none"),
                  Zone(f"deep.er.{kind}", "provider", "www A 203.0.113.10", tool, denial=denial)]
    for tool in ("ldns", "bind"):
        zones += [Zone(f"expired-{tool}.test", "provider", "www A 203.0.113.10", tool, shift=-60 * day),
                  Zone(f"early-{tool}.test", "provider", "www A 203.0.113.10", tool, denial="nsec3", shift=60 * day)]
    for tool in TOOLS:
        zones.append(Zone(f"wrong-ds-{tool}.test", "provider", "www A 203.0.113.10", tool, ds="wrong"))
    zones.append(Zone("online.test", "provider", FEATURES, "online"))
    zones += [Zone("unsigned-with-ds.test", "provider", "www A 203.0.113.10", ds="wrong"),
              Zone("expired-tld", "tld", tool="ldns", shift=-60 * day),
              Zone("shop.expired-tld", "provider", "www A 203.0.113.10", "ldns")]
    return zones + glueless_zones("bind")


def glueless_zones(tool=None):
    """net. cannot give glue for the name server of co.net, which lies below test."""
    return [Zone("net", "tld", tool=tool),
            Zone("co.net", "foreign", '@ A 203.0.113.10\nstrict A 203.0.113.10\nstrict CAA 0 issue "ca.other.example"'),
            Zone("shop.co.net", "provider", "www A 203.0.113.10\napex CNAME co.net.\nstrict CNAME strict.co.net."),
            Zone("host.net", "foreign", f"@ A {HOSTS['ns1.provider.test']}"),
            Zone("hosted.test", "provider", "www A 203.0.113.10", servers={"host.net": HOSTS["ns1.provider.test"]})]


def plain_zones():
    return [Zone("", "root"), Zone("test", "tld"), *glueless_zones(),
            Zone("provider.test", "provider", "edge A 203.0.113.1\nx.shops A 203.0.113.3"),
            Zone("foreign.test", "foreign", "gray A 198.51.100.20"), Zone("plain.test", "provider", "edge A 203.0.113.2"),
            Zone("shop.test", "provider", FEATURES), Zone("kid.shop.test", "provider", "www A 203.0.113.10"),
            Zone("stray.shop.test", "provider", "www A 203.0.113.10", is_delegated=False),
            Zone("vanity.shop.test", "provider", "www A 203.0.113.10", is_vanity=True),
            Zone("elsewhere.test", "foreign", "www A 203.0.113.10")]


@pytest.fixture(scope="module")
def signed_tree(tmp_path_factory):
    return Tree(tmp_path_factory.mktemp("honest") / "signed", signed_zones())


@pytest.fixture(scope="module")
def plain_tree(tmp_path_factory):
    return Tree(tmp_path_factory.mktemp("honest") / "plain", plain_zones())


LAYOUTS = [pytest.param((program, together), id=f"{program}-{'together' if together else 'apart'}")
           for program in PROGRAMS for together in (False, True)
           if not together or os.environ.get("ORIGINCA_QUICK") != "1"]


@pytest.fixture(scope="module", params=LAYOUTS)
def farm(request, signed_tree):
    """The signed tree: each level of it on servers of its own, or all on one server, parents and children."""
    farm = Farm(request.param[0], signed_tree, request.param[1])
    yield farm
    farm.close()


@pytest.fixture(scope="module", params=LAYOUTS)
def plain_farm(request, plain_tree):
    farm = Farm(request.param[0], plain_tree, request.param[1])
    yield farm
    farm.close()


class Result:
    def __init__(self, document):
        self.document = document
        self.zone = self._short(document["zones"][0])
        self.names = {each["name"]: self._short(each) for each in document["names"]}
        self.transports = {each["question"].lower(): each["server"].split()[-1] for each in document["queries"]
                           if "server" in each}

    @staticmethod
    def _short(finding):
        return finding["verdict"], finding["reason"], finding["secure"]

    def __repr__(self):
        return json.dumps(self.document, indent=1)


def check(farm, zone, *names, anchor=None, caa=None, txt=None, servers=OURS, own=()):
    """With the settings that ship: deadline, tries and budgets must do for honest zones."""
    command = [Path(os.environ["ORIGINCA_BUILD"]) / "cli" / "originca", "check", "--json", "--zone", zone,
               "--name-servers", servers, "--edge-prefixes", ",".join(EDGE), "--root-hints", farm.hints(), "--dns-port",
               farm.port, "--allow-addresses", "127.0.0.0/8"]
    anchor = farm.tree.anchor() if anchor is None else anchor
    if anchor:
        path = farm.directory / "anchor"
        path.write_text(anchor)
        command += ["--trust-anchor", path]
    if caa:
        command += ["--caa-mode", caa, "--caa-identities", "ca.provider.test"]
    for each in own:
        command += ["--own-zone", f"{each}={OURS}"]
    if txt:
        command += ["--txt", txt]
    result = run([*command, *names], check=False, timeout=30)
    assert result.stdout and "runtime error" not in result.stderr, result.stderr
    return Result(json.loads(result.stdout))


def names_of(zone, labels):
    return [f"{label}.{zone}" if label else zone for label in labels]


def expected(zone, is_signed, is_opt_out=False):
    def is_secure(kind):
        return is_signed and kind is not PLAIN and not (kind == "wildcard" and is_opt_out)

    return {name: (verdict, reason, is_secure(kind))
            for name, (verdict, reason, kind) in zip(names_of(zone, NAMES), NAMES.values())}


# Signed zones


@pytest.mark.parametrize("shop", SHOPS)
def test_every_name_of_a_signed_zone_is_seen_as_it_is(farm, shop):
    result = check(farm, shop, *names_of(shop, NAMES))
    assert result.zone == ("ok", "delegated", True), result
    assert result.names == expected(shop, True, "optout" in shop), result


@pytest.mark.parametrize("shop", [shop for shop in SHOPS if shop.startswith("ecdsa")])
def test_caa_present_and_absent_is_proven_up_to_the_top(farm, shop):
    labels = ["www", "caa-ours", "caa-other", "below.caa-other", "caa-alias", "x.caa-wild", "*.caa-wild"]
    result = check(farm, shop, *names_of(shop, labels), caa="strict")
    verdicts = [result.names[name][:2] for name in names_of(shop, labels)]
    refused = ("refused", "caa-refused")
    assert verdicts == [("ok", "proxied"), ("ok", "proxied"), refused, refused, refused, ("ok", "proxied"),
                        ("refused", "caa-restricted")], result


@pytest.mark.parametrize("shop", [shop for shop in SHOPS if shop.startswith("rsa")])
def test_large_signed_answers_come_over_tcp(farm, shop):
    result = check(farm, shop, f"many.{shop}", f"only4.{shop}", txt="the-right-value")
    assert result.names[f"only4.{shop}"] == ("ok", "proven", True), result
    assert result.names[f"many.{shop}"][:2] == ("refused", "no-txt"), result
    for question in (f"many.{shop} a", f"many.{shop} aaaa", f"_acme-challenge.only4.{shop} txt"):
        assert result.transports[question] == "tcp", result


def test_a_dns_01_record_behind_an_alias_into_an_unsigned_zone_counts_and_is_insecure(farm):
    shop = "ecdsa-nsec-ldns.test"
    result = check(farm, shop, f"www.{shop}", f"alias.{shop}", txt="the-right-value")
    assert list(result.names.values()) == [("ok", "proven", True), ("ok", "proven", False)], result


@pytest.mark.parametrize("denial", DENIALS)
def test_a_hundred_names_of_one_signed_zone_are_within_the_budgets(farm, denial):
    shop = f"ecdsa-{denial}-bind.test"
    names = [f"www{at}.wild.{shop}" for at in range(50)] + [f"x{at}.wild4.{shop}" for at in range(50)]
    result = check(farm, shop, *names, caa="strict")
    assert set(result.names.values()) == {("ok", "proxied", denial != "optout")}, result


@pytest.mark.parametrize("farm", [layout for layout in LAYOUTS if layout.id.startswith("knot")], indirect=True)
def test_a_zone_that_is_signed_answer_by_answer_is_seen_as_it_is(farm):
    """Of the three only knotd does so. Its denials say of every name that it is there and has nothing (RFC 9824), so what does not
    exist has no address."""
    result = check(farm, "online.test", *names_of("online.test", NAMES))
    assert result.zone == ("ok", "delegated", True), result
    wanted = {name: finding if finding[1] != "does-not-exist" or name.startswith("alias") else
              ("refused", "no-address", False) for name, finding in expected("online.test", True).items()}
    assert result.names == wanted, result


# Delegations


@pytest.mark.parametrize("kind", KINDS)
def test_an_unsigned_zone_below_a_signed_parent_is_insecure_and_counts(farm, kind):
    result = check(farm, f"plain.{kind}", f"www.plain.{kind}", f"missing.plain.{kind}", caa="strict")
    assert result.zone == ("ok", "delegated", False), result
    assert list(result.names.values()) == [("ok", "proxied", False), ("refused", "does-not-exist", False)], result


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_zone_below_a_parent_signed_alike_is_secure(farm, kind):
    result = check(farm, f"signed.{kind}", f"www.signed.{kind}", f"www.kid.signed.{kind}")
    assert result.zone == ("ok", "delegated", True), result
    assert list(result.names.values()) == [("ok", "proxied", True), ("refused", "sub-zone", False)], result


@pytest.mark.parametrize("kind", KINDS)
def test_a_zone_below_a_zone_on_the_same_server_is_secure_by_its_ds(farm, kind):
    """Whoever has the zone above."""
    result = check(farm, f"kid.signed.{kind}", f"www.kid.signed.{kind}")
    assert (result.zone, *result.names.values()) == (("ok", "delegated", True), ("ok", "proxied", True)), result


@pytest.mark.parametrize("kind", KINDS)
def test_an_island_of_signatures_below_an_unsigned_zone_is_insecure(farm, kind):
    result = check(farm, f"kid.plain.{kind}", f"www.kid.plain.{kind}", own=[f"plain.{kind}"])
    assert (result.zone, *result.names.values()) == (("ok", "delegated", False), ("ok", "proxied", False)), result


@pytest.mark.parametrize("kind", KINDS)
def test_a_zone_below_an_empty_non_terminal_of_the_parent_is_found(farm, kind):
    result = check(farm, f"deep.er.{kind}", f"www.deep.er.{kind}")
    assert (result.zone, *result.names.values()) == (("ok", "delegated", True), ("ok", "proxied", True)), result
    result = check(farm, f"er.{kind}", f"www.er.{kind}")
    assert result.zone[:2] == ("refused", "not-delegated"), result


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_the_parent_proves_absent_does_not_exist(farm, kind):
    result = check(farm, f"nothing.{kind}", f"www.nothing.{kind}")
    assert result.zone[:2] == ("refused", "does-not-exist"), result


def test_a_zone_with_other_name_servers_is_refused_also_where_all_is_signed(farm):
    result = check(farm, "signed.nsec-bind", "www.signed.nsec-bind", servers="ns3.provider.test,ns4.provider.test")
    assert result.zone[:2] == ("refused", "delegated-elsewhere"), result


# Name servers without glue


def seen_through_a_zone_without_glue(farm, **options):
    names = names_of("shop.co.net", ["www", "apex", "strict"])
    result = check(farm, "shop.co.net", *names, caa="strict", **options)
    assert result.zone == ("ok", "delegated", False), result
    assert [finding[:2] for finding in result.names.values()] == [("ok", "proxied"), ("ok", "proxied"),
                                                                  ("refused", "caa-refused")], result
    result = check(farm, "hosted.test", "www.hosted.test", servers="host.net", **options)
    assert result.names["www.hosted.test"][:2] == ("ok", "proxied"), result


def test_a_zone_below_one_whose_name_servers_have_no_glue_is_found_and_so_is_that_ones_caa(farm):
    seen_through_a_zone_without_glue(farm)


def test_an_unsigned_zone_below_one_whose_name_servers_have_no_glue_is_found(plain_farm):
    seen_through_a_zone_without_glue(plain_farm, anchor="")


# What must not be believed

NOES = [("refused", "not-delegated", False), ("failed", "bogus", False), ("failed", "hidden", False)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_zone_on_the_servers_of_a_signed_zone_above_that_does_not_delegate_it_is_no(farm, kind):
    """Anybody may have been given a zone there; the owner of the zone above proves that it is none of his, except under opt-out (RFC 5155
    6), and NSD has no proof. Where the zone above is the same customer's, NSD leaves it open under opt-out whether he delegates it."""
    for zone in (f"stray.signed.{kind}", f"taken.signed.{kind}"):
        result = check(farm, zone, f"www.{zone}")
        assert result.zone in NOES, result
        if not ("optout" in kind and farm.program == "nsd"):
            result = check(farm, zone, f"www.{zone}", own=[f"signed.{kind}"])
            assert result.zone in NOES, result


@pytest.mark.parametrize("tool", TOOLS)
def test_a_zone_whose_ds_names_another_key_is_bogus(farm, tool):
    result = check(farm, f"wrong-ds-{tool}.test", f"www.wrong-ds-{tool}.test")
    assert (result.zone, *result.names.values()) == (("failed", "bogus", False),) * 2, result


def test_an_unsigned_zone_whose_parent_names_a_key_is_bogus(farm):
    result = check(farm, "unsigned-with-ds.test", "www.unsigned-with-ds.test")
    assert (result.zone, *result.names.values()) == (("failed", "bogus", False),) * 2, result


@pytest.mark.parametrize("zone", ["expired-ldns.test", "expired-bind.test", "shop.expired-tld"])
def test_a_zone_with_expired_signatures_is_bogus(farm, zone):
    result = check(farm, zone, f"www.{zone}")
    assert (result.zone, *result.names.values()) == (("failed", "bogus", False),) * 2, result
    assert "expired" in result.document["zones"][0]["text"], result


@pytest.mark.parametrize("tool", ["ldns", "bind"])
def test_a_zone_with_signatures_of_the_future_is_bogus(farm, tool):
    result = check(farm, f"early-{tool}.test", f"www.early-{tool}.test")
    assert (result.zone, *result.names.values()) == (("failed", "bogus", False),) * 2, result
    assert "not valid yet" in result.document["zones"][0]["text"], result


def test_a_root_that_is_not_the_anchors_is_bogus(farm):
    foreign = f". IN DS 4711 13 2 {'5a' * 32}\n"
    result = check(farm, SHOPS[0], f"www.{SHOPS[0]}", anchor=foreign)
    assert (result.zone, *result.names.values()) == (("failed", "bogus", False),) * 2, result


def test_without_an_anchor_the_broken_and_the_good_are_alike_and_insecure(farm):
    for zone in ("expired-ldns.test", "wrong-ds-bind.test", "unsigned-with-ds.test", SHOPS[0]):
        result = check(farm, zone, f"www.{zone}", anchor="")
        assert (result.zone, *result.names.values()) == (("ok", "delegated", False), ("ok", "proxied", False)), result


# Unsigned trees


def test_every_name_of_an_unsigned_zone_is_seen_as_it_is(plain_farm):
    result = check(plain_farm, "shop.test", *names_of("shop.test", NAMES), anchor="")
    assert result.zone == ("ok", "delegated", False), result
    assert result.names == expected("shop.test", False), result


def test_an_unsigned_tree_under_an_anchor_is_bogus(plain_farm):
    result = check(plain_farm, "shop.test", "www.shop.test", anchor=f". IN DS 4711 13 2 {'5a' * 32}\n")
    assert result.zone == ("failed", "bogus", False), result


def test_caa_of_an_unsigned_zone_is_obeyed(plain_farm):
    labels = ["www", "caa-ours", "caa-other"]
    result = check(plain_farm, "shop.test", *names_of("shop.test", labels), anchor="", caa="strict")
    assert [finding[1] for finding in result.names.values()] == ["proxied", "proxied", "caa-refused"], result


def test_a_zone_below_a_zone_has_to_be_checked_by_itself(plain_farm):
    result = check(plain_farm, "shop.test", "www.kid.shop.test", anchor="")
    assert list(result.names.values()) == [("refused", "sub-zone", False)], result
    result = check(plain_farm, "kid.shop.test", "www.kid.shop.test", anchor="", own=["shop.test"])
    assert (result.zone, *result.names.values()) == (("ok", "delegated", False), ("ok", "proxied", False)), result
    result = check(plain_farm, "kid.shop.test", "www.kid.shop.test", anchor="")
    assert (result.zone, *result.names.values()) == (("failed", "hidden", False),) * 2, result


@pytest.mark.parametrize("plain_farm", [layout for layout in LAYOUTS if not layout.id.startswith("nsd")], indirect=True)
def test_a_zone_on_the_servers_of_a_zone_above_that_does_not_delegate_it_is_refused(plain_farm):
    """NSD says NODATA where it should say NXDOMAIN: without DNSSEC nobody can tell that from a delegation."""
    result = check(plain_farm, "stray.shop.test", "www.stray.shop.test", anchor="")
    assert result.zone == ("refused", "not-delegated", False), result


def test_a_zone_whose_name_servers_lie_in_it_beside_its_parent_is_found(plain_farm):
    """All three add the addresses to its NS set, also where they say no more than they must."""
    result = check(plain_farm, "vanity.shop.test", "www.vanity.shop.test", anchor="",
                   servers="ns1.vanity.shop.test,ns2.vanity.shop.test", own=["shop.test"])
    assert (result.zone, *result.names.values()) == (("ok", "delegated", False), ("ok", "proxied", False)), result


def test_a_zone_with_another_operator_is_refused(plain_farm):
    result = check(plain_farm, "elsewhere.test", "www.elsewhere.test", anchor="")
    assert result.zone == ("refused", "delegated-elsewhere", False), result
