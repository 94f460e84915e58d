"""`originca admin import`, `search` and `top`: what a provider's staff does with many customers at once, against a
real server. Rows that cannot be done must be named with their line, and doing a file twice must change nothing."""

import json
import os
import pty
import re
import secrets
import select
import subprocess
import time

import pytest

from admin_api import AdminError
from cli_tools import Shell
from under_test import wait_until


@pytest.fixture
def shell(sandbox, tmp_path):
    return Shell(tmp_path, sandbox)


@pytest.fixture
def tool(sandbox, shell):
    """`originca admin ...` in a folder of its own."""
    def call(*arguments, **options):
        return shell.run("admin", "--socket", sandbox["ADMIN_SOCKET"], *arguments, **options)
    return call


@pytest.fixture
def fresh(sandbox):
    """Names of customers and zones that nobody has; the zones are off-boarded in the end."""
    made = []

    def name(kind):
        made.append(f"{kind}-{secrets.token_hex(4)}" + (".test" if kind == "zone" else ""))
        return made[-1]
    yield name
    for each in made:
        if not each.endswith(".test"):
            continue
        try:
            sandbox.admin.delete(f"zones/{each}")
        except AdminError as error:
            assert error.status in (404, 409), error


def zones_of(sandbox, customer):
    return sorted(zone["name"] for zone in sandbox.listing(f"zones?customer={customer}"))


# import: CSV


def test_import_makes_the_customers_and_zones_of_a_csv_file_and_again_nothing(sandbox, shell, tool, fresh):
    first, second = fresh("imported"), fresh("imported")
    zones = [fresh("zone") for _ in range(5)]
    shell.write("zones.csv", "\ufeff# from the old system\n"
                             "zone,note,customer\r\n"
                             f"{zones[0]},plain,{first}\r\n"
                             f'"{zones[1]}","a ""quoted"", note\nof two lines",{first}\n'
                             "\n# a comment\n"
                             f"  {zones[2]} , , {second} \n"
                             f'{zones[3]},,"{second}"\n'
                             f",a customer alone,{fresh('imported')}\n"
                             f"{zones[4]},,{first}")
    made = tool("import", "zones.csv", "--json").json
    assert (made["rows"], made["done"], made["customers_created"], made["zones_created"]) == (6, 6, 3, 5)
    assert made["existed"] == 0 and made["failed"] == [] and made["complete"] is True
    assert zones_of(sandbox, first) == sorted([zones[0], zones[1], zones[4]])
    assert zones_of(sandbox, second) == sorted(zones[2:4])
    again = tool("import", "zones.csv", "--json").json
    assert (again["done"], again["customers_created"], again["zones_created"], again["existed"]) == (6, 0, 0, 6)


def test_import_names_each_failed_row_with_its_line_and_does_the_others(sandbox, shell, tool, fresh):
    customer, good = fresh("imported"), [fresh("zone"), fresh("zone")]
    shell.write("bad.csv", "customer,zone\n"                 # 1
                           f"{customer},{good[0]}\n"         # 2
                           f"{customer},co.uk\n"             # 3: a public suffix
                           f'"a b",{fresh("zone")}\n'        # 4: no name of a customer
                           "\n"
                           f"{customer}\n"                   # 6: a field too few
                           f",{good[0]}\n"                   # 7: no customer
                           f'{customer},"{good[0]}"x\n'      # 8: text behind a quote
                           f"{customer},{good[1]}\n")        # 9
    result = tool("import", "bad.csv", status=1)
    assert re.findall(r"^bad\.csv:(\d+): ", result.err, re.M) == ["3", "4", "6", "7", "8"], result.err
    assert "public suffix" in result.err and "letters, digits" in result.err
    assert "2 of 7 rows done: 1 customers and 2 zones created" in result.out
    assert zones_of(sandbox, customer) == sorted(good)
    failed = tool("import", "bad.csv", "--json", status=1).json
    assert [each["line"] for each in failed["failed"]] == [3, 4, 6, 7, 8] and failed["existed"] == 2
    assert failed["failed"][0]["zone"] == "co.uk" and failed["failed"][0]["customer"] == customer


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_import_takes_no_id_of_a_customer_as_a_name(sandbox, shell, tool, fresh, options):
    victim = sandbox.admin.post("customers", {"name": fresh("victim")})
    shell.write("ids.csv", f"customer,zone\n{victim['id']},{fresh('zone')}\n{'A1' * 16},{fresh('zone')}\n")
    result = tool("import", "ids.csv", *options, status=1)
    assert result.err.count("form of a customer's id") == 2, result.err
    assert zones_of(sandbox, victim["id"]) == []


