"""The configuration file that the sandbox writes for originca-server (include/originca/config.h)."""

# A sandbox has one client address, a private top-level domain, and nobody who waits twenty seconds for a zone.
DEFAULTS = {
    "http": {"max_connections_per_address": 10000},
    "acme": {"allowed_special_names": ["test"]},
    "revocation": {"crl_delay_ms": 1000},
    "dns": {"zone_pending_interval_seconds": 2, "dns_referral_max_ttl": 5,
            "allow_addresses": ["127.0.0.0/8", "::1/128"]},
}


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "{" + ", ".join(_value(each) for each in value) + "}"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def parse_setting(text):
    """"dns.dns_deadline_ms=500" of the command line."""
    key, equals, value = text.partition("=")
    section, dot, name = key.partition(".")
    if not (equals and dot and name):
        raise ValueError(f"{text}: expected SECTION.KEY=VALUE")
    typed = int(value) if value.isdigit() else {"true": True, "false": False}.get(value, value)
    return section, name, typed


def render(sections, issuers):
    lines = ["# Written by scripts/sandbox at each `up`."]
    for section, settings in sections.items():
        lines.append(f"{section} {{")
        lines += [f"    {name} = {_value(value)}" for name, value in settings.items()]
        if section == "signer":
            for issuer, values in issuers.items():
                lines.append(f'    issuer "{issuer}" {{')
                lines += [f"        {name} = {_value(value)}" for name, value in values.items()]
                lines.append("    }")
        lines.append("}")
    return "\n".join(lines) + "\n"


def sections_for(box):
    """Every section for a Sandbox (sandbox.py), before --set."""
    options = box.options
    https, http = options["port_base"], options["port_base"] + 1
    sections = {
        "server": {
            "base_url": f"https://localhost:{https}",
            "https_listen": box.listen_addresses(https),
            "http_listen": box.listen_addresses(http),
            "admin_listen": f"unix:{box.admin_socket}",
            "tls_certificate_file": box.directory / "tls" / "server.pem",
            "tls_key_file": box.directory / "tls" / "server-key.pem",
            "secret_file": box.directory / "secret",
            "operator_secret_file": box.directory / "operator-secret",
            "run_directory": box.run,
            "workers": options["workers"],
            "drain_seconds": 10,
        },
        "http": {},
        "acme": {"external_account_required": not options["no_eab"], "caa_identities": ["provider.test"]},
        "redis": {"redis_socket": box.redis_socket},
        "dns": {
            "root_hints_file": box.root_hints,
            "dns_port": box.dns_port,
            "name_server_pool": options["name_servers"],
            "edge_prefixes": options["edge_prefixes"],
        },
        "signer": {
            "pkcs11_module": box.pkcs11_module,
            "pkcs11_pin_file": box.directory / "pin",
            "ledger_directory": box.directory / "ledger",
            "host_name": "sandbox",
        },
    }
    for section, settings in DEFAULTS.items():
        sections.setdefault(section, {}).update(settings)
    if options["limits"] != "production":  # out of the way, so that tests can order as fast as they like
        sections["limits"] = {name: 0 for name in ("accounts_per_address", "orders_per_customer", "names_per_zone",
                                                   "requests_per_key", "checks_per_name", "checks_per_customer",
                                                   "checks_per_zone", "failed_checks_per_customer",
                                                   "revocations_per_customer", "revocations_per_customer_day",
                                                   "failed_check_pause_seconds")}
    for text in options["set"]:
        section, name, value = parse_setting(text)
        sections.setdefault(section, {})[name] = value
    return sections


def issuers_for(box):
    http = f"http://localhost:{box.options['port_base'] + 1}"
    # Short, because each handshake carries it: doc/certificates.md.
    return {name: {"key_uri": f"pkcs11:token={box.TOKEN};object={name};type=private",
                   "certificate_file": box.directory / f"issuer-{name}.pem",
                   "crl_url": f"{http}/crl/{name[0]}{{shard}}", "ocsp_url": f"{http}/ocsp"} for name in ("ecc", "rsa")}
