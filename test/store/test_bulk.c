/* Jobs that revoke many certificates and mass replacements: what is selected, whose a job is, that a page
 * counts once, what renewal information says. */
#include <string.h>

#include "originca/store_bulk.h"
#include "sample.h"

#define JOB "000102030405060708090a0b0c0d0e0f"
#define JOB_B "100102030405060708090a0b0c0d0e0f"
#define JOB_BY "admin:unix bulk:" JOB
#define URGENT "200102030405060708090a0b0c0d0e0f"
#define MANY 7

static const struct store_bulk_lease mine = {"mine", "host-a", 10000}, other = {"other", "host-b", 10000};

static const char *serial_of(struct fixture *f, size_t number) {
    return arena_printf(f->arena, "0123456789abcdef0123456789ab%04zx", number);
}

/* MANY certificates of one customer, and one of another. */
static void make_many(struct fixture *f, struct sample *s, struct sample *stranger) {
    make_sample(f, s, "a", "shop.test");
    make_sample(f, stranger, "b", "other.test");
    for (size_t i = 0; i < MANY; i++)
        issue(f, s, serial_of(f, i), arena_printf(f->arena, "00112233445566778899aabbccddeeff-%zu", i),
              SPKI_A);
    issue(f, stranger, SERIAL_B, "00112233445566778899aabbccddeeff-99", SPKI_B);
}

static uint64_t count(struct fixture *f, const struct store_selection *selection) {
    struct store_selected selected = {.count = 0};
    do
        assert_ok(CALL(f, store_count_selected, f->arena, selection, &selected));
    while (selected.cursor != NULL);
    return selected.count;
}

static void a_selection_is_what_all_its_members_fit(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    make_many(f, &s, &stranger);
    const char *list[] = {serial_of(f, 1), SERIAL_B, SERIAL_A /* not there */};
    uint64_t total;
    assert_code(CALL(f, store_add_serials, JOB, false, list, 3, &total), ERROR_NOT_FOUND);
    assert_ok(CALL(f, store_add_serials, JOB, true, list, 3, &total));
    assert_ok(CALL(f, store_add_serials, JOB, false, list, 2, &total));
    assert_int_equal(total, 3);
#define COUNT(...) count(f, &(const struct store_selection){__VA_ARGS__})
    assert_int_equal(COUNT(.issuer = "ecc"), MANY + 1);
    assert_int_equal(COUNT(.customer = s.customer.id), MANY);
    assert_int_equal(COUNT(.zone = stranger.zone.id), 1);
    assert_int_equal(COUNT(.account = s.account.id), MANY);
    assert_int_equal(COUNT(.key = SPKI_A), MANY);
    assert_int_equal(COUNT(.key = SPKI_A, .customer = stranger.customer.id), 0);
    assert_int_equal(COUNT(.serials = JOB), 2);
    assert_int_equal(COUNT(.serials = JOB, .customer = s.customer.id), 1);
    assert_int_equal(COUNT(.profile = "origin"), MANY + 1);
    assert_int_equal(COUNT(.profile = "other"), 0);
    assert_int_equal(COUNT(.issued_since = now_seconds() + 10), 0);
    assert_int_equal(COUNT(.issued_before = now_seconds() + 10), MANY + 1);
    assert_int_equal(COUNT(.issued_before = 1000), 0);
    assert_ok(
        CALL(f, store_revoke_certificate, REVOCATION(serial_of(f, 0), now_seconds(), 4, "admin"), NULL));
    assert_int_equal(COUNT(.customer = s.customer.id), MANY - 1);
#undef COUNT
}

/* What the count found, as the pieces that a job is made of. */
static void keep_pieces(struct fixture *f, const char *id, const struct store_selection *selection,
                        struct store_selected *selected) {
    *selected = (struct store_selected){.wants_serials = true};
    assert_ok(CALL(f, store_count_selected, f->arena, selection, selected));
    assert_int_equal(strlen(selected->serials), selected->count * STORE_SERIAL_HEX);
    assert_ok(CALL(f, store_add_bulk_piece, id, 0, "seal", selected->serials));
}

