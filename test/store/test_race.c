/* Many at once, through several connections: one winner each time. */
#include <string.h>

#include "sample.h"

#define CONNECTIONS 8
#define RACERS 64

struct racer {
    struct race *race;
    struct store_account account;
    struct store_order order;
    enum error_code code;
};

struct race {
    struct fixture *fixture;
    struct store *stores[CONNECTIONS];
    struct racer racers[RACERS];
    size_t running, won;
    bool is_over;
};

static void open_race(struct fixture *f, struct race *race) {
    *race = (struct race){.fixture = f};
    for (size_t i = 0; i < CONNECTIONS; i++) {
        race->stores[i] = open_store(f);
        wait_store_ready(f, race->stores[i]);
    }
}

static void close_race(struct race *race) {
    for (size_t i = 0; i < CONNECTIONS; i++)
        store_free(race->stores[i]);
}

static void note_finish(void *context, const struct error *error) {
    struct racer *racer = context;
    struct race *race = racer->race;
    racer->code = error == NULL ? ERROR_NONE : error->code;
    if (racer->code == ERROR_NONE)
        race->won++;
    else if (racer->code != ERROR_CONFLICT && racer->code != ERROR_UNAVAILABLE)
        fail_msg("%s", error->message);
    if (--race->running == 0)
        race->is_over = true;
}

static struct racer *next_racer(struct race *race, size_t i) {
    race->running++;
    race->racers[i] = (struct racer){.race = race};
    return &race->racers[i];
}

static void one_nonce_is_spent_by_one(void **state) {
    struct fixture *f = *state;
    struct race race;
    open_race(f, &race);
    struct nonce nonce = {.index = 3, .expires_at = now_seconds() + 3600};
    strcpy(nonce.block_hex, "000102030405060708090a0b");
    for (size_t i = 0; i < RACERS; i++) {
        struct racer *racer = next_racer(&race, i);
        store_authenticate(race.stores[i % CONNECTIONS], f->arena, &nonce, NULL, NULL, &racer->account,
                           note_finish, racer);
    }
    run_until(f, &race.is_over);
    assert_int_equal(race.won, 1);
    close_race(&race);
}

static void one_order_is_claimed_by_one(void **state) {
    struct fixture *f = *state;
    struct race race;
    struct sample s;
    open_race(f, &race);
    make_sample(f, &s, "a", "shop.test");
    for (int round = 0; round < 20; round++) {
        fill_order(f, &s, ORDER_READY, 1);
        assert_ok(CALL(f, store_create_order, &s.order, ""));
        race.won = 0;
        race.is_over = false;
        for (size_t i = 0; i < 32; i++) {
            struct racer *racer = next_racer(&race, i);
            const char *attempt = arena_printf(f->arena, "attempt-%d-%zu", round, i);
            store_claim_order(race.stores[i % CONNECTIONS], f->arena, s.order.id, attempt, clock_wall_ms(),
                              SPKI_B, SPKI_A, CSR, "ecc", &racer->order, note_finish, racer);
        }
        run_until(f, &race.is_over);
        assert_int_equal(race.won, 1);
        for (size_t i = 0; i < 32; i++) /* every loser sees the winner */
            assert_string_equal(race.racers[i].order.attempt, race.racers[0].order.attempt);
    }
    close_race(&race);
}

static void one_key_makes_one_account(void **state) {
    struct fixture *f = *state;
    struct race race;
    open_race(f, &race);
    const struct store_account account = new_account(f, "");
    bool was_created[RACERS] = {false};
    size_t created = 0;
    for (size_t i = 0; i < RACERS; i++) {
        struct racer *racer = next_racer(&race, i);
        store_create_account(race.stores[i % CONNECTIONS], f->arena, &account, &racer->account,
                             &was_created[i], note_finish, racer);
    }
    run_until(f, &race.is_over);
    for (size_t i = 0; i < RACERS; i++) {
        created += was_created[i];
        assert_string_equal(race.racers[i].account.id, race.racers[0].account.id);
    }
    assert_int_equal(created, 1);
    close_race(&race);
}

