"""Customers of the kill tests: each issues, revokes and has rights ended, and knows what was acknowledged.

An action is repeated at one host until it is acknowledged, as clients and operators do; what was sent and not
acknowledged is unknown (None) meanwhile and may be either way. What was acknowledged holds from then on at every host,
also before all of it serves again: a right that ended is tried in the middle of the chaos too."""

import contextlib
import http.client
import random
import ssl
import threading
import time
from dataclasses import dataclass, field

from acme_kit import change_key
from acme_raw import AccountKey, AcmeClient, make_csr, make_key
from admin_api import AdminError
from rest_client import RestClient, leaf_of, make_csr as make_pem_csr, service_key
from verify import der_of, load_chain

BROKEN = (OSError, ssl.SSLError, http.client.HTTPException)
PATIENCE = 120  # seconds in which an action must be acknowledged
# One host may not know another's zone yet, name servers may be slow on a busy machine: these pass by themselves.
PASSING = {"badNonce", "serverInternal", "dns", "orderNotReady"}


class Violation(AssertionError):
    """Something that was acknowledged does not hold."""


class Away(OSError):
    """The server says that it does not serve now."""


class Client(AcmeClient):
    """An ACME client for which a server that does not serve is no failure of the test. Each request has a connection of its
    own: on a kept one that breaks it would be sent twice, and the first may have been carried out."""

    def request(self, method, url, body=None, headers=None):
        self.close()
        return super().request(method, url, body, headers)

    def take_nonce(self):
        if self.nonce is None and self.request("HEAD", self.directory["newNonce"]).status != 200:
            raise Away("no nonce")
        return super().take_nonce()

    @property
    def directory(self):
        if self._directory is None:
            reply = self.request("GET", self.directory_url)
            if reply.status != 200:
                raise Away("no directory")
            self._directory = reply.json
        return self._directory


@dataclass
class Certificate:
    """`revoked`: False, True, or None while a revocation is on its way."""

    leaf: object
    names: list
    account: object = None  # who may download it by ACME
    key: object = None
    revoked: bool | None = False

    @property
    def serial(self):
        return str(self.leaf.serial_number)


@dataclass
class Account:
    id: str
    key: AccountKey
    is_alive: bool | None = True
    former_keys: list = field(default_factory=list)


@dataclass
class Key:
    """An API key or an EAB key."""

    id: str
    secret: str
    is_alive: bool | None = True


class Fleet:
    """The hosts as clients reach them."""

    def __init__(self, sandbox, hosts):
        self.sandbox, self.hosts = sandbox, hosts
        self.restoring = lambda: 0

    def client(self, host, account=None):
        client = Client(f"{host.base_url}/acme/directory", self.sandbox["CA_BUNDLE"], account and account.key, timeout=20)
        client.kid = account and f"{host.base_url}/acme/account/{account.id}"
        return client

    def rest(self, host, key):
        return RestClient(f"{host.base_url}/client/v4", self.sandbox["CA_BUNDLE"], service_key(key.secret))


def is_passing(reply):
    """A reply that decides nothing: the same request is to be sent again. That issuance is stopped decides."""
    if "Issuance is stopped" in str(reply.body):
        return False
    if reply.status >= 500 or reply.status == 429:
        return True
    return getattr(reply, "problem", None) in PASSING