static void make_job(struct fixture *f, const char *id, const char *by, const char *customer) {
    const struct store_bulk bulk = {.id = id,
                                    .selection.customer = customer,
                                    .reason = 4,
                                    .rate = 100,
                                    .by = by,
                                    .total = MANY,
                                    .created_at = 77,
                                    .plan = id,
                                    .seal = "job seal",
                                    .progress_seal = "none yet"};
    struct store_selected selected;
    keep_pieces(f, id, &bulk.selection, &selected);
    assert_ok(CALL(f, store_create_bulk, &bulk));
}

static void load_page(struct fixture *f, const struct store_bulk *job, const struct store_bulk_lease *lease,
                      size_t limit, struct store_bulk_page *page) {
    *page = (struct store_bulk_page){.limit = limit};
    assert_ok(CALL(f, store_page_bulk, f->arena, job, lease, page));
}

/* All `span` serials of the page are done. */
static struct store_bulk_progress progress_of(const struct store_bulk *job, size_t span) {
    return (struct store_bulk_progress){.before = job->position,
                                        .position = job->position + span,
                                        .done = job->position + span,
                                        .is_last = job->position + span == MANY,
                                        .seal = "far",
                                        .problem = ""};
}

static void revoke_page(struct fixture *f, const struct store_bulk_page *page, size_t most) {
    for (size_t i = 0; i < page->count && i < most; i++)
        assert_ok(CALL(f, store_revoke_certificate,
                       REVOCATION(page->items[i].serial, now_seconds(), 4, JOB_BY), NULL));
}

static void a_job_is_one_process_s_while_its_lease_lasts(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    struct store_bulk job;
    const struct store_bulk_lease brief = {"mine", "host-a", 1};
    make_many(f, &s, &stranger);
    assert_ok(CALL(f, store_claim_bulk, f->arena, &mine, &job));
    assert_null(job.id);
    make_job(f, JOB, JOB_BY, s.customer.id);
    assert_true(ask_number(f, "TTL bulk-plan:" JOB) > 86400);
    make_job(f, JOB, JOB_BY, s.customer.id);
    assert_ok(CALL(f, store_claim_bulk, f->arena, &mine, &job));
    assert_string_equal(job.id, JOB);
    assert_string_equal(job.selection.customer, s.customer.id);
    assert_int_equal(job.total, MANY);
    assert_int_equal(job.created_at, 77);
    assert_string_equal(job.seal, "job seal");
    assert_string_equal(job.progress_seal, "none yet");
    assert_ok(CALL(f, store_claim_bulk, f->arena, &other, &job));
    assert_null(job.id);
    assert_code(CALL(f, store_renew_bulk, JOB, &other, ""), ERROR_CONFLICT);
    assert_ok(CALL(f, store_renew_bulk, JOB, &brief, "slow"));
    while (job.id == NULL) /* the lease ends in a moment */
        assert_ok(CALL(f, store_claim_bulk, f->arena, &other, &job));
    assert_string_equal(job.problem, "slow");
    assert_code(CALL(f, store_renew_bulk, JOB, &mine, ""), ERROR_CONFLICT);
    assert_ok(CALL(f, store_cancel_bulk, f->arena, JOB, "admin", &job));
    assert_int_equal(job.state, BULK_CANCELLED);
    assert_code(CALL(f, store_renew_bulk, JOB, &other, ""), ERROR_CONFLICT);
    assert_code(CALL(f, store_cancel_bulk, f->arena, JOB, "admin", &job), ERROR_CONFLICT);
    assert_int_equal(ask_number(f, "ZCARD bulk-open"), 0);
    assert_true(ask_number(f, "TTL bulk:" JOB) > 0);
    assert_int_equal(ask_number(f, "EXISTS bulk-plan:" JOB), 0);
}

