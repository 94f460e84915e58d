/* Nonces and accounts. */
#include <string.h>

#include "sample.h"

static struct nonce nonce_at(uint32_t index) {
    struct nonce nonce = {.index = index, .expires_at = now_seconds() + 3600};
    strcpy(nonce.block_hex, "000102030405060708090a0b");
    return nonce;
}

static void nonce_is_spent_once(void **state) {
    struct fixture *f = *state;
    struct store_account account;
    struct nonce nonce = nonce_at(7), next = nonce_at(65535);
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, NULL, NULL, &account));
    assert_null(account.id);
    assert_code(CALL(f, store_authenticate, f->arena, &nonce, NULL, NULL, &account), ERROR_CONFLICT);
    assert_ok(CALL(f, store_authenticate, f->arena, &next, NULL, NULL, &account));
    assert_code(CALL(f, store_authenticate, f->arena, &nonce, NULL, NULL, &account), ERROR_CONFLICT);
    /* The block outlives the newest nonce that it can still give. */
    assert_in_range(ask_number(f, "TTL nonce:%s", nonce.block_hex), 3600 + NONCE_BLOCK_SECONDS - 10,
                    3600 + NONCE_BLOCK_SECONDS);
}

static void later_nonces_do_not_shorten_the_block(void **state) {
    struct fixture *f = *state;
    struct store_account account;
    struct nonce first = nonce_at(1), earlier = nonce_at(2);
    earlier.expires_at -= 3000;
    assert_ok(CALL(f, store_authenticate, f->arena, &first, NULL, NULL, &account));
    assert_ok(CALL(f, store_authenticate, f->arena, &earlier, NULL, NULL, &account));
    assert_in_range(ask_number(f, "TTL nonce:%s", first.block_hex), 3600, 3600 + NONCE_BLOCK_SECONDS);
}

static void account_is_loaded_by_id_and_by_key(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_account account;
    struct nonce nonce = nonce_at(1);
    make_sample(f, &s, "a", "shop.test");
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, s.account.id, NULL, &account));
    assert_string_equal(account.id, s.account.id);
    assert_string_equal(account.jwk, s.account.jwk);
    assert_string_equal(account.customer, s.customer.id);
    assert_string_equal(account.contacts, "[\"mailto:admin@shop.test\"]");
    assert_true(account.has_agreed_terms);
    nonce.index++;
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, NULL, s.account.thumbprint, &account));
    assert_string_equal(account.id, s.account.id);
    nonce.index++;
    assert_code(CALL(f, store_authenticate, f->arena, &nonce, "nobody", NULL, &account), ERROR_UNAVAILABLE);
    ask_text(f, "ZADD ledger-hosts 1 host"); /* a Redis that was not emptied */
    nonce.index++;
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, "nobody", NULL, &account));
    assert_null(account.id);
    nonce.index++;
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, NULL, "nothing", &account));
    assert_null(account.id);
    assert_code(CALL(f, store_load_account, f->arena, "nobody", &account), ERROR_NOT_FOUND);
}

static void spent_nonce_does_nothing_else(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_account account = {.id = "untouched"};
    struct nonce nonce = nonce_at(1);
    make_sample(f, &s, "a", "shop.test");
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, NULL, NULL, &account));
    ask_number(f, "HSET account:%s used 1", s.account.id);
    assert_code(CALL(f, store_authenticate, f->arena, &nonce, s.account.id, NULL, &account), ERROR_CONFLICT);
    assert_int_equal(ask_number(f, "HGET account:%s used", s.account.id), 1);
}

static void idle_life_is_renewed_after_a_day(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_account account;
    struct nonce nonce = nonce_at(1);
    make_sample(f, &s, "a", "shop.test");
    ask_number(f, "EXPIRE account:%s 1000", s.account.id);
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, s.account.id, NULL, &account));
    assert_in_range(ask_number(f, "TTL account:%s", s.account.id), 1, 1000); /* used today: not written */
    ask_number(f, "HSET account:%s used %lld", s.account.id, (long long)now_seconds() - 90000);
    nonce.index++;
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, s.account.id, NULL, &account));
    assert_true(ask_number(f, "TTL account:%s", s.account.id) > f->config.account_idle_seconds);
    assert_true(ask_number(f, "TTL account-key:%s", s.account.thumbprint) > f->config.account_idle_seconds);
}

