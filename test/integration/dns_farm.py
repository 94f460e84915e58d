"""Name servers that tests write in a few lines: an honest tree by default, and a hook wherever one is to lie.

A World is a set of Servers on loopback addresses, all on one port. A Server has Zones; it answers as an authoritative
server does, DNSSEC included, unless one of its hooks returns something else: a list of actions (bytes to send, a pause,
nothing at all)."""

import asyncio
import struct
import threading
import time

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from dns.rdtypes.ANY.RRSIG import RRSIG

from under_test import free_port_base

TYPE = dns.rdatatype.from_text
EDGE = ["203.0.113.0/24", "2001:db8:ed9e::/48"]
ASKED = ["127.66.0.0/24", "::1/128"]  # of the special-purpose addresses
FORBIDDEN = "127.67.0.1"  # a name server listens there too
_rsa, _root = [], []


def name(text):
    return dns.name.from_text(text)


class Keys:
    """One key signs everything of a zone."""

    def __init__(self, algorithm="ECDSAP256SHA256"):
        self.algorithm = algorithm
        if algorithm.startswith("RSA"):
            if not _rsa:
                _rsa.append(rsa.generate_private_key(65537, 2048))
            self.private = _rsa[0]
        elif algorithm == "ED25519":
            self.private = ed25519.Ed25519PrivateKey.generate()
        elif algorithm == "ECDSAP384SHA384":
            self.private = ec.generate_private_key(ec.SECP384R1())
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())
        self.dnskey = dns.dnssec.make_dnskey(self.private.public_key(), algorithm, flags=257)

    def ds(self, zone, digest="SHA256"):
        return dns.dnssec.make_ds(zone, self.dnskey, digest).to_text()

    def sign(self, rrset, zone, inception=None, expiration=None):
        now = int(time.time())
        if rrset.name.is_wild():  # dnspython counts the "*" as a label, which RFC 4034 3.1.3 forbids
            return self._sign_wildcard(rrset, zone, inception or now - 3600, expiration or now + 86400)
        return dns.dnssec.sign(rrset, self.private, zone, self.dnskey, inception=inception or now - 3600,
                               expiration=expiration or now + 86400)


    def _sign_wildcard(self, rrset, zone, inception, expiration):
        assert self.algorithm == "ECDSAP256SHA256"
        template = RRSIG(dns.rdataclass.IN, TYPE("RRSIG"), rrset.rdtype, self.dnskey.algorithm, len(rrset.name) - 2,
                         rrset.ttl, expiration, inception, dns.dnssec.key_id(self.dnskey), zone, b"")
        return template.replace(signature=self.sign_bytes(dns.dnssec._make_rrsig_signature_data(rrset, template)))

    def sign_bytes(self, data):
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def root_keys():
    """The root's, the same for all worlds: a server has one trust anchor."""
    if not _root:
        _root.append(Keys())
    return _root[0]


def wildcard_below(encloser):
    """None below one of the longest names."""
    try:
        return dns.name.Name((b"*",) + encloser.labels)
    except dns.name.NameTooLong:
        return None


class Zone:
    """Records by owner and type. `keys` signs it (NSEC). `lies` are functions (rrset, zone) -> RRSIG rdata or None that
    replace a signature."""

    def __init__(self, origin, records="", keys=None):
        self.origin, self.keys, self.sets, self.sign_with = name(origin), keys, {}, None
        self.add(f"{origin} SOA ns.invalid. root.invalid. 1 3600 600 86400 60")
        for line in records.strip().splitlines():
            self.add(line.strip())
        if keys:
            self.add(f"{origin} DNSKEY {keys.dnskey.to_text()}")

    def add(self, line):
        owner, kind, value = line.split(None, 2)
        key = (name(owner), TYPE(kind))
        rrset = self.sets.setdefault(key, dns.rrset.RRset(key[0], dns.rdataclass.IN, key[1]))
        rrset.add(dns.rdata.from_text(dns.rdataclass.IN, key[1], value), ttl=60)
        return self

    def remove(self, owner, kind=None):
        for key in [key for key in list(self.sets) if key[0] == name(owner) and kind in (None, dns.rdatatype.to_text(key[1]))]:
            del self.sets[key]
        return self

    def get(self, owner, kind):
        return self.sets.get((owner, kind))

    def names(self):
        return sorted({owner for owner, _ in list(self.sets)})

    def cut_above(self, qname):
        """The delegation at or above a name, None where the zone answers itself."""
        for owner, kind in list(self.sets):  # a test changes the zone while the farm answers from it
            if kind == TYPE("NS") and owner != self.origin and qname.is_subdomain(owner):
                return owner
        return None

    def signature(self, rrset):
        if not self.keys:
            return None
        if self.sign_with:
            return self.sign_with(rrset, self)
        return self.keys.sign(rrset, self.origin)

    def is_below_cut(self, owner):
        cut = self.cut_above(owner)
        return cut is not None and owner != cut

    def nsec(self, owner):
        """The NSEC record set of an owner in the chain."""
        chain = [each for each in self.names() if not self.is_below_cut(each)]
        following = chain[(chain.index(owner) + 1) % len(chain)]
        kinds = [kind for each, kind in list(self.sets) if each == owner]
        if self.cut_above(owner) == owner:
            kinds = [kind for kind in kinds if kind in (TYPE("NS"), TYPE("DS"))]
        texts = " ".join(dns.rdatatype.to_text(kind) for kind in kinds + [TYPE("RRSIG"), TYPE("NSEC")])
        return dns.rrset.from_text(owner, 60, "IN", "NSEC", f"{following.to_text()} {texts}")

    def nsec_for(self, qname):
        """The NSEC that matches or covers a name."""
        chain = [each for each in self.names() if not self.is_below_cut(each)]
        before = [each for each in chain if each <= qname]
        return self.nsec(before[-1] if before else chain[-1])


