"""Honest name servers: zones as text, signed by the tools that operators use, served by NSD, Knot or BIND on loopback
addresses that share one port.

A Tree is written and signed once; a Farm serves it with one of the three programs, and ends what it started by pid."""

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from relay import Relay
from under_test import Processes, free_port_base, run, wait_until

from dns_query import soa_serial  # of scripts/lib, which under_test puts on the path

NET = "127.67.0."
GROUPS = {"root": [NET + "1"], "tld": [NET + "2", NET + "3"], "provider": [NET + "11", NET + "12"],
          "foreign": [NET + "21"]}
HOSTS = {"a.root": NET + "1", "a.nic.test": NET + "2", "b.nic.test": NET + "3", "ns1.provider.test": NET + "11",
         "ns2.provider.test": NET + "12", "ns1.foreign.test": NET + "21"}
NAME_SERVERS = {"root": ["a.root"], "tld": ["a.nic.test", "b.nic.test"],
                "provider": ["ns1.provider.test", "ns2.provider.test"], "foreign": ["ns1.foreign.test"]}
SERIAL = 7
PROGRAMS = ["nsd", "knot", "bind"]


@dataclass
class Zone:
    name: str  # "" is the root
    group: str
    records: str = ""  # owners relative to the zone
    tool: str = None  # who signs it: ldns, bind, knot; online: knotd, each answer as it is asked; None: nobody
    algorithm: str = "ECDSAP256SHA256"
    denial: str = "nsec"  # nsec3, optout
    ds: str = "right"  # what the parent says: right, wrong, none
    is_delegated: bool = True  # by its parent; the servers have the zone in any case
    is_vanity: bool = False  # its name servers, those of the group, have names inside it
    servers: dict = None  # {name: address} instead of the group's
    shift: int = 0  # seconds by which the signatures' validity lies beside today
    key: object = None
    ds_text: str = ""

    @property
    def origin(self):
        return self.name + "."

    @property
    def hosts(self):
        """{name server: address}"""
        if self.servers:
            return self.servers
        names = NAME_SERVERS[self.group]
        return {f"ns{at}.{self.name}" if self.is_vanity else name: HOSTS[name] for at, name in enumerate(names, 1)}


def is_below(name, zone):
    return zone == "" or name.endswith("." + zone)


# Signing


def times(zone):
    """Begin and end of the signatures' validity: 30 days around now, moved by the shift."""
    middle = int(time.time()) + zone.shift
    return [time.strftime("%Y%m%d%H%M%S", time.gmtime(middle + days * 86400)) for days in (-15, 15)]


class Ldns:
    """A key-signing and a zone-signing key."""

    def __init__(self, directory):
        self.directory = directory

    def make_key(self, zone):
        size = ["-b", "2048"] if zone.algorithm.startswith("RSA") else []
        zone.key = [run(["ldns-keygen", "-a", zone.algorithm, *size, *kind, zone.origin],
                        directory=self.directory).stdout.strip() for kind in ([], ["-k"])]
        return run(["ldns-key2ds", "-n", "-2", zone.key[1] + ".key"], directory=self.directory).stdout

    def sign(self, zones):
        for zone in zones:
            begin, end = times(zone)
            denial = {"nsec": [], "nsec3": ["-n"], "optout": ["-n", "-p"]}[zone.denial]
            file = zone_file(self.directory, zone)
            run(["ldns-signzone", *denial, "-i", begin, "-e", end, "-o", zone.origin, "-f", f"{file}.signed", file,
                 *zone.key], directory=self.directory)
            os.replace(f"{file}.signed", file)


class Bind:
    """One key for everything."""

    def __init__(self, directory):
        self.directory = directory

    def make_key(self, zone):
        size = ["-b", "2048"] if zone.algorithm.startswith("RSA") else []
        zone.key = run(["dnssec-keygen", "-q", "-a", zone.algorithm, *size, "-f", "KSK", zone.origin],
                       directory=self.directory).stdout.strip()
        return run(["dnssec-dsfromkey", "-2", zone.key + ".key"], directory=self.directory).stdout

    def sign(self, zones):
        for zone in zones:
            begin, end = times(zone)
            denial = {"nsec": [], "nsec3": ["-3", "-"], "optout": ["-3", "-", "-A"]}[zone.denial]
            file = zone_file(self.directory, zone)
            with open(file, "a") as text:
                text.write((self.directory / f"{zone.key}.key").read_text())
            # -P: a zone that is signed for another time would not pass its own look at it
            run(["dnssec-signzone", "-P", "-z", *denial, "-s", begin, "-e", end, "-o", zone.origin, "-f",
                 f"{file}.signed", file, zone.key], directory=self.directory)
            os.replace(f"{file}.signed", file)


