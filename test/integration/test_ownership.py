"""Who gets no certificate, and whether the error tells the client's owner what to change."""

import pytest

from acme_raw import make_csr, make_key
from test_client_certbot import Certbot

SANDBOX_OPTIONS = ("--set", "acme.recheck_after_seconds=0")


def problems_of(reply):
    """{name: (type, detail)} of a refusal with subproblems; a refusal of one name may carry it at the top."""
    body = reply.json
    found = {each["identifier"]["value"]: (each["type"].rpartition(":")[2], each["detail"])
             for each in body.get("subproblems", [])}
    return found, reply.problem, body["detail"]


def refused(sandbox, client, names, expected):
    """Orders `names`, which must be refused with a problem of that type; its texts."""
    reply = client.new_order(names)
    assert reply.status in (400, 403, 503), reply.text
    found, problem, detail = problems_of(reply)
    assert problem == expected, reply.text
    return found, detail + " " + " ".join(text for _, text in found.values())


def test_a_name_on_nobodys_zone_is_rejected(sandbox, client):
    name = "www.nobody-has-this.test"
    _, text = refused(sandbox, client, [name], "rejectedIdentifier")
    assert name in text


def test_a_name_on_another_customers_zone_is_rejected_as_if_nobody_had_it(sandbox, client):
    """The answer must not tell whose zone it is, nor that somebody has it."""
    other, nobody = f"www.{sandbox['ZONE_2']}", "www.nobody-has-this.test"
    _, with_owner = refused(sandbox, client, [other], "rejectedIdentifier")
    _, without = refused(sandbox, client, [nobody], "rejectedIdentifier")
    assert sandbox["CUSTOMER_2"] not in with_owner
    assert with_owner.replace(other, "NAME") == without.replace(nobody, "NAME")


def test_a_zone_that_left_gets_no_certificate_and_its_owner_learns_which_name_servers_to_set(sandbox, client):
    zone = sandbox.new_zone()
    assigned = sandbox.admin.get(f"zones/{zone}")["name_servers"]
    client.issue([f"www.{zone}"])
    sandbox.dns("undelegate", zone)
    _, text = refused(sandbox, client, [f"api.{zone}"], "unauthorized")
    assert any(server in text for server in assigned), text
    assert "elsewhere.test" in text, text
    sandbox.dns("delegate", zone)
    client.issue([f"api.{zone}"])


def test_a_gray_name_gets_no_certificate_and_its_owner_learns_why(sandbox, client):
    zone = sandbox.new_zone()
    gray, proxied = f"gray.{zone}", f"www.{zone}"
    sandbox.dns("gray", gray)
    found, text = refused(sandbox, client, [gray], "unauthorized")
    assert gray in text and "198.51.100.20" in text, text
    client.issue([proxied])
    found, _ = refused(sandbox, client, [gray, proxied], "unauthorized")
    assert gray in found and proxied not in found
    sandbox.dns("proxy", gray)
    client.issue([gray, proxied])
    assert len(sandbox.certificates(zone)) == 2


def test_a_gray_wildcard_is_refused_and_a_proxied_name_below_it_is_not(sandbox, client):
    zone = sandbox.new_zone()
    sandbox.dns("gray", f"*.{zone}")
    refused(sandbox, client, [f"*.{zone}"], "unauthorized")
    sandbox.dns("proxy", f"www.{zone}")
    client.issue([f"www.{zone}", zone])


def test_a_pending_zone_gets_no_certificate(sandbox, client):
    zone = sandbox.new_zone(is_delegated=False)
    reply = client.new_order([f"www.{zone}"])
    assert reply.status in (400, 403), reply.text
    assert any(server in reply.text for server in sandbox.admin.get(f"zones/{zone}")["name_servers"]), reply.text