static void two_roll_overs_to_one_key_have_one_winner(void **state) {
    struct fixture *f = *state;
    struct race race;
    struct sample a, b;
    struct store_key_claim claims[2];
    open_race(f, &race);
    make_sample(f, &a, "a", "shop.test");
    make_sample(f, &b, "b", "other.test");
    const struct store_account wanted = new_account(f, "");
    struct sample *const samples[] = {&a, &b};
    for (size_t i = 0; i < 2; i++)
        store_claim_account_key(race.stores[i], f->arena, samples[i]->account.id,
                                samples[i]->account.thumbprint, wanted.thumbprint, wanted.jwk, &claims[i],
                                note_finish, next_racer(&race, i));
    run_until(f, &race.is_over);
    assert_int_equal(race.won, 1);
    size_t loser = race.racers[0].code == ERROR_NONE ? 1 : 0;
    assert_int_equal(race.racers[loser].code, ERROR_UNAVAILABLE); /* the winner may break off */
    assert_in_range(claims[loser].busy_seconds, 1, f->config.key_change_seconds);
    close_race(&race);
}

static void due_zone_is_leased_once(void **state) {
    struct fixture *f = *state;
    struct race race;
    struct sample s;
    struct store_zone zone;
    struct store_zone_list lists[CONNECTIONS];
    size_t total = 0;
    open_race(f, &race);
    make_sample(f, &s, "a", "shop.test");
    for (int i = 0; i < 20; i++)
        make_zone(f, arena_printf(f->arena, "z%d.test", i), s.customer.id, &zone);
    for (size_t i = 0; i < CONNECTIONS; i++)
        store_due_zones(race.stores[i], f->arena, 5, 60, &lists[i], note_finish, next_racer(&race, i));
    run_until(f, &race.is_over);
    for (size_t i = 0; i < CONNECTIONS; i++)
        total += lists[i].count;
    assert_int_equal(total, 20);
    close_race(&race);
}

static void one_set_of_name_servers_goes_to_one(void **state) {
    static const char *const names[] = {"ns1.p.test", "ns2.p.test", "ns3.p.test", "ns4.p.test", "ns5.p.test"};
    static const struct store_name_server_pool pool = {names, 5, 2};
    struct fixture *f = *state;
    struct race race;
    struct sample left;
    struct store_customer customers[CONNECTIONS];
    struct store_zone zones[CONNECTIONS];
    open_race(f, &race);
    make_sample(f, &left, "left", "shop.test");
    assert_ok(CALL(f, store_delete_zone, left.zone.id, NULL)); /* active: it may still be delegated */
    for (size_t i = 0; i < CONNECTIONS; i++)
        assert_ok(CALL(f, store_create_customer, f->arena, arena_printf(f->arena, "c%zu", i), &customers[i]));
    for (size_t i = 0; i < CONNECTIONS; i++)
        store_create_zone(race.stores[i], f->arena, "shop.test", customers[i].id, &pool, &not_delegated,
                          &zones[i], NULL, note_finish, next_racer(&race, i));
    run_until(f, &race.is_over);
    assert_int_equal(race.won, CONNECTIONS);
    for (size_t i = 0; i < CONNECTIONS; i++)
        for (size_t k = 0; k < i; k++)
            assert_false(strcmp(zones[i].name_servers[0], zones[k].name_servers[0]) == 0 &&
                         strcmp(zones[i].name_servers[1], zones[k].name_servers[1]) == 0);
    close_race(&race);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(one_nonce_is_spent_by_one), test_case(one_order_is_claimed_by_one),
        test_case(one_key_makes_one_account), test_case(two_roll_overs_to_one_key_have_one_winner),
        test_case(due_zone_is_leased_once),   test_case(one_set_of_name_servers_goes_to_one),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
