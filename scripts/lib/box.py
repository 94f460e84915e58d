"""One sandbox: its folder, its parts, its customers, and what it tells others about itself (DIR/env)."""

import contextlib
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from admin_api import AdminClient, AdminError
from builds import server_program
from certificates import make_listener_certificate
from dns_tree import NET, PROVIDER_POOL, ROOT_SERVERS, DnsTree
from processes import Processes, wait_until
from server_config import issuers_for, render, sections_for

CUSTOMERS = {"alice": ["shop.test", "blog.test"], "bob": ["rival.test"]}
EDGE_PREFIXES = ["203.0.113.0/24", "2001:db8:ed9e::/48"]
DEFAULT_OPTIONS = {"port_base": 9400, "workers": 2, "no_eab": False, "root_hints": None, "dns_port": None,
                   "name_servers": PROVIDER_POOL, "edge_prefixes": EDGE_PREFIXES, "limits": None, "set": []}
PKCS11_MODULES = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"]
LOOPBACK = ("127.0.0.1", "::1")
RUN_DIRECTORY_MAX = 80  # its sockets must fit into sun_path


def check_host_name():
    """The URLs name "localhost", which a bare root (debootstrap's) does not know."""
    try:
        found = {each[4][0] for each in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)}
    except OSError as error:
        found = {error.strerror or str(error)}
    if not found <= set(LOOPBACK):
        raise SystemExit(f'sandbox: "localhost" is to be {LOOPBACK[0]} here and is: {", ".join(sorted(found))}; '
                         f"add the line `{LOOPBACK[0]} localhost` to /etc/hosts")