/* The first process revokes some of a page and dies; who follows counts all of them, once. */
static void a_page_that_was_interrupted_counts_once(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    struct store_bulk job;
    struct store_bulk_page page;
    bool waits;
    make_many(f, &s, &stranger);
    make_job(f, JOB, JOB_BY, s.customer.id);
    const struct store_bulk_lease brief = {"mine", "host-a", 1};
    assert_ok(CALL(f, store_claim_bulk, f->arena, &brief, &job));
    load_page(f, &job, &brief, 4, &page);
    assert_int_equal(page.count, 4);
    assert_string_equal(page.piece_seal, "seal");
    assert_int_equal(strlen(page.piece), MANY * STORE_SERIAL_HEX);
    revoke_page(f, &page, 3);
    do
        assert_ok(CALL(f, store_claim_bulk, f->arena, &other, &job));
    while (job.id == NULL);
    load_page(f, &job, &other, 4, &page);
    assert_int_equal(page.count + page.repeated, 4);
    assert_int_equal(page.repeated, 3);
    revoke_page(f, &page, page.count);
    struct store_bulk_progress progress = progress_of(&job, 4);
    assert_code(CALL(f, store_note_bulk, JOB, &mine, &progress, &waits), ERROR_CONFLICT);
    assert_ok(CALL(f, store_note_bulk, JOB, &other, &progress, &waits));
    assert_code(CALL(f, store_note_bulk, JOB, &other, &progress, &waits), ERROR_CONFLICT);
    job.position = 4;
    load_page(f, &job, &other, 4, &page);
    assert_int_equal(page.count, MANY - 4);
    assert_int_equal(page.job.position, 4);
    assert_string_equal(page.job.progress_seal, "far");
    revoke_page(f, &page, page.count);
    progress = progress_of(&job, MANY - 4);
    assert_ok(CALL(f, store_note_bulk, JOB, &other, &progress, &waits));
    assert_ok(CALL(f, store_load_bulk, f->arena, JOB, &job));
    assert_int_equal(job.state, BULK_DONE);
    assert_int_equal(job.done, MANY);
    assert_int_equal(ask_number(f, "ZCARD certificates:revoked"), MANY);
}

static void expect_claim(struct fixture *f, const struct store_bulk_lease *lease, const char *id) {
    struct store_bulk job;
    assert_ok(CALL(f, store_claim_bulk, f->arena, lease, &job));
    if (id == NULL)
        assert_null(job.id);
    else
        assert_string_equal(job.id, id);
}

/* Does the job make room after a page of one? */
static bool waits_after_a_page(struct fixture *f, const char *id, const struct store_bulk_lease *lease,
                               bool may_wait) {
    struct store_bulk job;
    bool waits;
    assert_ok(CALL(f, store_load_bulk, f->arena, id, &job));
    struct store_bulk_progress done = progress_of(&job, 1);
    done.may_wait = may_wait;
    assert_ok(CALL(f, store_note_bulk, id, lease, &done, &waits));
    return waits;
}

static void jobs_take_turns_and_those_for_compromised_keys_come_first(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    make_many(f, &s, &stranger);
    make_job(f, JOB, JOB_BY, s.customer.id);
    expect_claim(f, &mine, JOB);
    assert_false(waits_after_a_page(f, JOB, &mine, true)); /* for nobody */
    make_job(f, JOB_B, JOB_BY, s.customer.id);
    assert_false(waits_after_a_page(f, JOB, &mine, false));
    assert_true(waits_after_a_page(f, JOB, &mine, true));
    expect_claim(f, &mine, JOB_B);
    assert_true(waits_after_a_page(f, JOB_B, &mine, true));
    const struct store_bulk urgent = {.id = URGENT,
                                      .selection.customer = s.customer.id,
                                      .reason = 1,
                                      .rate = 1,
                                      .by = JOB_BY,
                                      .total = MANY,
                                      .plan = URGENT};
    struct store_selected selected;
    keep_pieces(f, URGENT, &urgent.selection, &selected);
    assert_ok(CALL(f, store_create_bulk, &urgent));
    expect_claim(f, &mine, URGENT);
    assert_false(waits_after_a_page(f, URGENT, &mine, true)); /* for one that is less urgent */
    expect_claim(f, &other, JOB);
    struct store_bulk out;
    assert_ok(CALL(f, store_cancel_bulk, f->arena, URGENT, "admin", &out));
    expect_claim(f, &mine, JOB_B);
}