def policies(zones):
    """How knotd signs each zone."""
    lines = ["policy:"]
    for zone in zones:
        lines += [f'  - id: "{zone.origin}"', f"    algorithm: {zone.algorithm}", "    manual: on",
                  "    single-type-signing: on", f"    nsec3: {'off' if zone.denial == 'nsec' else 'on'}",
                  "    nsec3-iterations: 0", "    nsec3-salt-length: 0",
                  f"    nsec3-opt-out: {'on' if zone.denial == 'optout' else 'off'}"]
    return lines


class Knot:
    """Signs by itself when it loads a zone, and writes the signed zone back."""

    def __init__(self, directory):
        self.directory = directory
        self.configuration = directory / "signer.conf"

    def configure(self, zones):
        (self.directory / "keys").mkdir(exist_ok=True)
        lines = ["server:", f'  rundir: "{self.directory}"', "  background-workers: 1", "database:",
                 f'  storage: "{self.directory}/keys"', "log:", "  - target: stderr", "    any: info",
                 *policies(zones), "zone:"]
        for zone in zones:
            if zone.tool == "online":
                continue
            lines += [f'  - domain: "{zone.origin}"', f'    file: "{zone_file(self.directory, zone)}"',
                      "    dnssec-signing: on", f'    dnssec-policy: "{zone.origin}"', "    zonefile-sync: 0",
                      "    serial-policy: increment"]
        self.configuration.write_text("\n".join(lines) + "\n")

    def make_key(self, zone):
        run(["keymgr", "-c", self.configuration, zone.origin, "generate", f"algorithm={zone.algorithm}", "ksk=yes",
             "zsk=yes"])
        lines = run(["keymgr", "-c", self.configuration, zone.origin, "ds"]).stdout.splitlines()
        return next(line for line in lines if line.split()[4] == "2")  # SHA-256

    def sign(self, zones):
        if not zones:
            return
        processes = Processes(self.directory, self.directory)
        processes.start("knot-signer", ["knotd", "-c", str(self.configuration)])
        try:
            signed = wait_until(lambda: all("RRSIG" in zone_file(self.directory, zone).read_text() and
                                            processes.pid("knot-signer") for zone in zones), 60)
            assert signed, processes.log_tail("knot-signer", 60)
        finally:
            processes.stop("knot-signer")


def zone_file(directory, zone):
    return directory / f"{zone.name or 'root'}.zone"


class Tree:
    """Zones in files. Keys come first, so that parents can name those of their children."""

    def __init__(self, directory, zones):
        self.directory, self.zones = Path(directory), zones
        self.directory.mkdir(parents=True)
        knot = Knot(self.directory)
        tools = {"ldns": Ldns(self.directory), "bind": Bind(self.directory), "knot": knot}
        knot.configure([zone for zone in zones if zone.tool in ("knot", "online")])
        for zone in zones:
            if zone.tool:
                zone.ds_text = tools.get(zone.tool, knot).make_key(zone)
        for zone in zones:
            zone_file(self.directory, zone).write_text(self._text(zone))
        for name, tool in tools.items():
            tool.sign([zone for zone in zones if zone.tool == name])

    def parent_of(self, zone):
        above = [each for each in self.zones if each is not zone and is_below(zone.name, each.name)]
        return max(above, key=lambda each: len(each.name), default=None)

    def _ds_lines(self, zone):
        if zone.ds == "none" or (zone.ds == "right" and not zone.tool):
            return []
        if zone.ds == "right":
            return zone.ds_text.strip().splitlines()
        return [f"{zone.origin} IN DS 4711 13 2 {'5a' * 32}"]

    def _text(self, zone):
        servers = list(zone.hosts)
        lines = [f"$ORIGIN {zone.origin}", "$TTL 60",
                 f"@ IN SOA {servers[0]}. hostmaster.{servers[0]}. {SERIAL} 3600 600 86400 60"]
        lines += [f"@ IN NS {server}." for server in servers]
        glued = dict(zone.hosts)
        for child in self.zones:
            if child is zone or self.parent_of(child) is not zone or not child.is_delegated:
                continue
            lines += [f"{child.origin} IN NS {server}." for server in child.hosts]
            lines += self._ds_lines(child)
            glued |= child.hosts
        lines += [f"{host}. IN A {glued[host]}" for host in sorted(glued) if is_below(host, zone.name)]
        return "\n".join(lines) + "\n" + zone.records.strip() + "\n"

    def anchor(self):
        return next(zone for zone in self.zones if zone.name == "").ds_text


# Serving


