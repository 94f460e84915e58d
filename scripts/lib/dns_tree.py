"""The sandbox's DNS: a root, top-level domains, the provider, a foreign operator and the customers' zones, served
by four NSD processes on loopback addresses that share one port.

The tree is a small JSON document. Every change rewrites the zone files it touches, reloads their servers and waits
until each address serves the new serial, so that a caller sees the change at once."""

import ipaddress
import json
import signal
import subprocess
import time
from pathlib import Path

from dns_query import soa_serial
from processes import wait_until

STABLE_TTL = 60
CHANGING_TTL = 0  # customers' zones and delegations: a change counts at once, whatever somebody has asked before
NET = "127.53.0."
ROOT_SERVERS = {"a.root": NET + "1", "b.root": NET + "2"}
TLD_SERVERS = {"a.nic.test": NET + "3", "b.nic.test": NET + "4"}
FOREIGN_SERVERS = {"ns1.elsewhere.test": NET + "61", "ns2.elsewhere.test": NET + "62"}
FIRST_PROVIDER = 11
SETTLED_ANSWERS = 24
GRAY = {"A": ["198.51.100.20"], "AAAA": ["2001:db8:9a9::20"]}
PROVIDER_POOL = [f"ns{number}.provider.test" for number in range(1, 9)]


def parent_of(name):
    return name.partition(".")[2]


def edge_records(prefixes):
    """One address inside the edge for each family there is."""
    records = {}
    for text in prefixes:
        prefix = ipaddress.ip_network(text, strict=False)
        host = prefix.network_address + min(10, prefix.num_addresses - 1)
        records.setdefault("A" if prefix.version == 4 else "AAAA", [str(host)])
    return records


