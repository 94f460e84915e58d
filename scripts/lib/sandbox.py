"""scripts/sandbox: the whole system on loopback, from real parts: up, down, dns, status (INTERFACE.md).

`up` starts whatever does not run, so it also continues after `down --keep` or after a part has died."""

import argparse
import fcntl
import os
import subprocess
from pathlib import Path

from admin_api import AdminError
from box import Sandbox
from builds import ROOT
from server_config import parse_setting


def change_dns(box, verb, name, value):
    if not box.has_own_dns:
        raise SystemExit("sandbox: this sandbox uses somebody else's DNS tree; change that one")
    tree = box.tree
    name = name.rstrip(".").lower()
    if verb == "delegate":
        known = tree.tree["customers"].get(name, {}).get("assigned")
        try:
            assigned = box.admin.get(f"zones/{name}")["name_servers"]
        except (AdminError, OSError):
            assigned = known or list(tree.tree["name_servers"])[:2]
        tree.delegate(name, value.split(",") if value else assigned)
    elif verb == "undelegate":
        tree.undelegate(name)
    elif verb == "proxy":
        tree.proxy(name)
    elif verb == "gray":
        tree.gray(name)
    elif verb == "cname":
        tree.point(name, {"CNAME": [value.rstrip(".") + "."]})
    elif verb == "add-txt":
        tree.add(name, "TXT", f'"{value}"')
    elif verb == "del-txt":
        tree.remove(name, "TXT", f'"{value}"' if value else None)
    tree.commit()


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/sandbox", description=__doc__.splitlines()[0])
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", default=os.environ.get("ORIGINCA_SANDBOX", str(ROOT / ".sandbox")),
                        help="the sandbox's folder (ORIGINCA_SANDBOX, else .sandbox in the repository)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", parents=[common], help="build what is not built, start what does not run")
    up.add_argument("--port-base", type=int, metavar="N", help="HTTPS on N, HTTP on N+1, DNS on N+2 (9400)")
    up.add_argument("--workers", type=int, metavar="N", help="worker processes (2)")
    up.add_argument("--no-eab", action="store_true", help="accounts need no binding; names are proven by dns-01 too")
    up.add_argument("--root-hints", metavar="FILE", help="use somebody else's DNS tree; needs --dns-port")
    up.add_argument("--dns-port", type=int, metavar="N", help="the port of every name server")
    up.add_argument("--name-server", action="append", dest="name_servers", metavar="NAME",
                    help="a name server of the provider (repeatable)")
    up.add_argument("--edge-prefix", action="append", dest="edge_prefixes", metavar="CIDR",
                    help="addresses of the edge (repeatable)")
    up.add_argument("--limits", choices=["production"], help="rate limits as shipped")
    up.add_argument("--set", action="append", metavar="SECTION.KEY=VALUE", help="any other setting (repeatable)")
    down = verbs.add_parser("down", parents=[common], help="end what was started and remove the folder")
    down.add_argument("--keep", action="store_true", help="keep the folder: `up` continues with it")
    dns = verbs.add_parser("dns", parents=[common], help="change the DNS tree; returns when it is served", add_help=False,
                           allow_abbrev=False)
    dns.add_argument("--help", action="help", help="show this help message and exit")
    dns.add_argument("change", choices=["proxy", "gray", "cname", "delegate", "undelegate", "add-txt", "del-txt"])
    dns.add_argument("name")
    dns.add_argument("value", nargs="?", help="text of add-txt and del-txt, target of cname, name servers (a,b) of "
                                              "delegate instead of the assigned ones")
    verbs.add_parser("status", parents=[common], help="print what runs")
    arguments, others = parser.parse_known_args()
    if arguments.verb == "dns" and arguments.value is None and len(others) == 1:
        arguments.value = others.pop()  # one token in 64 begins with "-"
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    return parser, arguments


def given_options(parser, arguments):
    """What the command line says, checked; what it does not say is decided by the sandbox."""
    if (arguments.root_hints is None) != (arguments.dns_port is None):
        parser.error("--root-hints and --dns-port belong together")
    try:
        for text in arguments.set or []:
            parse_setting(text)
    except ValueError as error:
        parser.error(str(error))
    options = {name: value for name, value in vars(arguments).items()
               if name not in ("verb", "dir") and value not in (None, False)}
    if arguments.root_hints:
        options["root_hints"] = str(Path(arguments.root_hints).resolve())
    return options


def main():
    parser, arguments = parse_arguments()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    box = Sandbox(arguments.dir)
    if arguments.verb != "up" and box.state is None:
        parser.exit(1, f"sandbox: there is no sandbox in {box.directory}\n")
    if arguments.verb == "dns" and arguments.change in ("add-txt", "cname") and not arguments.value:
        parser.error(f"{arguments.change} needs a value")
    box.directory.parent.mkdir(parents=True, exist_ok=True)
    with open(box.directory.parent / f".{box.directory.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if arguments.verb == "up":
                box.up(given_options(parser, arguments))
            elif arguments.verb == "down":
                box.down(arguments.keep)
                Path(lock.name).unlink(missing_ok=True)
            elif arguments.verb == "dns":
                change_dns(box, arguments.change, arguments.name, arguments.value)
            else:
                box.report()
        except (AdminError, OSError, subprocess.SubprocessError) as error:
            parser.exit(1, f"sandbox: {error}\n")


if __name__ == "__main__":
    main()