class Actor(threading.Thread):
    """One customer, whom nobody else acts for. `spare` is how many rights of each kind there are to be ended."""

    def __init__(self, number, seed, fleet, spare):
        super().__init__(daemon=True)
        self.number, self.fleet = number, fleet
        self.choice = random.Random(f"{seed} {number}")
        self.choice_of_checks = random.Random(f"{seed} {number} checks")
        self.goes, self.rests = threading.Event(), threading.Event()
        self.is_over = False
        self.acknowledged, self.counts, self.fault = 0, {}, None
        self.names = 0
        self.is_suspended = False
        self.certificates, self.accounts = [], []
        self.onboard(spare)

    # Onboarding, before anything is killed

    def onboard(self, spare):
        host = self.fleet.hosts[0]
        self.customer = host.admin.post("customers", {"name": f"chaos{len(self.fleet.hosts)}-{self.number}"})["id"]
        path = f"customers/{self.customer}"
        self.api_keys = [Key(made["id"], made["key"]) for made in
                         (host.admin.post(f"{path}/api-keys", {"kind": "service-key"}) for _ in range(spare + 1))]
        self.eab_keys = [Key(made["kid"], made["hmac"]) for made in
                         (host.admin.post(f"{path}/eab-keys") for _ in range(spare + 1))]
        for _ in range(spare + 1):
            client = self.fleet.client(host)
            client.register(self.eab_keys[0].id, self.eab_keys[0].secret).expect(201)
            self.accounts.append(Account(client.kid.rpartition("/")[2], client.key))
            client.close()
        self.zones = {f"c{len(self.fleet.hosts)}-{self.number}-{at}.test": "active" for at in range(spare + 1)}
        self.servers = {zone: host.admin.post("zones", {"name": zone, "customer": self.customer})["name_servers"]
                        for zone in self.zones}

    # Running

    def run(self):
        try:
            while self.goes.wait() and not self.is_over:
                self.rests.clear()
                while self.goes.is_set() and not self.is_over:
                    self.act()
                self.rests.set()
        except Exception as error:  # told to the test by the main thread
            self.fault = error
        finally:
            self.rests.set()

    def act(self):
        actions = {self.issue_by_acme: 6, self.issue_by_rest: 4, self.revoke: 4, self.end_api_key: 1, self.end_eab_key: 1,
                   self.deactivate_account: 1, self.roll_key: 2, self.pause_and_resume: 2, self.delete_zone: 1,
                   self.suspend_and_resume: 1, self.try_what_ended: 4}
        action = self.choice.choices(list(actions), list(actions.values()))[0]
        self.host = self.choice.choice(self.fleet.hosts)
        if action():
            self.acknowledged += 1
            self.counts[action.__name__] = self.counts.get(action.__name__, 0) + 1

    def insist(self, what, send, is_acknowledged):
        """The reply that acknowledges. One that neither does nor passes by itself breaks what was acknowledged."""
        deadline, last = time.monotonic() + PATIENCE, "no reply"
        while time.monotonic() < deadline:
            try:
                reply = send()
            except AdminError as error:
                reply = error
            except BROKEN as error:
                last = repr(error)
                time.sleep(0.1)
                continue
            if is_acknowledged(reply):
                return reply
            last = f"{getattr(reply, 'status', '')} {getattr(reply, 'body', reply)}"
            if hasattr(reply, "status") and not is_passing(reply):
                raise Violation(f"{self}: {what}: {last[:1500]}")
            time.sleep(0.1)
        raise Violation(f"{self}: {what}: not acknowledged within {PATIENCE} s: {last[:1500]}")

    def __str__(self):
        return f"customer {self.number} ({self.customer})"

    def by_admin(self, what, send, gone_is_done=False):
        """A change by the admin API; a second try may find that the first one was carried out."""
        def is_done(reply):
            return not isinstance(reply, AdminError) or gone_is_done and tries[0] > 1 and reply.status == 404

        tries = [0]

        def once():
            tries[0] += 1
            return send()

        return self.insist(what, once, is_done)

    # Issuing

    def new_name(self):
        zones = [zone for zone, state in self.zones.items() if state == "active"]
        self.names += 1
        return f"n{self.names}.{self.choice.choice(zones)}"

    def main_account(self):
        return self.accounts[0]

    def issue_by_acme(self):
        name, key = self.new_name(), make_key("p256")
        account = self.choice.choice([each for each in self.accounts if each.is_alive])
        client = self.fleet.client(self.host, account)
        try:
            chain = None
            while chain is None:  # again where a restored copy took the order with it
                chain = self.finish_order(client, name, make_csr(key, [name]))
        finally:
            client.close()
        self.keep(Certificate(load_chain(chain)[0], [name], account, key))
        return True

    def finish_order(self, client, name, csr):
        """The chain; None where the order is gone and Redis went back since it was made."""
        before, deadline = self.fleet.restoring(), time.monotonic() + PATIENCE
        created = self.insist(f"order {name}", lambda: client.new_order([name]), lambda reply: reply.status == 201)
        url, order = created.headers["Location"], created.json

        def is_gone(reply):
            return reply.status in (400, 403, 404) and self.fleet.restoring() > before

        while time.monotonic() < deadline:
            reply = self.insist(f"read {url}", lambda: client.post(url), lambda reply: reply.status == 200 or
                                is_gone(reply) and reply.problem != "badNonce")
            status = reply.json.get("status") if reply.status == 200 else "gone"
            if status == "valid":
                certificate = reply.json["certificate"]
                return self.insist(f"download {certificate}", lambda: client.post(certificate),
                                   lambda reply: reply.status == 200).text
            if status == "gone" or status == "invalid" and self.fleet.restoring() > before:
                return None
            if status == "invalid":
                raise Violation(f"{self}: {url}: {reply.text}")
            if status == "ready":
                with contextlib.suppress(*BROKEN):
                    client.finalize(order, csr)
            time.sleep(0.1)
        raise Violation(f"{self}: {url} was not finished within {PATIENCE} s: {reply.text}")

    def issue_by_rest(self):
        name, csr = self.new_name(), make_pem_csr()
        key = self.choice.choice([each for each in self.api_keys if each.is_alive])
        rest = self.fleet.rest(self.host, key)
        answer = self.insist(f"create {name}", lambda: rest.create([name], csr), lambda reply: reply.status == 200 or
                             self.wait_for_rest(reply))
        self.keep(Certificate(leaf_of(answer.result), [name]))
        return True

    @staticmethod
    def wait_for_rest(reply):
        """Where DNS could not be asked (1010 with Retry-After) the same create is sent again."""
        if reply.status == 400 and "Retry-After" in reply.headers:
            reply.status = 503
        return False

    def keep(self, certificate):
        self.certificates.append(certificate)

    # Revoking

    def revoke(self):
        live = [each for each in self.certificates if each.revoked is False]
        if not live:
            return False
        certificate = self.choice.choice(live)
        way = self.choice.choice(["account", "certificate-key", "admin", "rest"])
        certificate.revoked = None
        if way == "admin":
            path = f"certificates/{certificate.serial}/revoke"
            self.insist(path, lambda: self.host.admin.post(path, {"reason": "superseded"}),
                        lambda reply: not isinstance(reply, AdminError) or reply.status == 409)
        elif way == "rest" or certificate.account is None:
            rest = self.fleet.rest(self.host, self.api_keys[0])
            self.insist(f"delete {certificate.serial}", lambda: rest.revoke(certificate.serial),
                        lambda reply: reply.status == 200 or reply.status == 400 and b'"code":1014' in
                        reply.body.replace(b" ", b""))
        else:
            self.revoke_by_acme(certificate, way)
        certificate.revoked = True
        return True

    def revoke_by_acme(self, certificate, way):
        is_own = certificate.account.is_alive
        by_key = AccountKey(private=certificate.key) if way == "certificate-key" or not is_own else None
        client = self.fleet.client(self.host, certificate.account)
        self.insist(f"revoke {certificate.serial}", lambda: client.revoke(der_of(certificate.leaf), 4, by_key),
                    lambda reply: reply.status == 200 or reply.problem == "alreadyRevoked")
        client.close()

    # Ending rights

    def one_to_end(self, some):
        """The first of each kind stays, so that there is always one to go on with."""
        live = [each for each in some[1:] if each.is_alive]
        return self.choice.choice(live) if live else None

    def end_api_key(self):
        return self.end_key(self.api_keys, "api-keys")

    def end_eab_key(self):
        return self.end_key(self.eab_keys, "eab-keys")

    def end_key(self, keys, kind):
        key = self.one_to_end(keys)
        if key is None:
            return False
        key.is_alive = None
        path = f"customers/{self.customer}/{kind}/{key.id}"
        self.by_admin(f"end {path}", lambda: self.host.admin.delete(path), gone_is_done=True)
        key.is_alive = False
        return True

    def deactivate_account(self):
        account = self.one_to_end(self.accounts)
        if account is None:
            return False
        account.is_alive = None
        client, tries = self.fleet.client(self.host, account), [0]

        def once():
            tries[0] += 1
            return client.post(client.kid, {"status": "deactivated"})

        self.insist(f"deactivate {account.id}", once, lambda reply: reply.status == 200 or
                    tries[0] > 1 and reply.status in (401, 403))
        client.close()
        account.is_alive = False
        return True

    def roll_key(self):
        account = self.choice.choice([each for each in self.accounts if each.is_alive])
        fresh, client = AccountKey(), self.fleet.client(self.host, account)

        tries = [0]

        def once():
            """A change that is refused may be one that was carried out before: then the new key is the account's."""
            tries[0] += 1
            reply = change_key(client, fresh)
            if reply.status == 200 or is_passing(reply) or tries[0] == 1:
                return reply
            found = self.read_account(self.host, Account(account.id, fresh))
            if found.status != 200:
                raise Away(f"neither key: {reply.text} {found.text}")
            return found

        self.insist(f"roll {account.id}", once, lambda reply: reply.status == 200)
        client.close()
        account.former_keys.append(account.key)
        account.key = fresh
        return True

    def pause_and_resume(self):
        zone = self.choice.choice([zone for zone, state in self.zones.items() if state != "deleted"])
        is_active = self.zones[zone] == "active"
        if is_active and sum(state == "active" for state in self.zones.values()) == 1:
            return False
        verb, after = ("pause", "paused") if is_active else ("resume", "active")
        self.zones[zone] = None
        self.by_admin(f"{verb} {zone}", lambda: self.host.admin.post(f"zones/{zone}/{verb}"))
        self.zones[zone] = after
        return True

    def delete_zone(self):
        live = [zone for zone, state in self.zones.items() if state != "deleted"]
        active = [zone for zone in live if self.zones[zone] == "active"]
        zone = self.choice.choice(live)
        if len(live) == 1 or active == [zone]:
            return False
        self.zones[zone] = None
        self.by_admin(f"delete {zone}", lambda: self.host.admin.delete(f"zones/{zone}"), gone_is_done=True)
        self.zones[zone] = "deleted"
        return True

    def suspend_and_resume(self):
        """Suspended, looked at, resumed: two acknowledgements."""
        path = f"customers/{self.customer}"
        self.is_suspended = None
        self.by_admin(f"suspend {self.number}", lambda: self.host.admin.post(f"{path}/suspend"))
        self.is_suspended = True
        self.acknowledged += 1
        for _ in range(self.choice.randint(1, 4)):
            self.try_what_ended()
            self.host = self.choice.choice(self.fleet.hosts)
        self.is_suspended = None
        self.by_admin(f"resume {self.number}", lambda: self.host.admin.post(f"{path}/resume"))
        self.is_suspended = False
        return True

    # What must not work any more. Whoever does not serve at the moment says nothing wrong.

    def ended(self):
        """[(what, function of a host that sends it, statuses of its refusal)]"""
        found = [(f"API key {key.id}", lambda host, key=key: self.fleet.rest(host, key).call("GET", "/zones"), (400,))
                 for key in self.api_keys if key.is_alive is False]
        found += [(f"EAB key {key.id}", lambda host, key=key: self.register(host, key), (401, 403))
                  for key in self.eab_keys if key.is_alive is False]
        for account in self.accounts:
            if account.is_alive is False:
                found.append((f"account {account.id}", lambda host, each=account: self.read_account(host, each), (401, 403)))
            found += [(f"former key of account {account.id}", lambda host, each=account, key=key:
                       self.read_account(host, Account(each.id, key)), (400, 401, 403)) for key in account.former_keys]
        barred = [zone for zone, state in self.zones.items()
                  if self.is_suspended or state in ("paused", "deleted")]
        found += [(f"order in {zone}", lambda host, zone=zone: self.order(host, zone), (403, 503)) for zone in barred]
        found += [(f"create in {zone}", lambda host, zone=zone: self.create(host, zone), (400, 403, 503)) for zone in barred]
        return found

    def register(self, host, key):
        client = self.fleet.client(host)
        try:
            return client.register(key.id, key.secret)
        finally:
            client.close()

    def read_account(self, host, account):
        client = self.fleet.client(host, account)
        try:
            return client.post(client.kid)
        finally:
            client.close()

    def order(self, host, zone):
        client = self.fleet.client(host, self.main_account())
        self.names += 1
        try:
            return client.new_order([f"n{self.names}.{zone}"])
        finally:
            client.close()

    def create(self, host, zone):
        self.names += 1
        return self.fleet.rest(host, self.api_keys[0]).create([f"n{self.names}.{zone}"])

    def try_what_ended(self):
        found = self.ended()
        if not found:
            return False
        what, send, refusals = self.choice.choice(found)
        try:
            reply = send(self.host)
        except BROKEN:
            return False
        if not is_passing(reply) and reply.status not in refusals:
            raise Violation(f"{self}: {what} ended, and at {self.host.base_url}: {reply.status} {reply.body[:800]}")
        return not is_passing(reply)