class DnsTree:
    def __init__(self, directory, port, processes):
        self.directory = Path(directory)
        self.port = port
        self.processes = processes
        self.file = self.directory / "tree.json"
        self.tree = json.loads(self.file.read_text()) if self.file.exists() else None

    # What is in the tree

    def create(self, name_servers, edge_prefixes):
        """Lays the tree out, unless an earlier run did."""
        if self.tree is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        addresses = {name: NET + str(FIRST_PROVIDER + at) for at, name in enumerate(name_servers)}
        self.tree = {"serial": 1, "name_servers": addresses, "edge": edge_records(edge_prefixes), "customers": {}}
        self._save()
        for group in self._groups():
            self._write_group(group)

    def _save(self):
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(self.tree, indent=1))
        temporary.replace(self.file)

    def _tlds(self):
        return sorted({"test"} | {name.split(".")[-1] for name in self.tree["name_servers"]})

    def _provider_zones(self):
        return sorted({".".join(name.split(".")[-2:]) for name in self.tree["name_servers"]})

    def _groups(self):
        return ["root", "tld", "provider", "foreign"]

    def addresses(self, group):
        return {"root": ROOT_SERVERS, "tld": TLD_SERVERS, "foreign": FOREIGN_SERVERS,
                "provider": self.tree["name_servers"]}[group]

    def zones(self, group):
        """The zones that a group of servers answers for. The provider keeps answering for a zone that left."""
        customers = list(self.tree["customers"])
        moved = [name for name, zone in self.tree["customers"].items() if zone["is_elsewhere"]]
        return {"root": [""], "tld": self._tlds(), "provider": self._provider_zones() + customers,
                "foreign": ["elsewhere.test"] + moved}[group]

    def zone_of(self, name):
        """The customer's zone that holds the name."""
        zone = name.removeprefix("*.")
        while zone and zone not in self.tree["customers"]:
            zone = parent_of(zone)
        if not zone:
            raise SystemExit(f"sandbox: {name} is in no customer's zone of this tree; `dns delegate` adds a zone")
        return zone

    # Zone files

    def _servers_of(self, zone, group):
        if zone in self.tree["customers"]:
            return self._delegation(zone) if group != "provider" else self.tree["customers"][zone]["assigned"]
        return list(self.addresses(group))

    def _delegation(self, zone):
        entry = self.tree["customers"][zone]
        return list(FOREIGN_SERVERS) if entry["is_elsewhere"] else entry["assigned"]

    def _cuts(self, zone):
        """{child: name servers} of the delegations that a zone holds."""
        if zone == "":
            return {tld: list(TLD_SERVERS) for tld in self._tlds()}
        cuts = {name: self._delegation(name) for name in self.tree["customers"] if self._parent_zone(name) == zone}
        if zone in self._tlds():
            cuts |= {name: [server for server in self.tree["name_servers"] if server.endswith("." + name)]
                     for name in self._provider_zones() if parent_of(name) == zone}
            if zone == "test":
                cuts["elsewhere.test"] = list(FOREIGN_SERVERS)
        return cuts

    def _parent_zone(self, name):
        zone = parent_of(name)
        while zone and zone not in self.tree["customers"] and zone not in self._tlds():
            zone = parent_of(zone)
        return zone

    def _zone_text(self, zone, group):
        servers = self._servers_of(zone, group)
        known = {**ROOT_SERVERS, **TLD_SERVERS, **FOREIGN_SERVERS, **self.tree["name_servers"]}
        customers = self.tree["customers"]
        ttl = CHANGING_TTL if zone in customers else STABLE_TTL
        lines = [f"$TTL {ttl}", f"{zone}. SOA {servers[0]}. hostmaster.{zone or 'root'}. "
                 f"{self.tree['serial']} 3600 600 86400 {CHANGING_TTL}"]
        cuts = self._cuts(zone)
        for owner, names in [(zone, servers), *cuts.items()]:
            lines += [f"{owner}. {CHANGING_TTL if owner in customers else ttl} NS {name}." for name in names]
        glued = {name for names in [servers, *cuts.values()] for name in names}
        lines += [f"{name}. A {known[name]}" for name in sorted(glued)
                  if name in known and (zone == "" or name.endswith("." + zone))]
        records = customers.get(zone, {}).get("records", {})
        lines += [f"{owner}. {kind} {value}" for owner, kinds in records.items()
                  for kind, values in kinds.items() for value in values]
        return "\n".join(dict.fromkeys(lines)) + "\n"

    def _write_group(self, group):
        folder = self.directory / group
        folder.mkdir(exist_ok=True)
        for zone in self.zones(group):
            (folder / f"{zone or 'root'}.zone").write_text(self._zone_text(zone, group))
        lines = ["server:", *[f"  ip-address: {address}@{self.port}" for address in self.addresses(group).values()],
                 "  server-count: 1", '  username: ""', f'  zonesdir: "{folder}"', '  database: ""', '  pidfile: ""',
                 f'  zonelistfile: "{folder}/zone.list"', f'  xfrdfile: "{folder}/xfrd.state"',
                 f'  xfrdir: "{folder}"', "  rrl-ratelimit: 0", "  reuseport: no",
                 "remote-control:", "  control-enable: yes", f'  control-interface: "{self._control(group)}"']
        for zone in self.zones(group):
            lines += ["zone:", f'  name: "{zone or "."}"', f'  zonefile: "{zone or "root"}.zone"']
        (folder / "nsd.conf").write_text("\n".join(lines) + "\n")

    def _control(self, group):
        return self.processes.directory / f"nsd-{group}.sock"

    # Servers

    def start(self):
        for group in self._groups():
            self._write_group(group)
            self.processes.start(f"nsd-{group}", ["nsd", "-d", "-c", str(self.directory / group / "nsd.conf")])
        for group in self._groups():
            self._wait_served(group)

    def _is_served(self, group):
        return all(soa_serial(address, self.port, zone or ".") == self.tree["serial"]
                   for zone in self.zones(group) for address in self.addresses(group).values())

    def _wait_served(self, group, seconds=15):
        name = f"nsd-{group}"

        def ended():
            return self.processes.pid(name) is None

        is_served = wait_until(lambda: ended() or self._is_served(group), seconds)
        if not is_served or ended():
            raise SystemExit(f"sandbox: {name} does not serve its zones:\n{self.processes.log_tail(name)}")

    def commit(self):
        """Writes the tree as it is now and returns when every server serves it."""
        before = {group: (self.directory / group / "nsd.conf").read_text() for group in self._groups()}
        self.tree["serial"] += 1
        self._save()
        for group in self._groups():
            self._write_group(group)
            configuration = self.directory / group / "nsd.conf"
            if configuration.read_text() != before[group]:
                subprocess.run(["nsd-control", "-c", str(configuration), "reconfig"], check=True,
                               stdout=subprocess.DEVNULL, timeout=20)
            self.processes.send_signal(f"nsd-{group}", signal.SIGHUP)
        for group in self._groups():
            self._wait_served(group)
            self._wait_settled(group)

    def _wait_settled(self, group):
        """NSD's processes with the former zones answer beside the new ones until they have ended; both read the same
        socket, so many answers in a row from new ones mean that only those are left."""
        zone = self.zones(group)[0]
        wanted, in_a_row = SETTLED_ANSWERS, 0
        deadline = time.monotonic() + 15
        while in_a_row < wanted:
            if time.monotonic() > deadline:
                raise SystemExit(f"sandbox: nsd-{group} goes on answering with its former zones")
            are_new = all(soa_serial(address, self.port, zone or ".") == self.tree["serial"]
                          for address in self.addresses(group).values())
            in_a_row = in_a_row + 1 if are_new else 0

    # Changes; each is followed by commit()

    def delegate(self, zone, name_servers):
        """Gives a zone, new or known, to these name servers of the provider."""
        entry = self.tree["customers"].setdefault(zone, {"records": {}})
        if not entry["records"]:
            entry["records"] = {zone: dict(self.tree["edge"]), f"*.{zone}": dict(self.tree["edge"])}
        entry["assigned"] = list(name_servers)
        entry["is_elsewhere"] = False

    def undelegate(self, zone):
        if zone not in self.tree["customers"]:
            self.delegate(zone, list(self.tree["name_servers"])[:2])
        self.tree["customers"][zone]["is_elsewhere"] = True

    def _records(self, name):
        return self.tree["customers"][self.zone_of(name)]["records"].setdefault(name, {})

    def point(self, name, records):
        """Replaces the addresses of a name, or its CNAME, and keeps its other records."""
        kept = {kind: values for kind, values in self._records(name).items() if kind not in ("A", "AAAA", "CNAME")}
        self._records(name).clear()
        self._records(name).update(kept | records)

    def proxy(self, name):
        self.point(name, dict(self.tree["edge"]))

    def gray(self, name):
        self.point(name, dict(GRAY))

    def add(self, name, kind, value):
        values = self._records(name).setdefault(kind, [])
        if value not in values:
            values.append(value)

    def remove(self, name, kind, value=None):
        records = self._records(name)
        kept = [each for each in records.get(kind, []) if value is not None and each != value]
        records.pop(kind, None)
        if kept:
            records[kind] = kept
        if not records:
            del self.tree["customers"][self.zone_of(name)]["records"][name]
