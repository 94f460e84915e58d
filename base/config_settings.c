/* The table of all settings: where each lives, its default, its bounds and its meaning. doc/configuration.md
 * is printed from here (`originca-server --print-settings`), so the two cannot differ. */
#include "config_internal.h"

#include <stddef.h>

#include "originca/crl.h"

#define AT(member) offsetof(struct config, member)
#define PROFILE(member) offsetof(struct config_profile, member)
#define ISSUER(member) offsetof(struct config_issuer, member)
#define NUMBER(section, member, fallback, min, max, help)                                                    \
    { section, #member, SETTING_NUMBER, AT(member), 0, fallback, min, max, help }
#define STRING(section, member, fallback, help)                                                              \
    { section, #member, SETTING_STRING, AT(member), 0, fallback, 0, 0, help }
#define PATH(section, member, fallback, help)                                                                \
    { section, #member, SETTING_PATH, AT(member), 0, fallback, 0, 0, help }
#define BOOL(section, member, fallback, help)                                                                \
    { section, #member, SETTING_BOOL, AT(member), 0, fallback, 0, 0, help }

const struct setting config_settings[] = {
    {"server", "https_listen", SETTING_ADDRESSES, AT(https_listen), AT(https_listen_count), "0.0.0.0:443", 0,
     0, "addresses of the HTTPS listener, `{\"0.0.0.0:443\", \"[::]:443\"}`"},
    {"server", "http_listen", SETTING_ADDRESSES, AT(http_listen), AT(http_listen_count), NULL, 0, 0,
     "addresses of the plain HTTP listener (OCSP, revocation lists, issuing certificates); none: no such "
     "listener"},
    {"server", "admin_listen", SETTING_ADDRESS, AT(admin_listen), 0, "unix:/run/originca/admin.sock", 0, 0,
     "unix socket of the admin API"},
    {"server", "admin_socket_mode", SETTING_OCTAL, AT(admin_socket_mode), 0, "0660", 0, 0777,
     "permissions of the admin socket: whoever may open it is an administrator"},
    STRING("server", base_url, NULL,
           "external origin of every URL we hand out, `https://ca.example`; required"),
    PATH("server", tls_certificate_file, NULL, "certificate chain of the HTTPS listener, PEM; required"),
    PATH("server", tls_key_file, NULL, "its private key, PEM; ECDSA is six times cheaper than RSA; required"),
    PATH("server", secret_file, "/etc/originca/secret",
         "master secret: 64 hex digits; the same on every host"),
    PATH("server", operator_secret_file, NULL,
         "64 hex digits that admin processes alone read, the same on every host: seals what hosts tell each "
         "other of zones and customers, and the jobs that revoke many certificates (revocation.md); needed "
         "where several hosts share a Redis, for such jobs, and for `moved_zone_certificates = \"revoke\"`"),
    PATH("server", run_directory, "/run/originca",
         "folder of the sockets between the processes and of the pid file"),
    STRING("server", user, NULL,
           "user of the workers; needs a start as root, as the next two do; none: who starts the server"),
    STRING("server", admin_user, NULL, "user of the admin process, who owns its sockets; none: as `user`"),
    STRING("server", signer_user, NULL,
           "user of the signer; give it alone the PIN and the ledger; none: as `user`"),
    PATH("server", log_file, NULL, "log file; none: standard error"),
    STRING("server", log_level, "info", "error, warning, info or debug"),
    NUMBER("server", workers, "0", 0, 256, "worker processes; 0: one a core"),
    NUMBER("server", drain_seconds, "30", 1, 3600, "how long a stopping worker may finish its requests"),
    NUMBER("server", outage_wait_ms, "10000", 0, 60000,
           "while Redis is away for no longer than this, requests wait for it"),
    NUMBER("server", outage_max_requests, "1000", 0, 1000000,
           "requests of a worker that wait so; others get 503"),
    NUMBER("server", ready_wait_seconds, "10", 1, 600,
           "how long a start or a reload waits until each new worker has Redis and the signer; then the "
           "start goes "
           "on without, and the reload is given up where the former workers serve"),
    NUMBER("server", accept_wait_ms, "2000", 0, 60000,
           "how long a process that has just started waits for Redis before it accepts connections"),
    NUMBER("server", readiness_timeout_ms, "1000", 100, 60000,
           "how long `/readyz`, `/healthz` and `/metrics` wait for the workers"),
    NUMBER("server", worker_answer_max_bytes, "2097152", 65536, 16777216,
           "longest answer of a worker to the admin process: the result of a DNS check with its evidence"),
    NUMBER("server", bulk_revocations_per_second, "500", 1, 1000000,
           "how fast a job of `originca admin cert revoke` revokes where it says nothing else"),
    NUMBER("server", bulk_revocations_at_once, "64", 1, 1000, "revocations that such a job has under way"),
    NUMBER(
        "server", bulk_jobs_at_once, "4", 1, 64,
        "such jobs that this host works on at once; more of them take turns, those for keyCompromise first"),
    NUMBER("server", serial_list_max, "1000000", 1000, 10000000,
           "serials of one list (`--serials FILE`) that an administrator sends for a job"),
    NUMBER("server", retire_idle_seconds, "5", 0, 3600,
           "how long clients may still use idle connections to a worker that a reload retired"),

    NUMBER("http", max_connections, "10000", 1, 1000000,
           "connections a worker holds on one listening address"),
    NUMBER("http", max_connections_per_address, "200", 1, 1000000,
           "of those, of one client address (IPv6: of one /64)"),
    NUMBER("http", crowd_connections, "16", 1, 256,
           "an address with so many connections without a finished request loses its oldest one first when "
           "room is needed"),
    NUMBER("http", reserved_descriptors, "256", 0, 1000000,
           "open files of a worker that are kept for DNS, Redis and the signer; at most a quarter of its "
           "limit"),
    NUMBER("http", handshake_timeout_ms, "10000", 100, 600000, "deadline of a TLS handshake"),
    NUMBER("http", request_timeout_ms, "20000", 100, 600000,
           "deadline of a whole request, from its first byte"),
    NUMBER("http", idle_timeout_ms, "60000", 100, 3600000,
           "how long a connection may wait for its next request"),
    NUMBER("http", write_timeout_ms, "60000", 100, 3600000,
           "deadline of taking a reply; again as long for who took enough of it meanwhile"),
    NUMBER("http", min_write_bytes_per_second, "4096", 1, 1000000000,
           "what a client must take of a reply, on the average of write_timeout_ms"),
    NUMBER("http", max_header_bytes, "16384", 1024, 1048576, "request line and header fields"),
    NUMBER("http", max_body_bytes, "65536", 1024, 2097152, "request body"),
    NUMBER("http", max_request_memory_bytes, "8388608", 1048576, 1073741824,
           "memory of one request: body, parsed JSON, everything that lives until its reply"),
    NUMBER("http", max_requests_per_connection, "10000", 1, 100000000, "then the connection is closed"),

    BOOL("acme", external_account_required, "true",
         "accounts need an external account binding (RFC 8555 7.3.4)"),
    STRING("acme", terms_of_service, NULL, "URL in the directory; where set, new accounts must agree"),
    STRING("acme", website, NULL, "URL in the directory"),
    {"acme", "caa_identities", SETTING_STRINGS, AT(caa_identities), 0, NULL, 0, 0,
     "names in the directory (RFC 8659)"},
    NUMBER("acme", max_names, "100", 1, 1000, "names in one order"),
    NUMBER("acme", not_before_max_ahead_hours, "24", 0, 8760,
           "how far ahead of now an order's notBefore may lie"),
    NUMBER("acme", max_contacts, "10", 0, 100, "contacts of one account"),
    NUMBER("acme", nonce_lifetime_seconds, "86400", 60, 604800, "how long an unspent nonce is accepted"),
    NUMBER("acme", order_lifetime_seconds, "604800", 60, 31536000,
           "how long an order that is not valid lives"),
    NUMBER("acme", authorization_lifetime_seconds, "2592000", 60, 31536000,
           "how long a valid authorization counts"),
    NUMBER("acme", revocation_proof_seconds, "3600", 60, 31536000,
           "how old a dns-01 proof of an account without customer may be with which it revokes a certificate "
           "of another account"),
    NUMBER("acme", refused_retention_seconds, "604800", 60, 31536000,
           "how long refused attempts are kept for admins"),
    NUMBER("acme", max_refused_per_customer, "1000", 1, 1000000, "refused attempts kept; the oldest goes"),
    NUMBER("acme", key_change_seconds, "30", 5, 600,
           "how long a change of an account key that broke off keeps others from changing it"),
    NUMBER("acme", account_idle_seconds, "94608000", 86400, 4294967295u,
           "accounts unused for so long are forgotten"),
    NUMBER("acme", certificate_retention_seconds, "2592000", 0, 315360000,
           "how long an expired certificate stays in Redis (the ledger keeps it)"),
    NUMBER("acme", evidence_retention_seconds, "7776000", 60, 4294967295u,
           "how long the evidence of an order is kept"),
    NUMBER("acme", orders_page_size, "100", 1, 10000, "orders on one page of an account's list"),
    NUMBER("acme", recheck_after_seconds, "60", 0, 86400,
           "finalize checks DNS again when the last check is older"),
    NUMBER(
        "acme", resume_first_seconds, "2", 1, 3600,
        "pause before an order in processing whose signing failed for the moment is tried again; it doubles"),
    NUMBER("acme", resume_longest_seconds, "60", 1, 86400, "the longest such pause"),
    NUMBER("acme", resume_max_orders, "100", 1, 10000, "orders of this kind that a host works on at once"),
    NUMBER("acme", stop_retry_after_seconds, "300", 1, 86400,
           "when clients are told to come back while issuance is stopped"),
    NUMBER("acme", ari_retry_after_seconds, "21600", 60, 864000,
           "how often clients ask for renewal information"),
    STRING("acme", default_profile, "origin", "profile of orders that name none"),
    STRING("acme", acme_ecc_issuer, "ecc", "issuer of certificates with an ECDSA key"),
    STRING("acme", acme_rsa_issuer, "ecc", "issuer of certificates with an RSA key"),
    PATH("acme", public_suffix_file, NULL, "public suffix list; none: the system's or the built-in one"),
    {"acme", "allowed_special_names", SETTING_STRINGS, AT(allowed_special_names), 0, NULL, 0, 0,
     "top-level names allowed although RFC 6761 reserves them (`test` in a sandbox)"},
    PATH("acme", key_blocklist_file, NULL,
         "keys never certified: SHA-256 of the SubjectPublicKeyInfo, one a line"),

    NUMBER("limits", accounts_per_address, "50", 0, 1000000,
           "new ACME accounts of one client address (IPv6: /64) in the window; 0: no limit"),
    NUMBER("limits", accounts_window_seconds, "3600", 1, 2592000, "its window"),
    NUMBER("limits", orders_per_customer, "1000", 0, 100000000,
           "orders of a customer (without external accounts: of an account) in the window"),
    NUMBER("limits", orders_window_seconds, "3600", 1, 2592000, "its window"),
    NUMBER("limits", names_per_zone, "5000", 0, 100000000,
           "names ordered below one zone, by its customer or a client address, in the window"),
    NUMBER("limits", names_window_seconds, "86400", 1, 2592000, "its window"),
    NUMBER("limits", requests_per_key, "1200", 0, 100000000, "REST requests of one API key in the window"),
    NUMBER("limits", requests_window_seconds, "300", 1, 2592000, "its window"),
    NUMBER("limits", checks_per_name, "10", 0, 1000000,
           "DNS checks of one name for one customer (without external accounts: one client address) in the "
           "window"),
    NUMBER("limits", name_checks_window_seconds, "60", 1, 2592000, "its window"),
    NUMBER("limits", checks_per_customer, "5000", 0, 100000000,
           "names whose DNS is checked for a customer (without external accounts: a client address) in the "
           "window"),
    NUMBER(
        "limits", checks_per_zone, "2000", 0, 100000000,
        "names below one zone whose DNS is checked in the same window, for its customer or a client address"),
    NUMBER("limits", checks_window_seconds, "300", 1, 2592000, "window of both"),
    NUMBER(
        "limits", failed_checks_per_customer, "5000", 0, 100000000,
        "names whose check fails for a customer (without external accounts: a client address) in the window"),
    NUMBER("limits", failed_checks_window_seconds, "3600", 1, 2592000, "its window"),
    NUMBER(
        "limits", ocsp_signed_per_address, "300", 0, 1000000,
        "OCSP requests of one client address (IPv6: /64) in the window that need a signature of their own: "
        "with a nonce, or about several certificates; 0: no limit"),
    NUMBER("limits", ocsp_signed_window_seconds, "60", 1, 2592000, "its window"),
    NUMBER("limits", revocations_per_customer, "600", 0, 100000000,
           "certificates of one customer (without external accounts: of an account) that are revoked in the "
           "window by ACME and REST; 0: no limit"),
    NUMBER("limits", revocations_window_seconds, "60", 1, 2592000, "its window"),
    NUMBER("limits", revocations_per_customer_day, "20000", 0, 100000000, "the same in a day; 0: no limit"),
    NUMBER("limits", failed_check_pause_seconds, "2", 0, 86400,
           "after a failed check a name waits so long, twice as long after each further one; 0: never"),
    NUMBER("limits", failed_check_longest_pause_seconds, "300", 1, 86400, "the longest such pause"),

    NUMBER("rest", rest_max_hostnames, "200", 1, 1000, "hostnames in one certificate of the REST API"),
    STRING("rest", rest_profile, "origin", "profile of its certificates"),
    STRING("rest", rest_ecc_issuer, "ecc", "issuer of `origin-ecc` and `keyless-certificate`"),
    STRING("rest", rest_rsa_issuer, "rsa",
           "issuer of `origin-rsa`; where no issuer has the default name, acme_rsa_issuer"),
    NUMBER("rest", rest_page_size, "100", 1, 500, "certificates or zones on a page that asks for no size"),
    NUMBER("rest", rest_retry_window_seconds, "300", 0, 86400,
           "the same create again within this time gets the same certificate; 0: always a new one"),
    BOOL("rest", rest_rfc3339_dates, "false",
         "expires_on as `2040-04-05T13:40:00Z` instead of Go's form, which old clients need"),

    {"profile", "template", SETTING_STRING, PROFILE(template_name), 0, NULL, 0, 0,
     "shape of the certificate: `origin`, `compact` or `classic`; default: the profile's own name"},
    {"profile", "description", SETTING_STRING, PROFILE(description), 0, NULL, 0, 0, "text in the directory"},
    {"profile", "default_days", SETTING_NUMBER, PROFILE(default_days), 0, "90", 1, 5475,
     "lifetime where none is asked"},
    {"profile", "max_days", SETTING_NUMBER, PROFILE(max_days), 0, "5475", 1, 5475, "longest lifetime"},

    NUMBER("ocsp", ocsp_max_requests, "16", 1, 64, "certificates in one OCSP request"),
    NUMBER("ocsp", ocsp_max_request_bytes, "8192", 512, 65536,
           "bytes of an OCSP request, with the signature that it may carry"),
    NUMBER("ocsp", ocsp_max_age_seconds, "300", 0, 86400,
           "how long HTTP caches may give out an answer to a GET: so long a certificate may still look good "
           "there after its revocation; at most half of signer.ocsp_validity_seconds"),
    NUMBER("ocsp", ocsp_max_signing, "64", 1, 4096,
           "answers that a worker has the signer make at once; more are told tryLater"),
    NUMBER("ocsp", ocsp_kept_bytes, "16777216", 0, 1073741824,
           "memory of a worker for signed answers that it gives out again; beyond it the one that was not "
           "asked for the "
           "longest goes; 0: every answer is signed"),

    PATH("redis", redis_socket, NULL, "unix socket of Redis; or redis_host"),
    STRING("redis", redis_host, NULL, "host of Redis, an address (a remote one behind stunnel)"),
    NUMBER("redis", redis_port, "6379", 1, 65535, "its port"),
    STRING("redis", redis_user, NULL, "ACL user"),
    PATH("redis", redis_password_file, NULL, "file with the password"),
    NUMBER("redis", redis_database, "0", 0, 65535, "database number"),
    NUMBER("redis", redis_connect_timeout_ms, "2000", 10, 60000, "deadline of connecting"),
    NUMBER("redis", redis_command_timeout_ms, "3000", 10, 60000, "deadline of one command"),
    NUMBER("redis", redis_reconnect_min_ms, "50", 1, 60000, "first pause before connecting again"),
    NUMBER("redis", redis_reconnect_max_ms, "2000", 1, 600000, "longest pause"),
    NUMBER("redis", redis_check_seconds, "60", 1, 86400,
           "how often its memory and the settings that requests rest on are looked at again"),
    NUMBER("redis", redis_max_clock_difference_ms, "5000", 100, 3600000,
           "a host whose clock and Redis's differ by more serves nobody"),
    NUMBER("redis", redis_compare_zones, "500", 0, 2000,
           "zones a pass of the fence that are compared with the signer's, one after the other; 0: none"),
    NUMBER("redis", redis_compare_records, "64", 0, 1000,
           "newest ledger records that each pass compares with what Redis holds; 0: none"),
    NUMBER("redis", redis_max_pending, "10000", 1, 10000000,
           "commands in flight a worker; more are answered 503"),
    NUMBER("redis", redis_wait_replicas, "0", 0, 16,
           "replicas that must have a commit before it is acknowledged (WAIT)"),
    NUMBER("redis", redis_wait_timeout_ms, "1000", 1, 60000, "how long to wait for them"),
    BOOL("redis", redis_allow_unsafe_durability, "false",
         "serve although Redis may lose acknowledged writes"),

    PATH("dns", root_hints_file, "/usr/share/dns/root.hints",
         "addresses of the root servers, zone file format"),
    NUMBER("dns", dns_port, "53", 1, 65535, "port of every name server (another one in a sandbox)"),
    {"dns", "name_server_pool", SETTING_STRINGS, AT(name_server_pool), 0, NULL, 0, 0,
     "the provider's name servers that zones are assigned from; required"},
    NUMBER("dns", name_servers_per_zone, "2", 1, 8, "how many a zone gets"),
    {"dns", "reserved_zones", SETTING_STRINGS, AT(reserved_zones), 0, NULL, 0, 0,
     "names that can be no customer's zone, nor what is above or below them: the provider's own, such as "
     "those of the "
     "edge. The name servers are so without being named; zones that were added earlier stay"},
    NUMBER("dns", name_server_hold_seconds, "157680000", 1, 3153600000,
           "how long the name servers of a zone that went stay taken for that name after its delegation was "
           "last "
           "seen to point at them (5 years)"),
    NUMBER("dns", name_server_release_seconds, "10368000", 1, 3153600000,
           "they are given up earlier when the name was seen delegated elsewhere, or not at all, for so long "
           "(120 "
           "days: a registry's hold brings an old delegation back)"),
    NUMBER("dns", name_server_look_seconds, "604800", 1, 31536000,
           "how often the delegation of a name is looked at whose zone went"),
    {"dns", "edge_prefixes", SETTING_PREFIXES, AT(edge_prefixes), AT(edge_prefix_count), NULL, 0, 0,
     "addresses of the edge, CIDR blocks: names that point there are proxied; required"},
    {"dns", "allow_addresses", SETTING_PREFIXES, AT(address_rules.allowed), AT(address_rules.allowed_count),
     NULL, 0, 0,
     "CIDR blocks in which name servers are asked although they are special-purpose (private, loopback ...): "
     "for "
     "closed networks"},
    {"dns", "deny_addresses", SETTING_PREFIXES, AT(address_rules.denied), AT(address_rules.denied_count),
     NULL, 0, 0,
     "CIDR blocks in which no name server is asked, whoever names it, besides the special-purpose ones"},
    NUMBER("dns", dns_deadline_ms, "10000", 100, 120000, "deadline of a whole check"),
    NUMBER("dns", dns_query_timeout_ms, "1500", 10, 60000, "deadline of one query"),
    NUMBER("dns", dns_max_queries, "100", 10, 10000, "queries one check may send"),
    NUMBER("dns", dns_tries, "2", 1, 10, "rounds over all servers of a zone"),
    NUMBER("dns", dns_max_cname, "8", 0, 32, "CNAME and DNAME hops followed"),
    NUMBER("dns", dns_referral_cache_entries, "10000", 0, 10000000, "referrals a worker remembers"),
    NUMBER("dns", dns_referral_max_ttl, "300", 0, 86400, "longest time a referral is remembered, seconds"),
    NUMBER("dns", dns_max_concurrent_checks, "2000", 1, 1000000, "checks a worker runs at once"),
    NUMBER("dns", dns_max_per_server, "200", 1, 100000, "queries in flight to one server"),
    NUMBER("dns", zone_pending_interval_seconds, "20", 1, 86400, "how often a pending zone is checked"),
    NUMBER("dns", zone_sweep_interval_seconds, "3600", 1, 604800,
           "how often an active or moved zone is checked"),
    NUMBER("dns", zone_moved_after, "3", 1, 100,
           "definite negatives in a row that make an active zone moved"),
    NUMBER("dns", dns_share_ms, "200", 0, 10000,
           "how long a parent's referral stands for other checks, which also await its answer together; 0: "
           "each asks"),
    NUMBER("dns", zone_checks_per_second, "200", 1, 10000,
           "bound on periodic checks of zones, and looks at names whose zones went, a host"),
    STRING("dns", moved_zone_certificates, "keep",
           "certificates of a zone that moved away: `keep` them valid at the edge, `withdraw` them while it "
           "is away, or also `revoke` them, as those of a deleted one, after left_zone_revoke_after_seconds"),
    NUMBER("dns", left_zone_revoke_after_seconds, "259200", 0, 31536000,
           "how long a zone is left before `revoke` takes its certificates; one that comes back keeps them"),
    STRING("dns", caa_mode, "named",
           "CAA records: `off`; `named`: only sets that name one of our caa_identities bind; `strict`: all "
           "bind"),
    PATH("dns", trust_anchor_file, NULL,
         "DS or DNSKEY records of the root: DNSSEC is validated from there; none: it is not looked at"),
    {"dns", "perspectives", SETTING_STRINGS, AT(perspectives), 0, "local", 0, 0,
     "who must see the same: `local`, `udp://ADDRESS:PORT` (a recursive resolver), `tls://HOST:PORT[#NAME]` "
     "and `unix:/PATH[#NAME]` (originca-perspective)"},
    STRING("dns", perspective_disagreements, "rule",
           "how many besides `local` may disagree; `rule`: none of one, one of two to five, two of six or "
           "more"),
    PATH("dns", perspective_ca_file, NULL, "CA of the perspectives' certificates, PEM"),
    PATH("dns", perspective_certificate_file, NULL, "our client certificate for perspectives, PEM"),
    PATH("dns", perspective_key_file, NULL, "its private key, PEM"),
    NUMBER("dns", perspective_timeout_ms, "8000", 50, 120000,
           "deadline of a perspective's answer, within that of the check"),

    PATH("signer", pkcs11_module, "/usr/lib/softhsm/libsofthsm2.so", "PKCS#11 library of the token"),
    PATH("signer", pkcs11_pin_file, "/etc/originca/pin", "file with the token's PIN"),
    PATH("signer", ledger_directory, "/var/lib/originca/ledger", "folder of the ledger"),
    STRING("signer", host_name, NULL, "name of this host's ledger in Redis; default: the system's host name"),
    NUMBER("signer", signer_threads, "1", 1, 64, "signing threads; more pays only with a network HSM"),
    NUMBER("signer", ledger_reserve_bytes, "67108864", 0, 4294967295u,
           "room on the ledger's disk that certificates leave to revocations and the like; 0: none"),
    NUMBER("signer", ledger_segment_bytes, "67108864", 65536, 4294967295u,
           "a ledger file of this size is followed by a new one"),
    NUMBER("signer", checkpoint_records, "20000", 100, 100000000,
           "after so many ledger records a checkpoint is written, so that a start need not read them"),
    NUMBER("signer", checkpoint_seconds, "60", 1, 86400, "and after so long, where there are new records"),
    NUMBER("signer", position_wait_seconds, "5", 1, 600,
           "a signer that has started waits so long to hear what Redis has applied before it writes "
           "revocations all the "
           "same"),
    NUMBER(
        "signer", signer_worker_signatures_per_second, "5000", 1, 1000000,
        "certificates that the workers of a host together may have signed; beyond it they are to try again"),
    NUMBER("signer", signer_worker_revocations_per_second, "100", 1, 1000000,
           "revocations that they may have recorded, as many in one burst; the guard against a worker in "
           "foreign "
           "hands"),
    NUMBER(
        "signer", signer_worker_revocations_per_day, "100000", 1, 1000000000,
        "revocations that they may have recorded in a day: so many at once, and as many more evenly over it"),
    NUMBER("signer", signer_worker_changes_per_second, "200", 1, 1000000,
           "other ends of rights, and zones that moved or came back, that they may have recorded"),
    NUMBER("signer", crl_max_entries, "10000000", 1, 80000000, "entries of a revocation list"),
    NUMBER("signer", crl_max_lists, "100000", 16, 16777215,
           "revocation lists that the signer knows, by issuer and URL"),
    NUMBER("signer", crl_max_foreign_lists, "10000", 0, 16777215,
           "of these, beyond which no list is begun that neither an issuer's crl_url gives nor this signer's "
           "ledger names: another host's former crl_url, or one that somebody wrote into Redis"),
    NUMBER("signer", crl_max_days, "31", 1, 366, "longest time from thisUpdate to nextUpdate"),
    NUMBER("signer", crl_max_ahead_seconds, "300", 1, 86400,
           "a revocation list whose number is further ahead of the clock is neither signed nor served"),
    NUMBER("signer", crl_settle_seconds, "30", 0, 3600,
           "a list is refused where a revocation is missing that the signer's ledger held so long before the "
           "list's entries were read"),
    NUMBER("signer", signer_worker_ocsp_per_second, "5000", 1, 1000000,
           "OCSP responses that they may have signed"),
    NUMBER("signer", ocsp_validity_seconds, "14400", 60, 604800,
           "from reading a certificate's status to nextUpdate; after half of it the answer is made anew"),
    NUMBER("signer", signer_connections, "0", 0, 65536,
           "connections of workers to the signer, and so many of operators; 0: two for each worker and 16"),
    NUMBER("signer", signer_connections_per_process, "8", 2, 1024, "of these, of one process"),
    NUMBER("signer", signer_unread_bytes, "2097152", 65536, 268435456,
           "replies that a connection has not read yet; with more nothing is read from it"),
    NUMBER("signer", signer_unread_seconds, "10", 1, 3600,
           "a connection whose unread replies stay above that for so long is closed"),
    NUMBER("signer", pin_retry_seconds, "900", 1, 86400,
           "`originca admin token retry` tries a PIN that the token refused again at most so often"),
    NUMBER("signer", claim_timeout_seconds, "10", 1, 600,
           "how old a claim may be when it reaches the signer"),
    NUMBER("signer", signer_timeout_ms, "8000", 100, 60000, "how long a worker waits for the signer"),
    NUMBER("signer", backdate_seconds, "300", 0, 86400,
           "notBefore lies so far back, for clocks that are behind"),
    NUMBER("signer", clock_jump_seconds, "300", 1, 86400, "no signing when the wall clock jumped by more"),
    NUMBER("signer", evidence_max_age_seconds, "180", 1, 86400,
           "oldest proof of ownership the signer accepts"),
    NUMBER("signer", signer_not_before_max_ahead_hours, "24", 0, 8760,
           "how far ahead of now the signer dates a certificate, whatever a worker asks for"),

    NUMBER("revocation", crl_delay_ms, "10000", 1000, 60000,
           "how long a revocation list waits for further changes before it is made anew"),
    NUMBER("revocation", crl_lease_seconds, "30", 1, 600,
           "how long a host that makes a revocation list has it for itself; one that could not be made waits "
           "as long"),
    NUMBER("revocation", crl_lifetime_hours, "168", 2, 8760,
           "from making a revocation list to its nextUpdate; it is made anew at half of it at the latest"),
    NUMBER("revocation", crl_max_age_seconds, "60", 0, 86400,
           "how long HTTP caches may keep a revocation list"),
    NUMBER("revocation", crl_compare_seconds, "30", 1, 3600,
           "between looks at all lists in Redis, not at those alone that were published last"),
    NUMBER("revocation", crl_metric_lists, "64", 0, 128, "so many lists at most have metrics of their own"),
    NUMBER("revocation", crl_max_unproven, "1000", 0, 80000000,
           "entries of a revocation list that no host's ledger is known to have; beyond that they are left "
           "out until one has"),
    BOOL("revocation", crl_complete, "true",
         "also make a list of everything for each issuer; without it the revocation of a certificate that "
         "names no "
         "list (template compact) is told by OCSP alone"),

    {"issuer", "key_uri", SETTING_STRING, ISSUER(key_uri), 0, NULL, 0, 0,
     "PKCS#11 URI of the private key; required"},
    {"issuer", "certificate_file", SETTING_PATH, ISSUER(certificate_file), 0, NULL, 0, 0,
     "issuing certificate, PEM; required; a name stands for one key and subject for ever"},
    {"issuer", "crl_url", SETTING_STRING, ISSUER(crl_url), 0, NULL, 0, 0,
     "CRL distribution point in leaves: an http URL in which `{shard}` stands for the certificate's shard; "
     "as "
     "short as can be, each handshake carries it"},
    {"issuer", "crl_shards", SETTING_NUMBER, ISSUER(crl_shards), 0, "16", 1, CRL_SHARDS_MAX,
     "so many shards `{shard}` counts, from 0 on in hex digits; certificates keep theirs when it changes"},
    {"issuer", "ocsp_url", SETTING_STRING, ISSUER(ocsp_url), 0, NULL, 0, 0,
     "OCSP responder in leaves (classic)"},
};
const size_t config_setting_count = sizeof config_settings / sizeof config_settings[0];

void config_print_settings(FILE *out) {
    const char *section = "";
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *setting = &config_settings[i];
        if (setting->section != section) {
            section = setting->section;
            fprintf(out, "%s## %s\n\n| setting | default | meaning |\n|---|---|---|\n", i == 0 ? "" : "\n",
                    section);
        }
        fprintf(out, "| `%s` | %s%s%s | %s", setting->name, setting->fallback ? "`" : "",
                setting->fallback ? setting->fallback : "none", setting->fallback ? "`" : "", setting->help);
        if (setting->kind == SETTING_NUMBER)
            fprintf(out, " (%u to %u)", setting->min, setting->max);
        fputs(" |\n", out);
    }
}