def test_a_name_that_points_away_by_cname_is_refused(sandbox, client):
    zone = sandbox.new_zone()
    sandbox.dns("gray", f"origin.{zone}")
    sandbox.dns("cname", f"shop.{zone}", f"origin.{zone}")
    refused(sandbox, client, [f"shop.{zone}"], "unauthorized")
    sandbox.dns("cname", f"shop.{zone}", f"edge.{zone}")
    client.issue([f"shop.{zone}"])


def test_a_cut_below_the_zone_is_judged_by_itself(sandbox, client):
    zone = sandbox.new_zone()
    sub = f"team.{zone}"
    sandbox.dns("delegate", sub)
    refused(sandbox, client, [f"www.{sub}"], "unauthorized")
    sandbox.admin.post("zones", {"name": sub, "customer": sandbox["CUSTOMER"]})
    sandbox.dns("delegate", sub)
    sandbox.check_zone(sub, "active")
    client.issue([f"www.{sub}", f"www.{zone}"])


def test_a_zone_that_leaves_between_order_and_finalize_gets_no_certificate(own_sandbox):
    zone = own_sandbox.new_zone()
    client = own_sandbox.client()
    name = f"www.{zone}"
    order = client.new_order([name]).expect(201).json
    own_sandbox.dns("undelegate", zone)
    reply = client.finalize(order, make_csr(make_key("p256"), [name]))
    assert reply.problem == "unauthorized", reply.text
    assert own_sandbox.certificates(zone) == []


def test_an_offboarded_zone_gets_nothing_more(sandbox, client):
    zone = sandbox.new_zone()
    client.issue([f"www.{zone}"])
    sandbox.admin.delete(f"zones/{zone}")
    refused(sandbox, client, [f"api.{zone}"], "rejectedIdentifier")


def test_refused_attempts_are_shown_to_admins_with_their_evidence(sandbox, client):
    zone = sandbox.new_zone()
    name = f"gray.{zone}"
    sandbox.dns("gray", name)
    refused(sandbox, client, [name], "unauthorized")
    order = next(each for each in sandbox.listing(f"orders?zone={zone}")
                 if name in str(each["identifiers"]))
    shown = sandbox.admin.get(f"orders/{order['id']}")
    assert "198.51.100.20" in str(shown), shown


@pytest.mark.parametrize("verb", ["gray", "undelegate"])
def test_certbot_tells_its_user_what_to_change(sandbox, tmp_path, verb):
    zone = sandbox.new_zone()
    name = f"www.{zone}"
    sandbox.dns(verb, name if verb == "gray" else zone)
    certbot = Certbot(sandbox, tmp_path)
    certbot.register()
    refused = certbot("certonly", "--standalone", "-d", name, check=False)
    assert refused.returncode != 0
    expected = ["198.51.100.20"] if verb == "gray" else sandbox.admin.get(f"zones/{zone}")["name_servers"]
    assert any(each in certbot.said(refused) for each in expected), certbot.said(refused)


def test_a_zone_below_another_customers_is_not_proven_by_servers_that_have_both(sandbox):
    """The servers answer for the zone below whether it is delegated or not: anybody could add one."""
    above = sandbox.new_zone()
    below = f"login.{above}"
    sandbox.admin.post("zones", {"name": below, "customer": sandbox["CUSTOMER_2"]})
    sandbox.dns("delegate", below)
    shown = sandbox.admin.post(f"zones/{below}/check")
    assert shown["status"] == "pending" and "show no delegation" in shown["reason"], shown
    _, text = refused(sandbox, sandbox.client(2), [f"www.{below}"], "dns")
    assert above in text and "show no delegation" in text, text


def test_a_customers_own_zone_below_his_zone_is_proven_by_servers_that_have_both(sandbox, client):
    above = sandbox.new_zone()
    below = f"shop.{above}"
    sandbox.admin.post("zones", {"name": below, "customer": sandbox["CUSTOMER"]})
    sandbox.dns("delegate", below)
    sandbox.check_zone(below, "active")
    client.issue([f"www.{below}", f"www.{above}"])