class Farm:
    """`together`: one process answers for all zones at all addresses, as small hosters do it, and says no more than it
    must where it has a setting for that."""

    def __init__(self, program, tree, together=False):
        self.program, self.tree, self.port = program, tree, free_port_base(len(GROUPS) + 1)
        self.directory = Path(tempfile.mkdtemp(prefix="oca-dns-"))  # short: control sockets lie in it
        self.processes = Processes(self.directory, self.directory)
        self.groups = {"all": sum(GROUPS.values(), [])} if together else GROUPS
        self._is_terse = "yes" if together else "no"
        self.relay = None
        start = {"nsd": self._nsd, "knot": self._knot, "bind": self._bind}[program]
        try:
            for group, addresses in self.groups.items():
                folder = self.directory / group
                folder.mkdir()
                zones = [zone for zone in tree.zones if together or zone.group == group]
                self.processes.start(group, start(folder, addresses, zones))
            if program == "bind":
                self.relay = Relay(self.port, {address: self._back_port(group) for group in self.groups
                                               for address in self.groups[group]})
            self._wait_served(together)
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.relay:
            self.relay.close()
        killed = [group for group in self.groups if self.processes.stop(group)]
        shutil.rmtree(self.directory, ignore_errors=True)
        assert not killed, f"{killed} had to be killed"

    def hints(self):
        path = self.directory / "hints"
        path.write_text(f". 3600 NS a.root.\na.root. 3600 A {HOSTS['a.root']}\n")
        return path

    def _wait_served(self, together):
        waiting = [(zone, address) for zone in self.tree.zones
                   for address in (self.groups["all"] if together else GROUPS[zone.group])]

        def is_served():
            assert all(self.processes.pid(group) for group in self.groups), self._logs()
            waiting[:] = [(zone, address) for zone, address in waiting
                          if not soa_serial(address, self.port, zone.name or ".")]
            return not waiting

        assert wait_until(is_served, 40), f"not served: {waiting[:3]}\n{self._logs()}"

    def _logs(self):
        return "\n".join(self.processes.log_tail(group) for group in self.groups)

    def _nsd(self, folder, addresses, zones):
        lines = ["server:", *[f"  ip-address: {address}@{self.port}" for address in addresses], "  server-count: 1",
                 '  username: ""', f'  zonesdir: "{self.tree.directory}"', '  database: ""', '  pidfile: ""',
                 f'  zonelistfile: "{folder}/zone.list"', f'  xfrdfile: "{folder}/xfrd.state"', f'  xfrdir: "{folder}"',
                 "  rrl-ratelimit: 0", "  reuseport: no", f"  minimal-responses: {self._is_terse}", "remote-control:",
                 "  control-enable: no"]
        for zone in zones:
            lines += ["zone:", f'  name: "{zone.origin}"', f'  zonefile: "{zone_file(self.tree.directory, zone)}"']
        (folder / "nsd.conf").write_text("\n".join(lines) + "\n")
        return ["nsd", "-d", "-c", str(folder / "nsd.conf")]

    def _knot(self, folder, addresses, zones):
        online = [zone for zone in zones if zone.tool == "online"]
        keys = self.tree.directory / "keys" if online else folder
        lines = ["server:", f'  rundir: "{folder}"', "  background-workers: 1", "  udp-workers: 1", "  tcp-workers: 1",
                 f"  listen: [{', '.join(f'{address}@{self.port}' for address in addresses)}]", "database:",
                 f'  storage: "{keys}"', "log:", "  - target: stderr", "    any: warning"]
        if online:
            lines += [*policies(online), "mod-onlinesign:"]
            for zone in online:
                lines += [f'  - id: "{zone.origin}"', f'    policy: "{zone.origin}"']
        lines += ["zone:"]
        for zone in zones:
            lines += [f'  - domain: "{zone.origin}"', f'    file: "{zone_file(self.tree.directory, zone)}"',
                      "    zonefile-sync: -1", "    journal-content: none"]
            lines += [f"    module: mod-onlinesign/{zone.origin}"] if zone.tool == "online" else []
        (folder / "knot.conf").write_text("\n".join(lines) + "\n")
        return ["knotd", "-c", str(folder / "knot.conf")]

    def _back_port(self, group):
        return self.port + 1 + list(self.groups).index(group)

    def _bind(self, folder, addresses, zones):
        """BIND listens on addresses that an interface has, and nowhere else: the relay takes its queries there."""
        lines = ["options {", f'  directory "{folder}";', f"  listen-on port {self._back_port(folder.name)} {{ 127.0.0.1; }};",
                 "  listen-on-v6 { none; };", "  pid-file none;", "  lock-file none;",
                 f'  session-keyfile "{folder}/session.key";', "  recursion no;", "  dnssec-validation no;",
                 "  notify no;", "  check-integrity no;", "  empty-zones-enable no;", "  zone-statistics none;",
                 f"  minimal-responses {self._is_terse};", "};", "controls { };"]
        for zone in zones:
            lines.append(f'zone "{zone.origin}" {{ type primary; file "{zone_file(self.tree.directory, zone)}"; }};')
        (folder / "named.conf").write_text("\n".join(lines) + "\n")
        return ["named", "-g", "-n", "1", "-c", str(folder / "named.conf")]