static void one_key_has_one_account(void **state) {
    struct fixture *f = *state;
    struct store_account new = new_account(f, ""), out, again;
    bool was_created = false;
    assert_ok(CALL(f, store_create_account, f->arena, &new, &out, &was_created));
    assert_true(was_created);
    assert_int_equal(strlen(out.id), 22);
    assert_string_equal(out.customer, "");
    new.contacts = "[]";
    assert_ok(CALL(f, store_create_account, f->arena, &new, &again, &was_created));
    assert_false(was_created);
    assert_string_equal(again.id, out.id);
    assert_string_equal(again.contacts, "[\"mailto:admin@shop.test\"]");
    assert_int_equal(ask_number(f, "ZCARD accounts"), 1);
}

static void revoked_binding_makes_no_account(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_eab_key key;
    struct store_account out;
    bool was_created;
    make_sample(f, &s, "a", "shop.test");
    assert_ok(CALL(f, store_create_eab_key, f->arena, s.customer.id, &key));
    struct store_account new = new_account(f, s.customer.id);
    new.eab_kid = key.kid;
    assert_ok(CALL(f, store_create_account, f->arena, &new, &out, &was_created));
    assert_string_equal(out.eab_kid, key.kid);
    assert_ok(CALL(f, store_revoke_eab_key, s.customer.id, key.kid, NULL));
    assert_ok(CALL(f, store_load_account, f->arena, out.id, &out)); /* accounts bound with it stay */
    new = new_account(f, s.customer.id);
    new.eab_kid = key.kid;
    assert_code(CALL(f, store_create_account, f->arena, &new, &out, &was_created), ERROR_REFUSED);
}

static const char *spki_of(struct fixture *f, const char *account) {
    return arena_strdup(f->arena, ask_text(f, "HGET account:%s spki", account));
}

static void certificate_key_is_refused_as_account_key_and_the_other_way_round(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_account out, fresh;
    struct store_order order;
    struct store_key_claim claim;
    bool was_created, is_blocked, is_account_key;
    make_sample(f, &s, "a", "shop.test");
    /* What a new account's key will be in SPKI form: seen by making the account and removing it again. */
    fresh = new_account(f, s.customer.id);
    assert_ok(CALL(f, store_create_account, f->arena, &fresh, &out, &was_created));
    const char *spki = spki_of(f, out.id);
    assert_ok(CALL(f, store_key_status, spki, s.customer.id, s.account.id, &is_blocked, &is_account_key));
    assert_true(is_account_key);
    assert_false(is_blocked);
    fill_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_A, spki, CSR, "ecc", &order),
        ERROR_REFUSED);
    ask_number(f, "DEL account-spki:%s account-key:%s account:%s", spki, fresh.thumbprint, out.id);
    issue(f, &s, SERIAL_A, ATTEMPT_A, spki);
    assert_code(CALL(f, store_create_account, f->arena, &fresh, &out, &was_created), ERROR_REFUSED);
    assert_code(change_key(f, s.account.id, s.account.thumbprint, &fresh, &claim), ERROR_REFUSED);
}

static void update_and_deactivation(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_account out;
    make_sample(f, &s, "a", "shop.test");
    assert_ok(CALL(f, store_update_account, f->arena, s.account.id, "[]", false, false, &out, NULL));
    assert_string_equal(out.contacts, "[]");
    assert_ok(CALL(f, store_update_account, f->arena, s.account.id, NULL, true, false, &out, NULL));
    assert_string_equal(out.contacts, "[]");
    assert_ok(CALL(f, store_update_account, f->arena, s.account.id, NULL, false, true, &out, NULL));
    assert_int_equal(out.status, ACCOUNT_DEACTIVATED);
    assert_ok(CALL(f, store_update_account, f->arena, s.account.id, NULL, false, true, &out, NULL));
    assert_code(CALL(f, store_update_account, f->arena, s.account.id, "[\"mailto:x@y.test\"]", false, false,
                     &out, NULL),
                ERROR_REFUSED);
    assert_int_equal(out.status, ACCOUNT_DEACTIVATED);
    assert_code(CALL(f, store_update_account, f->arena, "nobody", NULL, false, true, &out, NULL),
                ERROR_NOT_FOUND);
}