def test_import_resumes_where_an_earlier_run_stopped(sandbox, shell, tool, fresh):
    customer, zones = fresh("imported"), [fresh("zone") for _ in range(4)]
    rows = ["customer,zone\n"] + [f"{customer},{zone}\n" for zone in zones]
    shell.write("zones.csv", "".join(rows[:3]))
    tool("import", "zones.csv")
    shell.write("zones.csv", "".join(rows))
    rest = tool("import", "zones.csv", "--json").json
    assert (rest["customers_created"], rest["zones_created"], rest["existed"]) == (0, 2, 2)
    assert zones_of(sandbox, customer) == sorted(zones)


def test_import_stops_with_3_where_there_is_no_server_and_says_how_to_go_on(shell, tmp_path):
    shell.write("zones.csv", "customer,zone\n" + "".join(f"c,z{at}.test\n" for at in range(50)))
    result = shell.run("admin", "--socket", tmp_path / "none", "import", "zones.csv", status=3)
    assert "goes on from here" in result.err and "0 of 50 rows done" in result.out


def test_import_of_a_zone_that_another_customer_has_makes_it_for_both(sandbox, shell, tool, fresh):
    one, other, zone = fresh("imported"), fresh("imported"), fresh("zone")
    shell.write("zones.csv", f"customer,zone\n{one},{zone}\n{other},{zone}\n")
    assert tool("import", "zones.csv", "--json").json["zones_created"] == 2
    for each in (one, other):
        assert zones_of(sandbox, each) == [zone]
        sandbox.admin.delete(f"zones/{zone}?customer={each}")


def test_import_that_names_one_customer_in_many_rows_at_once_makes_it_once(sandbox, shell, tool, fresh):
    customer, zones = fresh("imported"), [fresh("zone") for _ in range(24)]
    shell.write("zones.csv", "customer,zone\n" + "".join(f"{customer},{zone}\n" for zone in zones))
    made = tool("import", "zones.csv", "--json").json
    assert (made["customers_created"], made["zones_created"], made["failed"]) == (1, 24, [])
    assert zones_of(sandbox, customer) == sorted(zones)


@pytest.mark.parametrize("text, hint", [
    ("", "header"), ("a.test,alice\n", "header"), ("customer;zone\n", "header"), ("customer,name\n", "header"),
    ("# only a comment\n", "header"),
])
def test_import_of_a_csv_without_the_two_columns_does_nothing(shell, tool, text, hint):
    shell.write("zones.csv", text)
    assert hint in tool("import", "zones.csv", status=4).err


def test_import_says_where_a_row_is_no_text(shell, tool, fresh):
    (shell.directory / "zones.csv").write_bytes(b"customer,zone\nm\xfcller,a.test\nx,a\0b.test\n"
                                                b'"never closed,b.test\n')
    failed = tool("import", "zones.csv", "--json", status=1).json["failed"]
    assert [each["line"] for each in failed] == [2, 3, 4]
    assert ["UTF-8" in failed[0]["reason"], "zero byte" in failed[1]["reason"], "closed" in failed[2]["reason"]] \
        == [True] * 3


def test_import_shows_no_control_characters_of_a_file(shell, tool):
    shell.write("zones.csv", "customer,zone\na\033[2Jb,x.test\n")
    result = tool("import", "zones.csv", status=1)
    assert "\033" not in result.out + result.err and "zones.csv:2: a?[2Jb" in result.err


def test_import_draws_a_progress_bar_on_a_terminal_and_none_in_a_pipe(sandbox, shell, tool, fresh):
    customer, zones = fresh("imported"), [fresh("zone") for _ in range(3)]
    shell.write("zones.csv", "customer,zone\n" + "".join(f"{customer},{zone}\n" for zone in zones))
    seen = shell.terminal("admin", "--socket", sandbox["ADMIN_SOCKET"], "import", "zones.csv").out
    assert "3/3" in seen and "###" in seen
    assert "#" not in tool("import", "zones.csv").err


