"""Looks whether everything that the actors were told holds, at every host, through ACME, REST and the admin API."""

from concurrent.futures import ThreadPoolExecutor

from chaos_actors import Violation
from crl_kit import ListWatch, path_of, plain_url
from ocsp_kit import Responder, cert_id, issuer_of, request
from under_test import wait_until
from verify import load_chain

SAMPLE = 12  # certificates of a customer that are read one by one at each host; the states of all are listed


def check_all(actors, hosts, only_sample=True):
    """While nothing is killed and no actor acts."""
    for host in hosts:
        check_states(actors, host)
        check_lists(actors, host)
        check_ocsp(actors, host)
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(check_actor, actor, host, only_sample) for actor in actors for host in hosts]:
            done.result()


def listed(host):
    """{serial: status} of every certificate that the host knows."""
    found, cursor = {}, None
    while True:
        page = host.admin.get("certificates?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
        found.update((item["serial"], item["status"]) for item in page["items"])
        cursor = page.get("cursor")
        if not cursor:
            return found


def check_states(actors, host):
    states = listed(host)
    for actor in actors:
        for certificate in actor.certificates:
            state = states.get(certificate.serial, "missing")
            allowed = {True: {"revoked"}, False: {"valid"}, None: {"valid", "revoked"}}[certificate.revoked]
            if state not in allowed:
                raise Violation(f"{actor}: certificate {certificate.serial} is {state} at {host.base_url}, not {allowed}")


_watch = ListWatch()


def check_lists(actors, host):
    """What was acknowledged as revoked is on its list soon after."""
    base, revoked = plain_url(host.base_url), {}
    for actor in actors:
        for certificate in actor.certificates:
            if certificate.revoked:
                revoked.setdefault(path_of(certificate.leaf), []).append(certificate)
    for path, certificates in revoked.items():
        def missing():
            crl = _watch.load(base, path)
            return [each.serial for each in certificates
                    if crl.get_revoked_certificate_by_serial_number(each.leaf.serial_number) is None]

        if not wait_until(lambda: not missing(), 60, pause=0.3):
            raise Violation(f"{path} of {base} lacks {missing()}")


def check_ocsp(actors, host):
    """The newest certificates of each actor: revoked is revoked, and what is not is good."""
    responder = Responder(f"{plain_url(host.base_url)}/ocsp")
    for actor in actors:
        issuer = issuer_of(actor.fleet.sandbox)
        for certificate in actor.certificates[-SAMPLE:]:
            body = request(cert_id(issuer, certificate.leaf.serial_number))
            allowed = {True: {"revoked"}, False: {"good"}, None: {"revoked", "good"}}[certificate.revoked]
            told = []

            def is_told():
                told.append(responder.post(body))
                return told[-1].outcome != "tryLater"

            if not wait_until(is_told, 60, pause=0.3) or told[-1].status not in allowed:
                raise Violation(f"{actor}: OCSP of {host.base_url} says {told[-1].outcome} of {certificate.serial}, not {allowed}")
    responder.close()


def check_actor(actor, host, only_sample):
    check_certificates(actor, host, only_sample)
    for what, send, refusals in actor.ended():
        reply = actor.insist(f"{what} ended", lambda send=send: send(host), lambda reply: reply.status in refusals)
        assert reply.status in refusals
    check_what_lives(actor, host)


def check_certificates(actor, host, only_sample):
    some = actor.certificates
    if only_sample and len(some) > SAMPLE:
        some = actor.choice_of_checks.sample(some[:-SAMPLE // 2], SAMPLE // 2) + some[-SAMPLE // 2:]
    rest = actor.fleet.rest(host, actor.api_keys[0])
    for certificate in some:
        shown = actor.insist(f"get {certificate.serial}", lambda each=certificate: rest.get(each.serial),
                             lambda reply: reply.status == 200).result
        if load_chain(shown["certificate"])[0] != certificate.leaf:
            raise Violation(f"{actor}: {certificate.serial} is another certificate at {host.base_url}")
        if certificate.revoked is not None and ("revoked_at" in shown) != certificate.revoked:
            raise Violation(f"{actor}: {certificate.serial} at {host.base_url}: {shown.get('revoked_at', 'not revoked')}")
        if certificate.account is not None and certificate.account.is_alive:
            check_download(actor, host, certificate)


def check_download(actor, host, certificate):
    client = actor.fleet.client(host, certificate.account)
    url = f"{host.base_url}/acme/cert/{certificate.leaf.serial_number:032x}"
    reply = actor.insist(f"download {url}", lambda: client.post(url), lambda reply: reply.status == 200)
    client.close()
    if load_chain(reply.text)[0] != certificate.leaf:
        raise Violation(f"{actor}: {url} is another certificate")


def check_what_lives(actor, host):
    """What did not end, or was given back, is there: keys, accounts with their newest keys, zones."""
    for key in actor.api_keys:
        if key.is_alive:
            actor.insist(f"API key {key.id} lives", lambda key=key: actor.fleet.rest(host, key).call("GET", "/zones"),
                         lambda reply: reply.status == 200)
    for account in actor.accounts:
        if account.is_alive:
            actor.insist(f"account {account.id} lives", lambda each=account: actor.read_account(host, each),
                         lambda reply: reply.status == 200)
    key = next(key for key in actor.eab_keys if key.is_alive)
    actor.insist(f"EAB key {key.id} lives", lambda: actor.register(host, key), lambda reply: reply.status in (200, 201))
    for zone, state in actor.zones.items():
        if state == "active" and actor.is_suspended is False:
            actor.insist(f"order in {zone}", lambda zone=zone: actor.order(host, zone), lambda reply: reply.status == 201)