class Answer:
    """An answer as it is put together: the sections as lists of RRsets."""

    def __init__(self, query, wants_signatures):
        self.query, self.wants_signatures = query, wants_signatures
        self.rcode, self.is_authoritative, self.is_truncated = dns.rcode.NOERROR, True, False
        self.answer, self.authority, self.additional = [], [], []

    def put(self, section, rrset, zone=None, signature=None):
        section.append(rrset)
        if self.wants_signatures and zone is not None and zone.keys:
            signature = signature or zone.signature(rrset)
            if signature is not None:
                section.append(dns.rrset.from_rdata(rrset.name, 60, signature))

    def to_wire(self):
        """The question goes back byte by byte, letter case included."""
        reply = dns.message.make_response(self.query, our_payload=1232)
        reply.flags = dns.flags.QR | (dns.flags.AA if self.is_authoritative else 0)
        reply.flags |= dns.flags.TC if self.is_truncated else 0
        reply.set_rcode(self.rcode)
        reply.answer, reply.authority, reply.additional = self.answer, self.authority, self.additional
        return reply.to_wire(max_size=65535)


class Server:
    def __init__(self, address, zones=()):
        self.address, self.zones, self.hooks, self.asked = address, list(zones), [], []
        self.listens = True

    def zone_of(self, qname, kind):
        candidates = [zone for zone in self.zones if qname.is_subdomain(zone.origin)]
        if kind == TYPE("DS"):  # the parent's
            above = [zone for zone in candidates if zone.origin != qname]
            candidates = above or candidates
        return max(candidates, key=lambda zone: len(zone.origin), default=None)

    def resolve(self, query):
        question = query.question[0]
        qname, kind = question.name, question.rdtype
        answer = Answer(query, bool(query.ednsflags & dns.flags.DO))
        zone = self.zone_of(qname, kind)
        if zone is None:
            answer.rcode, answer.is_authoritative = dns.rcode.REFUSED, False
            return answer
        cut = zone.cut_above(qname)
        if cut is not None and not (kind == TYPE("DS") and cut == qname):
            self._refer(answer, zone, cut)
            return answer
        self._answer(answer, zone, qname, kind, 0)
        return answer

    def _refer(self, answer, zone, cut):
        answer.is_authoritative = False
        servers = zone.get(cut, TYPE("NS"))
        answer.authority.append(servers)
        ds = zone.get(cut, TYPE("DS"))
        if ds is not None:
            answer.put(answer.authority, ds, zone)
        elif zone.keys and answer.wants_signatures:
            answer.put(answer.authority, zone.nsec(cut), zone)
        for server in servers:
            for kind in ("A", "AAAA"):
                glue = zone.get(server.target, TYPE(kind))
                if glue is not None:
                    answer.additional.append(glue)

    def _answer(self, answer, zone, qname, kind, hops):
        found = zone.get(qname, kind)
        alias = zone.get(qname, TYPE("CNAME"))
        exists = any(owner.is_subdomain(qname) for owner in zone.names())
        if found is not None:
            answer.put(answer.answer, found, zone)
            return
        if alias is not None:
            answer.put(answer.answer, alias, zone)
            self._follow(answer, zone, alias[0].target, kind, hops)
            return
        for owner, each in list(zone.sets.items()):
            if owner[1] == TYPE("DNAME") and qname.is_subdomain(owner[0]) and qname != owner[0]:
                target = qname.relativize(owner[0]).concatenate(each[0].target)
                answer.put(answer.answer, each, zone)
                answer.answer.append(dns.rrset.from_text(qname, 60, "IN", "CNAME", target.to_text()))
                self._follow(answer, zone, target, kind, hops)
                return
        encloser = qname
        while not any(owner.is_subdomain(encloser) for owner in zone.names()):
            encloser = encloser.parent()
        star = wildcard_below(encloser)
        if not exists and any(owner == star for owner in zone.names()):
            self._expand(answer, zone, qname, kind, star, hops)
            return
        answer.rcode = dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN
        self._deny(answer, zone, [qname] if exists else [qname, star])

    def _follow(self, answer, zone, target, kind, hops):
        if hops < 16 and target.is_subdomain(zone.origin) and zone.cut_above(target) is None:
            self._answer(answer, zone, target, kind, hops + 1)

    def _expand(self, answer, zone, qname, kind, star, hops):
        found = zone.get(star, kind)
        alias = zone.get(star, TYPE("CNAME"))
        source = found if found is not None else alias
        if source is None:
            self._deny(answer, zone, [qname, star])
            return
        made = dns.rrset.from_rdata(qname, 60, *list(source))
        answer.put(answer.answer, made, zone, zone.signature(source))
        if zone.keys and answer.wants_signatures:
            answer.put(answer.authority, zone.nsec_for(qname), zone)
        if found is None:
            self._follow(answer, zone, alias[0].target, kind, hops)

    def _deny(self, answer, zone, names):
        answer.put(answer.authority, zone.get(zone.origin, TYPE("SOA")), zone)
        if zone.keys and answer.wants_signatures:
            proofs = {each.name: each for each in (zone.nsec_for(one) for one in names)}
            for each in proofs.values():
                answer.put(answer.authority, each, zone)

    def handle(self, wire, transport):
        """Actions for a query: bytes are sent, numbers are seconds to wait, "close" ends a TCP connection."""
        try:
            query = dns.message.from_wire(wire)
        except Exception:  # noqa: BLE001
            return []
        self.asked.append((query.question[0].name.to_text().lower(), dns.rdatatype.to_text(query.question[0].rdtype),
                           transport))
        if not self.listens:
            return []
        for hook in self.hooks:
            actions = hook(query, wire, transport, self)
            if actions is not None:
                return actions
        reply = self.resolve(query).to_wire()
        if transport == "udp" and len(reply) > 1232:
            short = self.resolve(query)
            short.is_truncated, short.answer, short.authority, short.additional = True, [], [], []
            reply = short.to_wire()
        return [reply]