static void deactivated_account_can_do_nothing_more(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_account out;
    struct store_order order;
    struct store_key_claim claim;
    make_sample(f, &s, "a", "shop.test");
    fill_order(f, &s, ORDER_PENDING, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    const char *pending = s.order.id;
    fill_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    const char *ready = s.order.id;
    make_claimed(f, &s, ATTEMPT_A);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_update_account, f->arena, s.account.id, NULL, false, true, &out, NULL));
    const struct store_authorization_change change = {.order_id = pending,
                                                      .status = AUTHORIZATION_VALID,
                                                      .checked_at = now_seconds(),
                                                      .expires_at = now_seconds() + 60};
    assert_code(CALL(f, store_change_authorization, f->arena, &change, &order), ERROR_REFUSED);
    assert_code(CALL(f, store_claim_order, f->arena, ready, ATTEMPT_B, 1, SPKI_A, SPKI_A, CSR, "ecc", &order),
                ERROR_REFUSED);
    assert_int_equal(order.status, ORDER_READY);
    assert_code(CALL(f, store_commit_certificate, &certificate, ATTEMPT_A, NULL), ERROR_CONFLICT);
    fill_order(f, &s, ORDER_READY, 1);
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_REFUSED);
    struct store_account other = new_account(f, "");
    assert_code(change_key(f, s.account.id, s.account.thumbprint, &other, &claim), ERROR_UNAVAILABLE);
}

static void key_change_is_compare_and_set(void **state) {
    struct fixture *f = *state;
    struct sample s, other;
    struct store_account out, fresh = new_account(f, ""), fresher = new_account(f, "");
    struct nonce nonce = nonce_at(1);
    struct store_key_claim claim;
    make_sample(f, &s, "a", "shop.test");
    make_sample(f, &other, "b", "other.test");
    ask_text(f, "ZADD ledger-hosts 1 host");
    const char *old_spki = spki_of(f, s.account.id);
    assert_code(change_key(f, s.account.id, s.account.thumbprint, &other.account, &claim), ERROR_CONFLICT);
    assert_string_equal(claim.holder, other.account.id);
    assert_ok(change_key(f, s.account.id, s.account.thumbprint, &fresh, &claim));
    assert_ok(change_key(f, s.account.id, s.account.thumbprint, &fresh,
                         &claim)); /* repeated after an unknown outcome */
    assert_code(change_key(f, s.account.id, s.account.thumbprint, &fresher, &claim),
                ERROR_UNAVAILABLE); /* a second roll-over that began with the old key */
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, NULL, s.account.thumbprint, &out));
    assert_null(out.id); /* the old key is dead at once */
    nonce.index++;
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, NULL, fresh.thumbprint, &out));
    assert_string_equal(out.id, s.account.id);
    assert_string_equal(out.jwk, fresh.jwk);
    assert_int_equal(ask_number(f, "EXISTS account-spki:%s", old_spki), 0);
}

static size_t count_listed(struct fixture *f, const char *customer, const char *kid, int status) {
    struct store_account_list list;
    size_t count = 0;
    const char *cursor = NULL;
    do {
        const struct store_account_filter filter = {
            .customer = customer, .eab_kid = kid, .status = status, .cursor = cursor, .limit = 2};
        assert_ok(CALL(f, store_list_accounts, f->arena, &filter, &list));
        count += list.count;
        cursor = list.next_cursor;
    } while (cursor != NULL);
    return count;
}