# import: JSON


def test_import_takes_json_from_a_pipe_and_names_the_lines_of_its_zones(sandbox, tool, fresh):
    customer, alone, zones = fresh("imported"), fresh("imported"), [fresh("zone"), fresh("zone")]
    text = (f'[\n  {{"zones": ["{zones[0]}",\n    "com",\n    "{zones[1]}"], "customer": "{customer}"}},\n'
            f'  {{"customer": "{alone}"}},\n  7,\n  {{"customer": "x", "zone": ["a.test"]}},\n'
            '  {"customer": {"a": "b"}, "zones": ["c"]}, {"customer": "y",\n "zones": [""]}\n]\n')
    result = tool("import", "-", "--json", stdin=text, status=1).json
    assert result["customers_created"] == 2 and result["zones_created"] == 2
    assert [each["line"] for each in result["failed"]] == [3, 6, 7, 8, 9], result
    assert result["failed"][0]["zone"] == "com"
    assert zones_of(sandbox, customer) == sorted(zones) and zones_of(sandbox, alone) == []
    again = tool("import", "-", "--format", "json", "--json", stdin=text, status=1).json
    assert again["existed"] == 3 and again["zones_created"] == 0


@pytest.mark.parametrize("text, hint", [("{", "line 1"), ('{"customer": "a"}', "array"), ("[1,]", "line 1")])
def test_import_of_a_file_that_is_no_json_array_does_nothing(shell, tool, text, hint):
    shell.write("zones.json", text)
    assert hint in tool("import", "zones.json", status=4).err


def test_import_refuses_wrong_use(shell, tool):
    assert "csv or json" in tool("import", "x", "--format", "xml", status=2).err
    assert "cannot read" in tool("import", "absent.csv", status=4).err
    assert "Usage" in tool("import", status=2).err


# import --dry-run


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(sandbox, shell, tool, fresh):
    customer, zone, known = fresh("imported"), fresh("zone"), sandbox["CUSTOMER"]
    shell.write("zones.csv", f"customer,zone\n{customer},{zone}\n{customer},{zone}\n{known},{sandbox['ZONE']}\n"
                             f"{customer},com\n{'x' * 101},a.test\n")
    planned = tool("import", "zones.csv", "--dry-run", "--json", status=1).json
    assert (planned["customers_created"], planned["zones_created"], planned["existed"]) == (1, 1, 2), planned
    assert [each["line"] for each in planned["failed"]] == [5, 6] and planned["dry_run"] is True
    with pytest.raises(AdminError) as caught:
        sandbox.admin.get(f"customers/{customer}")
    assert caught.value.status == 404
    done = tool("import", "zones.csv", "--json", status=1).json
    # Not "existed": of two equal rows at once, one may make the customer and the other the zone.
    same = ("customers_created", "zones_created")
    assert [done[name] for name in same] == [planned[name] for name in same]
    assert [each["line"] for each in done["failed"]] == [5, 6]


# search


@pytest.fixture(scope="module")
def issued(sandbox):
    """A certificate with a wildcard in a zone of its own, its order and its account."""
    zone = sandbox.new_zone()
    client = sandbox.client()
    client.issue([f"www.{zone}", f"*.w.{zone}"])
    client.close()
    certificate = sandbox.certificates(zone)[0]
    yield {"zone": zone, **certificate}
    sandbox.admin.delete(f"zones/{zone}")


def found(tool, *arguments, **options):
    return tool("search", *arguments, "--json", **options).json


def is_in(result, issued):
    return ([each["serial"] for each in result["certificates"]].count(issued["serial"]),
            [each["id"] for each in result["orders"]].count(issued["order"])) == (1, 1)


def hexadecimal(issued):
    return f"{int(issued['serial']):032x}"


@pytest.mark.parametrize("spelling", [
    lambda issued: issued["serial"], lambda issued: hexadecimal(issued), lambda issued: "0x" + hexadecimal(issued),
    lambda issued: hexadecimal(issued).upper(),
    lambda issued: ":".join(re.findall("..", hexadecimal(issued).upper())),
    lambda issued: issued["order"],
], ids=["decimal", "hex", "0x", "upper-case", "colons", "order"])
def test_search_finds_a_certificate_and_its_order_by_serial_and_by_order(tool, issued, spelling):
    result = found(tool, spelling(issued))
    assert is_in(result, issued) and len(result["certificates"]) == len(result["orders"]) == 1