class Farm:
    """The sockets, once for all worlds: one UDP and one TCP listener for each address."""

    ADDRESSES = [f"127.66.0.{last}" for last in range(1, 31)] + ["::1", FORBIDDEN]

    def __init__(self):
        self.port = free_port_base(1)
        self.world = None
        self.captured = None  # a list: (bytes, source port) of each datagram
        self.udp = {}
        self.loop = asyncio.new_event_loop()
        self.is_up = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.is_up.wait(20)

    def close(self):
        def stop():
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_soon(self.loop.stop)

        self.loop.call_soon_threadsafe(stop)
        self.thread.join(10)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._listen())
        self.is_up.set()
        self.loop.run_forever()

    async def _listen(self):
        for address in self.ADDRESSES:
            _, self.udp[address] = await self.loop.create_datagram_endpoint(lambda at=address: _Udp(self, at),
                                                                            (address, self.port))
            await asyncio.start_server(lambda reader, writer, at=address: self._serve(reader, writer, at), address,
                                       self.port)

    async def _serve(self, reader, writer, address):
        try:
            while True:
                length = struct.unpack(">H", await reader.readexactly(2))[0]
                wire = await reader.readexactly(length)
                server = self.world.servers.get(address) if self.world else None
                for action in server.handle(wire, "tcp") if server else ["close"]:
                    if action == "close":
                        return
                    if isinstance(action, (int, float)):
                        await asyncio.sleep(action)
                    else:
                        writer.write(struct.pack(">H", len(action)) + action)
                        await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, farm, address):
        self.farm, self.address, self.transport = farm, address, None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, wire, peer):
        if self.farm.captured is not None:
            self.farm.captured.append((wire, peer[1]))
        server = self.farm.world.servers.get(self.address) if self.farm.world else None
        if server is not None:
            self.farm.loop.create_task(self._act(server.handle(wire, "udp"), peer))

    async def _act(self, actions, peer):
        for action in actions:
            if isinstance(action, (int, float)):
                await asyncio.sleep(action)
            elif isinstance(action, tuple):  # (address, bytes): from another address of the farm
                self.farm.udp[action[0]].transport.sendto(action[1], peer)
            elif action != "close":
                self.transport.sendto(action, peer)


