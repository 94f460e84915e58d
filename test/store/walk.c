/* The walk over every function. */
#include "walk.h"
#include "originca/store_bulk.h"

#include <string.h>

#include "originca/json.h"

static void expect(struct fixture *f, bool must_succeed, enum error_code code, const char *what) {
    if (must_succeed && code != ERROR_NONE)
        fail_msg("%s: %s", what, f->error.message);
}

#define TRY(function, ...) expect(f, must_succeed, CALL(f, function, __VA_ARGS__), #function)
#define TRY_PLAIN(function)                                                                                  \
    expect(f, must_succeed, (begin_call(f), function(f->store, note_done, f), await(f)), #function)

static void walk_lists(struct fixture *f, bool must_succeed) {
    const struct store_crl_name name = {"ecc", SAMPLE_LIST};
    const struct store_crl_floor floor = {"ecc", SAMPLE_LIST, 1};
    uint64_t older;
    const struct store_crl crl = {
        .issuer = "ecc", .url = SAMPLE_LIST, .number = 1, .this_update = 1, .next_update = 2};
    const struct bytes der = {(const uint8_t *)"DER", 3};
    struct store_crl_claim claim = {.id = "1"};
    struct store_crl_page page;
    struct store_crl_list list;
    struct store_crl_loaded loaded;
    const uint64_t sequence = 1;
    const struct store_ledger_mark mark = {"host", &sequence, 1};
    bool is_done;
    TRY(store_register_crls, &name, 1);
    TRY(store_adopt_revocations, 10, &is_done);
    TRY(store_set_aside_revocation, SERIAL_A);
    TRY(store_sort_revocation, SERIAL_A, SAMPLE_LIST);
    TRY(store_claim_crl, f->arena, 0, 1000, "host", true, &name.issuer, 1, &claim);
    TRY(store_scan_crl, f->arena, "1", "0", 10, &page);
    TRY(store_publish_crl, &crl, der, "", "", 0, 1, &mark);
    TRY(store_renew_crls, 0, 1000, &name, 1);
    TRY(store_floor_crls, &floor, 1, 1, &older);
    TRY(store_fail_crl, "1", "host", "why");
    TRY(store_list_crls, f->arena, 0, 10, &list);
    if (must_succeed)
        TRY(store_find_crl, f->arena, list.items[0].id, &list.items[0]);
    if (must_succeed)
        TRY(store_load_crl, f->arena, list.items[0].id, &loaded);
}

static void walk_customers_and_zones(struct fixture *f, bool must_succeed, struct sample *s) {
    struct store_stop_list stops;
    static const char *const servers[] = {"ns1.p.test", "ns2.p.test"};
    const struct store_name_server_pool pool = {servers, 2, 2};
    const struct store_delegation delegation = {true, servers, 2};
    struct store_customer_list customers;
    struct store_eab_key key = {.kid = "k"}, loaded;
    struct store_eab_key_list keys;
    const struct store_api_key api_key = {.id = "0123456789abcdef01234567",
                                          .kind = "token",
                                          .hash = SPKI_A,
                                          .rights = "zones:read",
                                          .name = ""};
    struct store_api_key new_key = api_key;
    struct store_api_key_list api_keys;
    time_t created;
    struct store_zone_list zones;
    struct store_zone found[2];
    static const char *const names[] = {"www.shop.test", "*.shop.test"};
    s->customer = (struct store_customer){.id = "c"};
    s->zone = (struct store_zone){.id = "z", .name = "shop.test"};
    TRY(store_create_customer, f->arena, "walker", &s->customer);
    TRY(store_find_customer, f->arena, "walker", &s->customer);
    TRY(store_list_customers, f->arena, NULL, 10, &customers);
    TRY(store_create_eab_key, f->arena, s->customer.id, &key);
    TRY(store_load_eab_key, f->arena, key.kid, &loaded);
    TRY(store_list_eab_keys, f->arena, s->customer.id, &keys);
    TRY(store_revoke_eab_key, s->customer.id, key.kid, NULL);
    new_key.customer = s->customer.id;
    TRY(store_create_api_key, f->arena, &new_key, &created);
    TRY(store_load_api_key, f->arena, api_key.id, &new_key);
    TRY(store_list_api_keys, f->arena, s->customer.id, &api_keys);
    TRY(store_revoke_api_key, s->customer.id, api_key.id, NULL);
    TRY(store_create_zone, f->arena, "shop.test", s->customer.id, &pool, &not_delegated, &s->zone, NULL);
    TRY(store_due_zones, f->arena, 10, 60, &zones);
    const struct store_zone_check check = {.zone_id = s->zone.id,
                                           .is_ok = true,
                                           .reason = "r",
                                           .evidence = "{}",
                                           .checked_at = now_seconds(),
                                           .moved_after = 3,
                                           .delegation = delegation};
    TRY(store_record_zone_check, f->arena, &check, &s->zone);
    TRY(store_find_zone, f->arena, "shop.test", NULL, &s->zone);
    TRY(store_load_zone, f->arena, s->zone.id, &s->zone);
    TRY(store_zones_of_names, f->arena, s->customer.id, "", names, 2, found);
    TRY(store_list_zones, f->arena, NULL, NULL, 10, &zones);
    const struct store_zone_filter page = {.customer = s->customer.id, .limit = 10};
    uint64_t total;
    TRY(store_page_zones, f->arena, &page, &zones, &total);
    TRY(store_set_zone_ssl, f->arena, s->zone.id, "full", &s->zone);
    TRY(store_set_zone_paused, f->arena, s->zone.id, true, &s->zone, NULL);
    TRY(store_set_zone_paused, f->arena, s->zone.id, false, &s->zone, NULL);
    TRY(store_set_issuer_stopped, STORE_EVERY_ISSUER, true, NULL);
    TRY(store_load_stops, f->arena, 10, &stops);
    TRY(store_set_issuer_stopped, STORE_EVERY_ISSUER, false, NULL);
    if (s->zone.id == NULL || s->zone.name == NULL)
        s->zone = (struct store_zone){.id = "z", .name = "shop.test"};
    if (s->customer.id == NULL)
        s->customer.id = "c";
}

static void walk_accounts(struct fixture *f, bool must_succeed, struct sample *s) {
    const struct store_account first = new_account(f, s->customer.id), second = new_account(f, "");
    struct nonce nonce = {
        .block_hex = "000102030405060708090a0b", .index = 1, .expires_at = now_seconds() + 60};
    struct store_key_claim claim;
    bool was_created;
    s->account = (struct store_account){.id = "a", .thumbprint = first.thumbprint};
    TRY(store_create_account, f->arena, &first, &s->account, &was_created);
    if (s->account.id == NULL)
        s->account.id = "a";
    const char *id = s->account.id;
    TRY(store_authenticate, f->arena, &nonce, id, NULL, &s->account);
    s->account.id = id;
    TRY(store_load_account, f->arena, id, &s->account);
    struct store_account_list accounts;
    const struct store_account_filter filter = {.customer = s->customer.id, .status = -1, .limit = 10};
    TRY(store_list_accounts, f->arena, &filter, &accounts);
    TRY(store_update_account, f->arena, id, "[]", true, false, &s->account, NULL);
    TRY(store_claim_account_key, f->arena, id, first.thumbprint, second.thumbprint, second.jwk, &claim);
    TRY(store_change_account_key, id, first.thumbprint, second.thumbprint, second.jwk, NULL);
    s->account.id = id;
}

static void walk_orders(struct fixture *f, bool must_succeed, struct sample *s) {
    struct store_order out;
    struct store_order_list orders;
    struct store_attempt_list attempts;
    struct store_name_list waiting;
    struct store_id_list ids;
    const char *evidence, *names[] = {"shop.test"};
    struct store_zone held;
    fill_order(f, s, ORDER_REFUSED, 2);
    TRY(store_create_order, &s->order, "{}");
    fill_order(f, s, ORDER_PENDING, 1);
    TRY(store_create_order, &s->order, "{}");
    const char *winner;
    TRY(store_create_order_once, f->arena, &s->order, "{}", SPKI_A, 60, &winner);
    if (!must_succeed)
        TRY(store_find_retry, f->arena, SPKI_A, &out);
    const struct store_authorization_change change = {.order_id = s->order.id,
                                                      .status = AUTHORIZATION_VALID,
                                                      .evidence = "{}",
                                                      .checked_at = now_seconds(),
                                                      .expires_at = now_seconds() + 60};
    TRY(store_change_authorization, f->arena, &change, &out);
    TRY(store_load_order, f->arena, s->order.id, &out);
    TRY(store_load_evidence, f->arena, s->order.id, &evidence);
    TRY(store_record_recheck, s->order.id, now_seconds(), "{}");
    TRY(store_zones_held, f->arena, s->account.id, names, 1, &held);
    TRY(store_claim_order, f->arena, s->order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out);
    TRY(store_stale_attempts, f->arena, clock_wall_ms(), 10, "", 0, &attempts);
    TRY(store_release_order, s->order.id, ATTEMPT_A, NULL);
    TRY(store_waiting_orders, f->arena, 10, 1000, &waiting);
    TRY(store_claim_order, f->arena, s->order.id, ATTEMPT_B, 1, SPKI_B, SPKI_A, CSR, "ecc", &out);
    const struct store_order_filter filter = {.status = -1, .limit = 10};
    TRY(store_list_orders, f->arena, &filter, &orders);
    TRY(store_list_account_orders, f->arena, s->account.id, NULL, 10, &ids);
}

static void walk_certificates(struct fixture *f, bool must_succeed, struct sample *s) {
    struct store_certificate certificate = new_certificate(s, SERIAL_A, SPKI_A);
    struct store_certificate_list list;
    struct store_ledger_state fence = {.run = NULL};
    struct store_stats stats;
    struct error error;
    bool is_blocked, is_account_key;
    uint64_t removed;
    const uint64_t sequence = 1;
    const struct store_ledger_mark mark = {"host", &sequence, 1};
    const char *texts[] = {
        arena_printf(f->arena,
                     "{\"seq\":3,\"type\":\"issued\",\"serial\":\"" SERIAL_B "\",\"certificate\":\"AAAA\","
                     "\"not_after\":%lld,\"time\":\"2026-01-01T00:00:00Z\"}",
                     (long long)now_seconds() + 99),
        arena_printf(f->arena,
                     "{\"seq\":4,\"type\":\"void\",\"serial\":\"0323456789abcdef0123456789abcdef\",\"not_"
                     "after\":%lld}",
                     (long long)now_seconds() + 99),
        "{\"seq\":5,\"type\":\"revoked\",\"serial\":\"" SERIAL_B "\",\"reason\":1,\"issuer\":\"ecc\"}",
        "{\"seq\":2,\"type\":\"signing\"}"};
    TRY(store_reset_ledger_state, "host", "id", 0);
    TRY(store_commit_certificate, &certificate, ATTEMPT_B, &mark);
    TRY(store_load_certificate, f->arena, SERIAL_A, &certificate);
    TRY(store_revoke_certificate, REVOCATION(SERIAL_A, now_seconds(), 1, "admin"), &mark);
    TRY(store_note_told, SERIAL_A);
    struct store_ocsp item = {.serial = SERIAL_A};
    struct store_ocsp_list answers = {.items = &item, .count = 1};
    TRY(store_load_ocsp, f->arena, "host", &answers);
    TRY(store_confirm_ocsp, &answers);
    TRY(store_key_status, SPKI_A, s->customer.id, s->account.id, &is_blocked, &is_account_key);
    const struct store_certificate_filter filter = {.status = -1, .limit = 10};
    uint64_t total;
    TRY(store_list_certificates, f->arena, &filter, &list);
    TRY(store_page_certificates, f->arena, s->zone.id, 0, 10, &list, &total);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        TRY(store_apply_ledger_record, "host", json_parse(f->arena, texts[i], strlen(texts[i]), &error), 60);
    json_t *records = arena_own_json(f->arena, json_array());
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        json_array_append(records, json_parse(f->arena, texts[i], strlen(texts[i]), &error));
    struct store_replay replay = {.host = "host", .records = records, .fresh_seconds = 60};
    TRY(store_replay, f->arena, &replay);
    TRY(store_load_ledger_state, f->arena, "host", &fence);
    TRY(store_adopt_ledger_hash, "host", "id", 1, SPKI_A);
    struct store_right_list told = {.last = NULL};
    const struct store_right right = {
        .kind = "zone-paused", .subject = s->zone.id, .at_ms = clock_wall_ms(), .seal = "seal", .mark = mark};
    TRY(store_set_zone_paused, f->arena, s->zone.id, true, &s->zone, &right);
    TRY(store_load_rights, f->arena, "host", 10, &told);
    TRY(store_note_rights, &mark, told.last == NULL ? "" : told.last);
    static const char *const ended[] = {
        "{\"seq\":6,\"type\":\"zone-paused\",\"zone\":\"z\",\"at_ms\":1}",
        "{\"seq\":7,\"type\":\"customer-suspended\",\"customer\":\"c\",\"at_ms\":1}",
        "{\"seq\":8,\"type\":\"account-deactivated\",\"account\":\"a\",\"at_ms\":1}"};
    for (size_t i = 0; i < sizeof ended / sizeof ended[0]; i++)
        TRY(store_apply_ledger_record, "host", json_parse(f->arena, ended[i], strlen(ended[i]), &error), 60);
    walk_lists(f, must_succeed);
    static const char *const hosts[] = {"other"};
    TRY(store_verify_ledger, "host", fence.run == NULL ? "" : fence.run, hosts, 1);
    TRY(store_excuse_host, "other", "admin", true);
    const struct store_secret_checks checks = {.secret = "00", .operator_secret = "11"};
    const struct store_ledger_writer writer = {.run = "00", .place = "11"};
    TRY(store_hold_ledger, "host", &writer, 10);
    TRY(store_bind_secrets, &checks, true);
    const struct store_issuer issuer = {.name = "ecc", .digest = "00"};
    uint64_t unknown;
    TRY(store_compare_issuers, &issuer, 1, true, &unknown);
    TRY_PLAIN(store_doubt_ledgers);
    struct store_trace traces[] = {
        {.kind = "zone", .id = s->zone.id, .name = s->zone.name, .customer = s->zone.customer},
        {.kind = "certificate", .id = SERIAL_A, .customer = s->zone.customer},
        {.kind = "account", .id = "a"},
        {.kind = "customer", .id = s->zone.customer}};
    bool is_untold;
    TRY(store_find_lost, "host", traces, 4, &is_untold);
    TRY(store_note_lost, "host", "a zone");
    TRY(store_note_lost, "host", "");
    TRY(store_begin_replay, "host", 9);
    if (must_succeed)
        assert_int_equal(fence.applied, 5);
    const struct store_limit limits[] = {
        {.kind = "orders", .subject = "c", .cost = 1, .allowed = 9, .window_seconds = 9},
        {.kind = "failed-checks", .subject = "c:n", .mode = STORE_LIMIT_PAUSE, .allowed = 9}};
    const char *failed = "c:n";
    const struct store_failures failures = {.subjects = &failed,
                                            .count = 1,
                                            .first_pause_seconds = 1,
                                            .longest_pause_seconds = 2,
                                            .limit = limits[0],
                                            .exempt_serial = SERIAL_A};
    struct store_limit_outcome outcome;
    TRY(store_take_limits, limits, 2, SERIAL_A, 1000, &outcome);
    TRY(store_note_failures, &failures);
    TRY(store_load_stats, f->arena, &stats);
    TRY(store_delete_zone, s->zone.id, NULL);
    struct store_zone_list names;
    struct store_zone above;
    TRY(store_zones_above, f->arena, "www.shop.test", s->zone.customer, &above);
    TRY(store_due_names, f->arena, 10, 60, &names);
    TRY(store_record_delegation, "shop.test", &not_delegated);
    TRY(store_sweep, 100, &removed);
}

static void walk_bulk(struct fixture *f, bool must_succeed, const struct sample *s) {
    const char *serial = SERIAL_A;
    const struct store_bulk_lease lease = {"holder", "host", 1000};
    const struct store_bulk wanted = {.id = SERIAL_A,
                                      .selection.serials = SERIAL_A,
                                      .by = "admin",
                                      .total = 1,
                                      .rate = 1,
                                      .plan = SERIAL_A};
    const struct store_replacement replacement = {.id = SERIAL_A,
                                                  .selection.customer = s->customer.id,
                                                  .explanation_url = "",
                                                  .by = "admin",
                                                  .ends_at = now_seconds() + 60};
    struct store_selected selected = {.count = 0};
    struct store_bulk job;
    struct store_bulk_list jobs;
    struct store_bulk_page page = {.limit = 10};
    struct store_left_zones left;
    const struct store_left_zone gone = {SERIAL_A, "1", SERIAL_B};
    struct store_replacement out;
    struct store_replacement_list replacements;
    struct store_replacement_progress progress = {.cursor = NULL};
    struct store_certificate certificate;
    struct store_renewal renewal;
    uint64_t total;
    TRY(store_add_serials, SERIAL_A, true, &serial, 1, &total);
    TRY(store_count_selected, f->arena, &wanted.selection, &selected);
    TRY(store_add_bulk_piece, SERIAL_A, 0, "seal", SERIAL_A);
    TRY(store_create_bulk, &wanted);
    TRY(store_load_bulk, f->arena, SERIAL_A, &job);
    TRY(store_list_bulks, f->arena, NULL, 10, &jobs);
    TRY(store_claim_bulk, f->arena, &lease, &job);
    TRY(store_renew_bulk, SERIAL_A, &lease, "a problem");
    TRY(store_page_bulk, f->arena, &wanted, &lease, &page);
    const struct store_bulk_progress done = {
        .position = 1, .done = 1, .is_last = true, .seal = "", .problem = "", .may_wait = true};
    bool waits;
    TRY(store_note_bulk, SERIAL_A, &lease, &done, &waits);
    const struct store_bulk second = {.id = SERIAL_B, .selection.issuer = "ecc", .by = "admin", .rate = 1};
    TRY(store_create_bulk, &second);
    TRY(store_cancel_bulk, f->arena, SERIAL_B, "admin", &job);
    const struct store_bulk third = {.id = SERIAL_C, .selection.issuer = "ecc", .by = "admin", .rate = 1};
    TRY(store_create_bulk, &third);
    TRY(store_claim_bulk, f->arena, &lease, &job);
    TRY(store_fail_bulk, SERIAL_C, &lease, "a problem", false);
    TRY(store_left_zones, f->arena, 0, 0, 10, &left);
    TRY(store_note_left_zone, &gone);
    TRY(store_create_replacement, &replacement);
    TRY(store_load_replacement, f->arena, SERIAL_A, &out);
    TRY(store_list_replacements, f->arena, NULL, 10, &replacements);
    TRY(store_page_replacement, f->arena, SERIAL_A, true, 10, &progress);
    TRY(store_load_renewal, f->arena, SERIAL_A, &certificate, &renewal);
    TRY(store_cancel_replacement, f->arena, SERIAL_A, "admin", &out);
}

void walk_all(struct fixture *f, bool must_succeed) {
    struct sample s = {.order = {.id = NULL}};
    walk_customers_and_zones(f, must_succeed, &s);
    walk_accounts(f, must_succeed, &s);
    walk_orders(f, must_succeed, &s);
    walk_certificates(f, must_succeed, &s);
    walk_bulk(f, must_succeed, &s);
}