static void accounts_are_listed_by_customer_also_those_of_before_the_lists(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_account account;
    bool was_created;
    uint64_t removed;
    make_sample(f, &s, "a", "shop.test");
    for (int i = 0; i < 7; i++) {
        const struct store_account new = new_account(f, i < 6 ? s.customer.id : "");
        assert_ok(CALL(f, store_create_account, f->arena, &new, &account, &was_created));
    }
    assert_int_equal(count_listed(f, s.customer.id, NULL, -1), 7); /* with the sample's */
    assert_int_equal(count_listed(f, "", NULL, -1), 1);
    ask_text(f, "DEL accounts-listed customer-accounts:- customer-accounts:%s", s.customer.id);
    for (int i = 0; i < 12; i++) /* all end in one second, or nearly so */
        assert_ok(CALL(f, store_sweep, 2, &removed));
    assert_string_equal(ask_text(f, "GET accounts-listed"), "all");
    assert_int_equal(count_listed(f, s.customer.id, NULL, -1), 7);
    assert_int_equal(count_listed(f, "", NULL, -1), 1);
    assert_int_equal(count_listed(f, s.customer.id, "other", -1), 0);
    assert_int_equal(count_listed(f, s.customer.id, NULL, ACCOUNT_DEACTIVATED), 0);
    ask_text(f, "HSET account:%s used 1", s.account.id);
    ask_text(f, "ZADD accounts 1 %s", s.account.id);
    assert_ok(CALL(f, store_sweep, 10, &removed));
    assert_int_equal(removed, 1);
    assert_int_equal(ask_number(f, "ZCARD customer-accounts:%s", s.customer.id), 6);
}

static void orders_of_an_account_page_without_invalid_and_refused_ones(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_id_list list;
    struct store_order order;
    make_sample(f, &s, "a", "shop.test");
    const char *ids[12];
    for (int i = 0; i < 12; i++) {
        fill_order(f, &s, i == 11 ? ORDER_REFUSED : ORDER_PENDING, 1);
        ids[i] = s.order.id;
        assert_ok(CALL(f, store_create_order, &s.order, ""));
    }
    const struct store_authorization_change lost = {
        .order_id = ids[3], .status = AUTHORIZATION_INVALID, .error = "{}"};
    assert_ok(CALL(f, store_change_authorization, f->arena, &lost, &order));
    assert_ok(CALL(f, store_list_account_orders, f->arena, s.account.id, NULL, 6, &list));
    assert_int_equal(list.count, 6);
    assert_string_equal(list.ids[0], ids[10]);
    /* The order the cursor stands on may vanish between two pages. */
    ask_number(f, "DEL order:%s", ids[5]);
    ask_number(f, "ZREM account-orders:%s %s", s.account.id, ids[5]);
    assert_ok(CALL(f, store_list_account_orders, f->arena, s.account.id, list.next_cursor, 6, &list));
    assert_int_equal(list.count, 4);
    assert_string_equal(list.ids[0], ids[4]);
    assert_string_equal(list.ids[1], ids[2]);
    assert_null(list.next_cursor);
}

static void account_without_use_is_swept(void **state) {
    struct fixture *f = *state;
    struct sample s;
    uint64_t removed = 0;
    make_sample(f, &s, "a", "shop.test");
    ask_number(f, "ZADD accounts 1 %s", s.account.id);
    assert_ok(CALL(f, store_sweep, 100, &removed));
    assert_int_equal(removed, 0); /* its own record says it was used */
    ask_number(f, "HSET account:%s used 1", s.account.id);
    ask_number(f, "ZADD accounts 1 %s", s.account.id);
    assert_ok(CALL(f, store_sweep, 100, &removed));
    assert_int_equal(removed, 1);
    assert_int_equal(ask_number(f, "EXISTS account:%s account-key:%s", s.account.id, s.account.thumbprint),
                     0);
    assert_int_equal(ask_number(f, "ZCARD accounts"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(nonce_is_spent_once),
        test_case(later_nonces_do_not_shorten_the_block),
        test_case(account_is_loaded_by_id_and_by_key),
        test_case(spent_nonce_does_nothing_else),
        test_case(idle_life_is_renewed_after_a_day),
        test_case(one_key_has_one_account),
        test_case(revoked_binding_makes_no_account),
        test_case(certificate_key_is_refused_as_account_key_and_the_other_way_round),
        test_case(update_and_deactivation),
        test_case(deactivated_account_can_do_nothing_more),
        test_case(key_change_is_compare_and_set),
        test_case(accounts_are_listed_by_customer_also_those_of_before_the_lists),
        test_case(orders_of_an_account_page_without_invalid_and_refused_ones),
        test_case(account_without_use_is_swept),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