class World:
    """root, test., provider.test and shop.test, honest: shop.test is delegated to ns1 and ns2.provider.test, www is on
    the edge. A scenario changes what it needs."""

    def __init__(self, is_signed=False, algorithm="ECDSAP256SHA256", shop_signed=None):
        shop_signed = is_signed if shop_signed is None else shop_signed
        make = (lambda: Keys(algorithm)) if is_signed else (lambda: None)
        self.keys = {zone: make() for zone in ("test.", "provider.test.")}
        self.keys["."] = root_keys() if is_signed else None
        self.keys["shop.test."] = Keys(algorithm) if shop_signed else None
        self.root = Zone(".", """
            . NS a.root.
            a.root. A 127.66.0.1
            test. NS a.nic.test.
            test. NS b.nic.test.
            a.nic.test. A 127.66.0.2
            b.nic.test. A 127.66.0.3""", self.keys["."])
        self.tld = Zone("test.", """
            test. NS a.nic.test.
            test. NS b.nic.test.
            a.nic.test. A 127.66.0.2
            b.nic.test. A 127.66.0.3
            provider.test. NS ns1.provider.test.
            provider.test. NS ns2.provider.test.
            ns1.provider.test. A 127.66.0.11
            ns2.provider.test. A 127.66.0.12
            shop.test. NS ns1.provider.test.
            shop.test. NS ns2.provider.test.
            other.test. NS ns1.foreign.test.
            foreign.test. NS ns1.foreign.test.
            ns1.foreign.test. A 127.66.0.21""", self.keys["test."])
        self.provider = Zone("provider.test.", """
            provider.test. NS ns1.provider.test.
            provider.test. NS ns2.provider.test.
            ns1.provider.test. A 127.66.0.11
            ns2.provider.test. A 127.66.0.12
            ns3.provider.test. A 127.66.0.13""", self.keys["provider.test."])
        self.shop = Zone("shop.test.", """
            shop.test. NS ns1.provider.test.
            shop.test. NS ns2.provider.test.
            shop.test. A 203.0.113.10
            www.shop.test. A 203.0.113.10
            www.shop.test. AAAA 2001:db8:ed9e::10""", self.keys["shop.test."])
        self.foreign = Zone("foreign.test.", "foreign.test. NS ns1.foreign.test.\nns1.foreign.test. A 127.66.0.21")
        if is_signed:
            self.root.add(f"test. DS {self.keys['test.'].ds('test.')}")
            self.tld.add(f"provider.test. DS {self.keys['provider.test.'].ds('provider.test.')}")
            if shop_signed:
                self.tld.add(f"shop.test. DS {self.keys['shop.test.'].ds('shop.test.')}")
        self.unasked = []  # servers that nobody may ask
        hosting = [self.provider, self.shop]
        self.servers = {
            "127.66.0.1": Server("127.66.0.1", [self.root]),
            "127.66.0.2": Server("127.66.0.2", [self.tld]),
            "127.66.0.3": Server("127.66.0.3", [self.tld]),
            "127.66.0.11": Server("127.66.0.11", list(hosting)),
            "127.66.0.12": Server("127.66.0.12", list(hosting)),
            "127.66.0.13": Server("127.66.0.13", list(hosting)),
            "127.66.0.21": Server("127.66.0.21", [self.foreign]),
        }

    @property
    def ns1(self):
        return self.servers["127.66.0.11"]

    @property
    def ns2(self):
        return self.servers["127.66.0.12"]

    def at(self, *lasts):
        return [self.servers[f"127.66.0.{last}"] for last in lasts]

    def server(self, last, *zones):
        address = f"127.66.0.{last}"
        self.servers[address] = Server(address, zones)
        return self.servers[address]

    def trap(self, address, *zones):
        """A server that would say what suits a forger."""
        self.servers[address] = Server(address, zones)
        self.unasked.append(self.servers[address])
        return self.servers[address]

    @property
    def misled(self):
        """What servers were asked that nobody may ask."""
        return [(server.address, question) for server in self.unasked for question in server.asked]

    def hook(self, function, *lasts):
        for server in self.at(*(lasts or (11, 12))):
            server.hooks.append(function)

    @property
    def queries(self):
        return sum(len(server.asked) for server in self.servers.values())

    def anchor(self):
        return f". IN DS {self.keys['.'].ds('.')}\n"