class Sandbox:
    TOKEN = "originca"

    def __init__(self, directory):
        self.directory = Path(directory).resolve()
        self.state_file = self.directory / "sandbox.json"
        self.program = None  # originca-server, once up() has built it
        self.state = json.loads(self.state_file.read_text()) if self.state_file.exists() else None

    def save(self):
        temporary = self.state_file.with_suffix(".new")
        with open(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self.state, file, indent=1)
        temporary.replace(self.state_file)

    # Names of things

    @property
    def options(self):
        return self.state["options"]

    @property
    def run(self):
        return Path(self.state["run"])

    @property
    def processes(self):
        return Processes(self.run, self.directory / "log")

    @property
    def admin_socket(self):
        return self.run / "admin.sock"

    @property
    def redis_socket(self):
        return self.run / "redis.sock"

    @property
    def has_own_dns(self):
        return self.options["root_hints"] is None

    @property
    def root_hints(self):
        return self.directory / "root.hints" if self.has_own_dns else self.options["root_hints"]

    @property
    def dns_port(self):
        return self.options["dns_port"] or self.options["port_base"] + 2

    @property
    def pkcs11_module(self):
        found = next((path for path in PKCS11_MODULES if os.path.exists(path)), None)
        if found is None:
            raise SystemExit("sandbox: SoftHSM's libsofthsm2.so is not installed (package softhsm2)")
        return found

    @property
    def admin(self):
        return AdminClient(self.admin_socket)

    @property
    def tree(self):
        return DnsTree(self.directory / "dns", self.dns_port, self.processes)

    @property
    def token_environment(self):
        return {"SOFTHSM2_CONF": str(self.directory / "softhsm2.conf")}

    def listen_addresses(self, port):
        """Loopback in both families: clients try what "localhost" resolves to first."""
        addresses = [f"127.0.0.1:{port}"]
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            addresses.append(f"[::1]:{port}")
        return addresses

    # Laying out

    def lay_out(self, options):
        if self.state is None:
            if self.directory.exists() and any(self.directory.iterdir()):
                raise SystemExit(f"sandbox: {self.directory} is not empty and holds no sandbox")
            self.directory.mkdir(parents=True, exist_ok=True)
            run = self.directory / "run"
            if len(str(run)) > RUN_DIRECTORY_MAX:
                run = Path(tempfile.mkdtemp(prefix="originca-"))
            self.state = {"options": DEFAULT_OPTIONS | options, "run": str(run), "customers": {}}
            self.directory.chmod(0o700)
        else:
            self._adopt(options)
        for path in (self.run, self.directory / "log", self.directory / "redis", self.directory / "tokens",
                     self.directory / "ledger"):
            path.mkdir(mode=0o700, exist_ok=True)
        self.save()

    def _adopt(self, options):
        """Options of an earlier `up` hold unless given again; a running server keeps its own."""
        changed = {name: value for name, value in options.items() if value != self.options[name]}
        if changed and self.processes.pid("server"):
            raise SystemExit(f"sandbox: {', '.join(sorted(changed))} cannot change while it runs; first: "
                             f"scripts/sandbox down --keep --dir {self.directory}")
        self.options.update(changed)

    def check_ports(self):
        if self.processes.pid("server"):
            return
        ports = [("127.0.0.1", self.options["port_base"] + at, socket.SOCK_STREAM) for at in (0, 1)]
        if self.has_own_dns and not self.processes.pid("nsd-root"):
            ports.append((NET + "1", self.dns_port, socket.SOCK_DGRAM))
        for address, port, kind in ports:
            with socket.socket(socket.AF_INET, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port))
                except OSError as error:
                    raise SystemExit(f"sandbox: {address} port {port}: {error.strerror}; choose other ports with "
                                     "--port-base N") from None

    # Parts

    def start_redis(self):
        configuration = self.directory / "redis.conf"
        configuration.write_text(
            f'port 0\nunixsocket "{self.redis_socket}"\nunixsocketperm 700\ndir "{self.directory}/redis"\n'
            'appendonly yes\nappendfsync always\nmaxmemory-policy noeviction\nsave ""\ndaemonize no\n')
        self.processes.start("redis", ["redis-server", str(configuration)])
        self._expect("redis", wait_until(self._redis_answers, 20))

    def _redis_answers(self):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(self.redis_socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False

    def make_token(self):
        configuration, pin_file = self.directory / "softhsm2.conf", self.directory / "pin"
        configuration.write_text(f"directories.tokendir = {self.directory}/tokens\nobjectstore.backend = file\n"
                                 "log.level = ERROR\nslots.removable = false\n")
        if pin_file.exists():
            return
        pin = secrets.token_hex(8)
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", self.TOKEN, "--pin", pin, "--so-pin",
                        secrets.token_hex(8)], check=True, stdout=subprocess.DEVNULL, timeout=30,
                       env={**os.environ, **self.token_environment})
        with open(os.open(pin_file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(pin + "\n")

    def start_dns(self):
        if not self.has_own_dns:
            return
        tree = self.tree
        tree.create(self.options["name_servers"], self.options["edge_prefixes"])
        hints = [f". 3600000 NS {name}.\n{name}. 3600000 A {address}\n" for name, address in ROOT_SERVERS.items()]
        self.root_hints.write_text("".join(hints))
        tree.start()

    def run_server_tool(self, *arguments):
        command = [self.program, "-c", str(self.directory / "originca.conf"), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120,
                                env={**os.environ, **self.token_environment})
        if result.returncode:
            raise SystemExit(f"sandbox: {' '.join(command)} failed:\n{result.stdout}{result.stderr}")

    def start_server(self):
        if not self.processes.pid("server"):
            (self.directory / "originca.conf").write_text(render(sections_for(self), issuers_for(self)))
            self.run_server_tool("ca", "init")
            self.run_server_tool("--check-config")
            self.processes.start("server", [self.program, "-c", str(self.directory / "originca.conf")],
                                 self.token_environment)
        answers = []

        def is_ready():
            answers[:] = self.admin.readiness()
            return (answers[0] and self._all_workers_serve()) or self.processes.pid("server") is None

        wait_until(is_ready, 60)
        self._expect("server", answers[0], f"\n/readyz: {answers[1]}")

    def _all_workers_serve(self):
        """Whoever answers /readyz speaks for itself."""
        values = [value for name, value in self.admin.metrics().items() if name.startswith("originca_worker_ready")]
        return len(values) == self.options["workers"] and all(value == 1 for value in values)

    def _expect(self, part, is_good, remark=""):
        if not is_good or self.processes.pid(part) is None:
            raise SystemExit(f"sandbox: {part} does not come up; the end of {self.processes.log(part)}:\n"
                             f"{self.processes.log_tail(part, 40)}{remark}")

    # Customers

    def onboard(self):
        for name, zones in CUSTOMERS.items():
            customer = self.state["customers"].setdefault(name, {"zones": {}})
            if "id" not in customer:
                customer["id"] = self._create_customer(name)
            if "eab" not in customer:
                customer["eab"] = self.admin.post(f"customers/{customer['id']}/eab-keys")
            for kind in ("service-key", "token"):
                if kind not in customer.setdefault("api", {}):
                    made = self.admin.post(f"customers/{customer['id']}/api-keys", {"kind": kind, "name": "sandbox"})
                    customer["api"][kind] = made["key"]
            for zone in zones:
                if zone not in customer["zones"]:
                    customer["zones"][zone] = self._create_zone(zone, customer["id"])["id"]
            self.save()
        if self.has_own_dns:
            self._delegate_to_assigned([zone for zones in CUSTOMERS.values() for zone in zones])

    def _create_customer(self, name):
        try:
            return self.admin.post("customers", {"name": name})["id"]
        except AdminError as error:
            if error.status != 409:
                raise
            return name  # made by an `up` that was interrupted; a name serves as id

    def _create_zone(self, name, customer):
        try:
            return self.admin.post("zones", {"name": name, "customer": customer})
        except AdminError as error:
            if error.status != 409:
                raise
            return self.admin.get(f"zones/{name}")

    def _delegate_to_assigned(self, zones):
        tree = self.tree
        pending = [zone for zone in zones if zone not in tree.tree["customers"]]
        for zone in pending:
            tree.delegate(zone, self.admin.get(f"zones/{zone}")["name_servers"])
        if pending:
            tree.commit()
        for zone in pending:
            answer = {}

            def is_active(zone=zone, answer=answer):
                answer.update(self.admin.post(f"zones/{zone}/check"))
                return answer["status"] == "active"

            if not wait_until(is_active, 30, pause=0.5):
                raise SystemExit(f"sandbox: zone {zone} does not become active: {json.dumps(answer, indent=1)}")

    # What others read

    def environment(self):
        base = self.options["port_base"]
        values = {
            "DIRECTORY_URL": f"https://localhost:{base}/acme/directory",
            "API_URL": f"https://localhost:{base}/client/v4",
            "HTTP_URL": f"http://localhost:{base + 1}",
            "DASHBOARD_URL": f"https://localhost:{base}/",
            "ADMIN_SOCKET": self.admin_socket,
            "CA_BUNDLE": self.directory / "tls" / "ca.pem",
            "ISSUER_ECC": self.directory / "issuer-ecc.pem",
            "ISSUER_RSA": self.directory / "issuer-rsa.pem",
        }
        for suffix, name in (("", "alice"), ("_2", "bob")):
            customer = self.state["customers"][name]
            values[f"CUSTOMER{suffix}"] = name
            values[f"EAB_KID{suffix}"] = customer["eab"]["kid"]
            values[f"EAB_HMAC{suffix}"] = customer["eab"]["hmac"]
            values[f"API_KEY{suffix}"] = customer["api"]["service-key"]
            values[f"API_TOKEN{suffix}"] = customer["api"]["token"]
            for key, zone in zip(("ZONE", "ZONE_B") if not suffix else ("ZONE_2",), CUSTOMERS[name]):
                values[key] = zone
                values[f"{key}_ID"] = customer["zones"][zone]
        values |= {
            "SERVER_PID": self.processes.pid("server"),
            "REDIS_SOCKET": self.redis_socket,
            "PKCS11_MODULE": self.pkcs11_module,
            "PKCS11_TOKEN": self.TOKEN,
            "PKCS11_PIN_FILE": self.directory / "pin",
            "SOFTHSM2_CONF": self.token_environment["SOFTHSM2_CONF"],
            "CONFIG": self.directory / "originca.conf",
            "LOG": self.processes.log("server"),
            "DNS_ROOT_HINTS": self.root_hints,
            "DNS_PORT": self.dns_port,
            "NAME_SERVERS": ",".join(self.options["name_servers"]),
            "EDGE_PREFIXES": ",".join(self.options["edge_prefixes"]),
        }
        return values

    def write_environment(self):
        text = "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in self.environment().items())
        path = self.directory / "env"
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    # Commands

    def up(self, options):
        check_host_name()
        self.lay_out(options)
        self.check_ports()
        self.program = server_program()
        self.start_redis()
        self.make_token()
        if not (self.directory / "tls" / "server.pem").exists():
            make_listener_certificate(self.directory / "tls")
        self.start_dns()
        self.start_server()
        self.onboard()
        self.write_environment()
        self.report()

    def parts(self):
        return ["server", *[f"nsd-{group}" for group in ("foreign", "provider", "tld", "root")], "redis"]

    def report(self):
        print(f"sandbox in {self.directory}")
        for part in reversed(self.parts()):
            pid = self.processes.pid(part)
            if pid:
                print(f"  {part:13} pid {pid:<8} log {self.processes.log(part)}")
        values = self.environment()
        print(f"  ACME directory {values['DIRECTORY_URL']}\n  admin socket   {values['ADMIN_SOCKET']}\n"
              f"  settings       {self.directory}/env")

    def down(self, keep):
        killed = [part for part in self.parts() if self.processes.stop(part)]
        for part in killed:
            print(f"sandbox: {part} did not end by itself and was killed", file=sys.stderr)
        if keep:
            return
        if self.run != self.directory / "run":
            shutil.rmtree(self.run, ignore_errors=True)
        shutil.rmtree(self.directory)