static void confirm_job(struct fixture *f, const char *id, struct store_selection selection,
                        struct store_selected *selected) {
    keep_pieces(f, id, &selection, selected);
    selection.cut_off = selected->cut_off;
    const struct store_bulk bulk = {.id = id,
                                    .selection = selection,
                                    .reason = 4,
                                    .rate = 100,
                                    .by = JOB_BY,
                                    .total = selected->count,
                                    .plan = id};
    assert_ok(CALL(f, store_create_bulk, &bulk));
}

/* In the second of the count, too, and with a host's clock behind or ahead. */
static void what_became_known_after_the_count_is_not_touched(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    struct store_bulk job;
    struct store_bulk_page page;
    struct store_selected selected;
    make_many(f, &s, &stranger);
    ask_text(f, arena_printf(f->arena, "HSET certificate:%s issued %lld", serial_of(f, 2),
                             (long long)now_seconds() + 100));
    confirm_job(f, JOB, (struct store_selection){.customer = s.customer.id}, &selected);
    assert_int_equal(selected.count, MANY);
    const char *late = serial_of(f, MANY);
    issue(f, &s, late, "00112233445566778899aabbccddeeff-50", SPKI_A);
    ask_text(f,
             arena_printf(f->arena, "HSET certificate:%s issued %lld", late, (long long)now_seconds() - 100));
    assert_ok(CALL(f, store_claim_bulk, f->arena, &mine, &job));
    assert_int_equal(job.selection.cut_off, selected.cut_off);
    load_page(f, &job, &mine, 100, &page);
    assert_int_equal(page.count, MANY);
    for (size_t i = 0; i < page.count; i++)
        assert_string_not_equal(page.items[i].serial, late);
    const struct store_selection never = {.customer = s.customer.id, .cut_off = selected.cut_off + 2};
    selected = (struct store_selected){.count = 0};
    assert_code(CALL(f, store_count_selected, f->arena, &never, &selected), ERROR_CONFLICT);
}

static void a_list_that_was_counted_takes_no_more(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    struct store_selected selected;
    uint64_t total;
    make_many(f, &s, &stranger);
    const char *list[] = {serial_of(f, 1), serial_of(f, 2), SERIAL_A /* not there */}, *more[] = {SERIAL_B};
    assert_ok(CALL(f, store_add_serials, JOB, true, list, 3, &total));
    confirm_job(f, JOB, (struct store_selection){.serials = JOB}, &selected);
    assert_int_equal(selected.count, 2);
    assert_code(CALL(f, store_add_serials, JOB, false, more, 1, &total), ERROR_CONFLICT);
    ask_text(f, arena_printf(f->arena, "ZREM bulk-serials:" JOB " %s", serial_of(f, 1)));
    const struct store_selection gone = {.serials = JOB};
    selected = (struct store_selected){.count = 0};
    assert_code(CALL(f, store_count_selected, f->arena, &gone, &selected), ERROR_NOT_FOUND);
}