def test_search_finds_by_host_name_by_zone_and_by_what_a_wildcard_covers(tool, issued):
    for name in (f"www.{issued['zone']}", f"WWW.{issued['zone']}", issued["zone"], f"any.w.{issued['zone']}",
                 f"*.w.{issued['zone']}", f"w.{issued['zone']}"):
        result = found(tool, name)
        assert is_in(result, issued), name
        assert [each["name"] for each in result["zones"]] == [issued["zone"]], name
    for name in (f"ww.{issued['zone']}", f"a.b.w.{issued['zone']}"):
        result = found(tool, name)
        assert (result["certificates"], result["orders"]) == ([], []), name


def test_search_finds_by_account_by_customer_name_and_by_customer_id(sandbox, tool, issued):
    assert is_in(found(tool, issued["account"]), issued)
    by_name = found(tool, sandbox["CUSTOMER"], "--all")
    assert is_in(by_name, issued) and by_name["customers"][0]["id"] == issued["customer"]
    assert is_in(found(tool, issued["customer"], "--all"), issued)


def test_search_finds_names_whose_zone_several_customers_have_and_whose_zone_is_gone(sandbox, tool, fresh):
    zone = sandbox.new_zone()
    client = sandbox.client()
    client.issue([zone])
    client.close()
    certificate = sandbox.certificates(zone)[0]
    sandbox.admin.post("zones", {"name": zone, "customer": sandbox["CUSTOMER_2"]})
    assert is_in(found(tool, zone), certificate)
    sandbox.admin.delete(f"zones/{zone}?customer={sandbox['CUSTOMER_2']}")
    sandbox.admin.delete(f"zones/{zone}?customer={sandbox['CUSTOMER']}")
    assert is_in(found(tool, zone, "--all"), certificate)


def test_search_keeps_to_its_limit_and_says_that_there_is_more(sandbox, tool, issued):
    client = sandbox.client()
    client.issue([f"second.{issued['zone']}"])
    client.close()
    few = found(tool, issued["zone"], "--limit", "1")
    assert len(few["certificates"]) == len(few["orders"]) == 1 and few["has_more"] is True
    assert "There are more" in tool("search", issued["zone"], "--limit", "1").err
    assert found(tool, issued["zone"])["has_more"] is False


def test_search_prints_tables_with_the_ids_to_go_on_with(tool, issued):
    result = tool("search", f"www.{issued['zone']}")
    for text in ("orders\nORDER", "certificates\nSERIAL", issued["serial"], issued["order"], issued["account"]):
        assert text in result.out


@pytest.mark.parametrize("text", ["nobody-has-this", "no.such.zone.invalid", "1", "0xzz", "../../x", "a b\n"])
def test_search_for_what_is_not_there_is_1_and_says_so(tool, text):
    assert "nothing found" in tool("search", text, status=1).err


def test_search_without_a_server_is_3(shell, tmp_path):
    assert "cannot reach" in shell.run("admin", "--socket", tmp_path / "none", "search", "x.test", status=3).err
    assert "limit" in shell.run("admin", "search", "x.test", "--limit", "0", status=2).err


# top


def test_top_once_in_a_pipe_is_one_plain_screen(tool, issued):
    result = tool("top", "--once", "--interval", "0.2")
    assert "\033" not in result.out and result.out.count("originca  20") == 1
    for text in ("ready", "certificates", "requests", "DNS checks", "zones", "pending", "expiring in 7 days",
                 "ledger", "p95 ms"):
        assert text in result.out, text


