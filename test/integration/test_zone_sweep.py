"""The sweep of zones while some of them have silent name servers."""

from under_test import silent_name_servers, wait_until

SANDBOX_OPTIONS = ("--set", "dns.zone_pending_interval_seconds=1", "--set", "dns.zone_sweep_interval_seconds=1",
                   "--set", "dns.dns_deadline_ms=90000", "--set", "dns.dns_query_timeout_ms=45000", "--workers", "1")


def test_silent_name_servers_hold_up_only_their_own_zones(own_sandbox):
    own_sandbox.new_zone()
    with silent_name_servers(own_sandbox):
        def pending():
            return sum(value for name, value in own_sandbox.admin.metrics().items()
                       if name.startswith("originca_dns_checks_in_progress"))

        assert wait_until(lambda: pending() >= 1, 15, pause=0.2)
        late = own_sandbox.new_zone(is_delegated=False)  # its parent answers
        checked = set()

        def is_checked_again():
            checked.add(own_sandbox.admin.get(f"zones/{late}").get("checked_at"))
            return len(checked - {None}) >= 3

        assert wait_until(is_checked_again, 30, pause=0.2), checked
        assert pending() >= 1