static void a_job_has_all_its_pieces_or_is_not_made(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    struct store_bulk job;
    struct store_bulk_page page;
    struct store_selected selected;
    make_many(f, &s, &stranger);
    const struct store_bulk bulk = {.id = JOB_B, .reason = 4, .rate = 1, .by = JOB_BY, .total = MANY};
    assert_code(CALL(f, store_create_bulk, &bulk), ERROR_NOT_FOUND);
    confirm_job(f, JOB, (struct store_selection){.customer = s.customer.id}, &selected);
    assert_ok(CALL(f, store_claim_bulk, f->arena, &mine, &job));
    ask_text(f, "DEL bulk-plan:" JOB);
    load_page(f, &job, &mine, 100, &page);
    assert_string_equal(page.piece, "");
    assert_int_equal(page.count, 0);
    assert_code(CALL(f, store_fail_bulk, JOB, &other, "gone", false), ERROR_CONFLICT);
    assert_ok(CALL(f, store_fail_bulk, JOB, &mine, "gone", false));
    assert_ok(CALL(f, store_load_bulk, f->arena, JOB, &job));
    assert_int_equal(job.state, BULK_FAILED);
    assert_string_equal(job.problem, "gone");
    assert_int_equal(ask_number(f, "ZCARD bulk-open"), 0);
}

static void what_is_no_job_keeps_back_no_other(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    struct store_bulk job;
    struct store_bulk_list jobs;
    make_many(f, &s, &stranger);
    ask_text(f, "SET bulk:no-hash 1");
    ask_number(f, "ZADD bulk-open 1 no-hash");
    ask_number(f, "HSET bulk:no-numbers state running total many lease soon holder nobody");
    ask_number(f, "ZADD bulk-open 2 no-numbers");
    ask_number(f, "ZADD bulk-jobs 2 no-numbers");
    make_job(f, JOB, JOB_BY, s.customer.id);
    assert_ok(CALL(f, store_claim_bulk, f->arena, &mine, &job));
    assert_string_equal(job.id, "no-numbers");
    assert_true(job.is_unreadable);
    assert_ok(CALL(f, store_list_bulks, f->arena, NULL, 10, &jobs));
    assert_int_equal(jobs.count, 2);
    assert_ok(CALL(f, store_fail_bulk, "no-numbers", &mine, "no job", true));
    assert_ok(CALL(f, store_load_bulk, f->arena, "no-numbers", &job));
    assert_int_equal(job.state, BULK_FAILED);
    assert_false(job.is_unreadable);
    assert_ok(CALL(f, store_claim_bulk, f->arena, &mine, &job));
    assert_string_equal(job.id, JOB);
}

static void renewal_information_knows_the_first_replacement(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    struct store_certificate certificate;
    struct store_renewal renewal;
    struct store_replacement out;
    make_many(f, &s, &stranger);
    const struct store_replacement later = {.id = JOB,
                                            .selection.customer = s.customer.id,
                                            .starts_at = now_seconds() + 50,
                                            .over_seconds = 100,
                                            .explanation_url = "https://a.test/",
                                            .by = "admin",
                                            .ends_at = now_seconds() + 1000},
                                   sooner = {.id = JOB_B,
                                             .selection.key = SPKI_A,
                                             .starts_at = now_seconds() + 5,
                                             .over_seconds = 7,
                                             .explanation_url = "",
                                             .by = "admin",
                                             .ends_at = now_seconds() + 1000};
    assert_ok(CALL(f, store_load_renewal, f->arena, serial_of(f, 1), &certificate, &renewal));
    assert_int_equal(renewal.from, 0);
    assert_ok(CALL(f, store_create_replacement, &later));
    assert_ok(CALL(f, store_load_renewal, f->arena, serial_of(f, 1), &certificate, &renewal));
    assert_int_equal(renewal.from, later.starts_at);
    assert_int_equal(renewal.over_seconds, 100);
    assert_string_equal(renewal.explanation_url, "https://a.test/");
    assert_string_equal(certificate.customer, s.customer.id);
    assert_ok(CALL(f, store_create_replacement, &sooner));
    assert_ok(CALL(f, store_load_renewal, f->arena, serial_of(f, 1), &certificate, &renewal));
    assert_int_equal(renewal.from, sooner.starts_at);
    assert_ok(CALL(f, store_load_renewal, f->arena, SERIAL_B, &certificate, &renewal));
    assert_int_equal(renewal.from, 0);
    assert_ok(CALL(f, store_cancel_replacement, f->arena, JOB_B, "admin", &out));
    assert_true(out.cancelled_at > 0);
    assert_ok(CALL(f, store_load_renewal, f->arena, serial_of(f, 1), &certificate, &renewal));
    assert_int_equal(renewal.from, later.starts_at);
    assert_code(CALL(f, store_cancel_replacement, f->arena, JOB_B, "admin", &out), ERROR_CONFLICT);
    assert_code(CALL(f, store_load_renewal, f->arena, SERIAL_A, &certificate, &renewal), ERROR_NOT_FOUND);
}