def test_top_counts_every_event_once_whatever_look_it_falls_between(sandbox, shell):
    """The certificate is asked for once the first document is there; the later ones together count it once."""
    zone = sandbox.new_zone()
    client = sandbox.client()
    command = [shell.program, "admin", "--socket", sandbox["ADMIN_SOCKET"], "--json", "top", "--interval", "0.3"]
    counts, steps = {"certificates": 0, "replies_2xx": 0, "dns_checks": 0}, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            json.loads(process.stdout.readline())
            client.issue([zone])
            for _ in range(100):
                numbers = json.loads(process.stdout.readline())
                steps += numbers["slowest_steps"]
                for name in counts:
                    counts[name] += numbers["rates_per_second"][name] * numbers["seconds"]
                if all(count > 0.5 for count in counts.values()):
                    break
        finally:
            process.terminate()
            process.communicate(timeout=30)
    client.close()
    assert counts["certificates"] == pytest.approx(1, abs=0.1) and counts["replies_2xx"] > 0.5, counts
    assert counts["dns_checks"] > 0.5 and numbers["ready"] is True
    assert steps and all(0 < step["p50_ms"] <= step["p95_ms"] and step["count"] >= 1 for step in steps)
    sandbox.admin.delete(f"zones/{zone}")


def test_top_shows_the_states_that_the_admin_api_counts(sandbox, tool, issued):
    numbers = tool("top", "--once", "--json", "--interval", "0.2").json
    stats = sandbox.admin.get("stats")
    assert set(numbers["zones_by_status"]) == set(stats["zones_by_status"])
    assert numbers["customers"] == stats["customers"] and numbers["certificates"] == stats["certificates"] > 0
    assert set(numbers["orders_waiting"]) == {"pending", "processing"}
    assert numbers["certificates_expiring_7d"] == stats["certificates_expiring_7d"]
    assert numbers["ledger_records_behind"] >= 0


def test_top_says_in_words_that_issuing_is_stopped(sandbox, tool):
    sandbox.admin.post("signing", {"allowed": False})
    try:
        result = tool("top", "--once", "--interval", "0.2")
        assert "ALARMS" in result.out and "signing allow" in result.out
        assert any("issuance is stopped for everybody" in each for each in tool("top", "--once", "--json", "--interval",
                                                                "0.2").json["alarms"])
    finally:
        sandbox.admin.post("signing", {"allowed": True})
    sandbox.wait_ready()
    # The refusals of the stop are counted up to a second late, so the first looks may still see them.
    assert wait_until(lambda: "no alarms" in tool("top", "--once", "--interval", "0.2").out, 20)


def screens(command, environment, count, in_terminal):
    """What it writes until `count` screens have begun; it is then interrupted."""
    reader, writer = pty.openpty() if in_terminal else os.pipe()
    process = subprocess.Popen(command, stdout=writer, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                               env=environment)
    os.close(writer)
    output, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline and len(re.findall(rb"originca  20|\"time\"", output)) < count:
        if select.select([reader], [], [], 1)[0]:
            output += os.read(reader, 65536)
    process.terminate()
    process.wait(30)
    os.close(reader)
    return output.decode(errors="replace")


@pytest.mark.parametrize("in_terminal", [True, False], ids=["terminal", "pipe"])
def test_top_renews_its_screen_in_a_terminal_and_writes_blocks_into_a_pipe(sandbox, shell, in_terminal):
    command = [shell.program, "admin", "--socket", sandbox["ADMIN_SOCKET"], "top", "--interval", "0.2"]
    text = screens(command, shell.environment, 3, in_terminal)
    assert len(re.findall(r"originca  20", text)) >= 3
    assert ("\033[H\033[2J" in text) is in_terminal and ("\033" in text) is in_terminal


def test_top_as_json_writes_a_document_a_line(sandbox, shell):
    command = [shell.program, "admin", "--socket", sandbox["ADMIN_SOCKET"], "--json", "top", "--interval", "0.2"]
    text = screens(command, shell.environment, 3, False)
    assert all("rates_per_second" in json.loads(line) for line in text.splitlines()[:2])


def test_top_once_in_a_terminal_leaves_the_screen_alone(sandbox, shell):
    text = shell.terminal("admin", "--socket", sandbox["ADMIN_SOCKET"], "top", "--once", "--interval", "0.2").out
    assert "\033[2J" not in text and "DNS checks" in text


@pytest.mark.parametrize("interval", ["0", "-1", "x", "1x", "1e9", "nan", ""])
def test_top_refuses_an_interval_that_is_no_time(tool, interval):
    assert "--interval" in tool("top", "--once", f"--interval={interval}", status=2).err


def test_top_without_a_server_is_3(shell, tmp_path):
    assert "cannot reach" in shell.run("admin", "--socket", tmp_path / "none", "top", status=3).err