/* Clients that name no predecessor renew too; their certificates are far from the newest of the zone. */
static void who_has_replaced_is_found_in_a_busy_zone(void **state) {
    struct fixture *f = *state;
    struct sample s, stranger;
    struct store_selected selected = {.count = 0};
    struct store_replacement_progress progress = {.cursor = NULL};
    make_many(f, &s, &stranger);
    struct store_selection selection = {.customer = s.customer.id};
    assert_ok(CALL(f, store_count_selected, f->arena, &selection, &selected));
    selection.cut_off = selected.cut_off;
    const struct store_replacement replacement = {.id = JOB,
                                                  .selection = selection,
                                                  .explanation_url = "",
                                                  .by = "admin",
                                                  .total = selected.count,
                                                  .ends_at = now_seconds() + 1000};
    assert_ok(CALL(f, store_create_replacement, &replacement));
    assert_ok(CALL(f, store_page_replacement, f->arena, JOB, false, 1, &progress));
    assert_int_equal(progress.waiting, MANY);
    for (size_t i = MANY; i < MANY + 600; i++) {
        issue(f, &s, serial_of(f, i),
              arena_printf(f->arena, "00112233445566778899aabbccddeeff-%zu", 1000 + i), SPKI_B);
        if (i != MANY)
            ask_text(f,
                     arena_printf(f->arena, "HSET certificate:%s names %zu.shop.test", serial_of(f, i), i));
    }
    progress = (struct store_replacement_progress){.cursor = NULL};
    do
        assert_ok(CALL(f, store_page_replacement, f->arena, JOB, false, 1, &progress));
    while (progress.cursor != NULL);
    assert_int_equal(progress.replaced, MANY);
    assert_int_equal(progress.waiting, 0);
}

static void replacements_are_few(void **state) {
    struct fixture *f = *state;
    struct store_replacement replacement = {
        .selection.issuer = "ecc", .explanation_url = "", .by = "admin", .ends_at = now_seconds() + 1000};
    for (size_t i = 0; i <= STORE_REPLACEMENTS_MAX; i++) {
        replacement.id = arena_printf(f->arena, "%032zx", i);
        assert_code(CALL(f, store_create_replacement, &replacement),
                    i < STORE_REPLACEMENTS_MAX ? ERROR_NONE : ERROR_CONFLICT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(a_selection_is_what_all_its_members_fit),
        test_case(a_job_is_one_process_s_while_its_lease_lasts),
        test_case(a_page_that_was_interrupted_counts_once),
        test_case(jobs_take_turns_and_those_for_compromised_keys_come_first),
        test_case(what_became_known_after_the_count_is_not_touched),
        test_case(a_list_that_was_counted_takes_no_more),
        test_case(a_job_has_all_its_pieces_or_is_not_made),
        test_case(what_is_no_job_keeps_back_no_other),
        test_case(renewal_information_knows_the_first_replacement),
        test_case(who_has_replaced_is_found_in_a_busy_zone),
        test_case(replacements_are_few),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
