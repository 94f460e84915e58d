/* Kept OCSP answers: found by what Redis says now, bounded in memory, the one not asked for the longest goes
 * first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ocsp/kept.h"

#define MAX 65536
#define DER_BYTES 300

static const uint8_t der[DER_BYTES] = {0x30, 1};
static const struct ocsp_answer answer = {{der, DER_BYTES}, 1000, 2000};

static struct ocsp_kept_key key_of(uint32_t number, const char *state) {
    struct ocsp_kept_key key = {.form = OCSP_SHA256, .state = state};
    memcpy(key.serial + SERIAL_BYTES - sizeof number, &number, sizeof number);
    return key;
}

static void put(struct ocsp_kept *kept, uint32_t number, const char *state) {
    const struct ocsp_kept_key key = key_of(number, state);
    ocsp_kept_put(kept, &key, &answer, 5000);
}

static bool has(struct ocsp_kept *kept, uint32_t number, const char *state, int64_t now_ms) {
    const struct ocsp_kept_key key = key_of(number, state);
    struct arena *arena = arena_new(0);
    struct ocsp_answer found;
    bool is_found = ocsp_kept_find(kept, arena, &key, now_ms, &found);
    if (is_found) {
        assert_int_equal(found.der.length, DER_BYTES);
        assert_memory_equal(found.der.data, der, DER_BYTES);
        assert_int_equal(found.this_update, 1000);
        assert_int_equal(found.next_update, 2000);
    }
    arena_free(arena);
    return is_found;
}

static void an_answer_is_found_by_its_certificate_form_and_state(void **state) {
    (void)state;
    struct ocsp_kept *kept = ocsp_kept_new(MAX);
    struct ocsp_kept_key key = key_of(1, "good");
    struct ocsp_answer found;
    put(kept, 1, "good");
    assert_true(has(kept, 1, "good", 4999));
    assert_false(has(kept, 1, "good", 5000));
    assert_false(has(kept, 1, "revoked:77:4", 0));
    assert_false(has(kept, 2, "good", 0));
    key.form = 0;
    assert_false(ocsp_kept_find(kept, NULL, &key, 0, &found));
    put(kept, 1, "revoked:77:4");
    assert_false(has(kept, 1, "good", 0));
    assert_true(has(kept, 1, "revoked:77:4", 0));
    put(kept, 3, "revoked:999999999999:9999999999999999999");
    assert_false(has(kept, 3, "revoked:999999999999:9999999999999999999", 0));
    ocsp_kept_free(kept);
}

static void memory_is_bounded_and_what_nobody_asks_for_goes_first(void **state) {
    (void)state;
    struct ocsp_kept *kept = ocsp_kept_new(MAX);
    for (uint32_t i = 0; i < 10000; i++) {
        put(kept, i, "good");
        assert_true(ocsp_kept_bytes(kept) <= MAX);
        assert_true(has(kept, i, "good", 0) && has(kept, 0, "good", 0));
    }
    assert_false(has(kept, 1, "good", 0));
    assert_true(has(kept, 9999 - MAX / (4 * DER_BYTES), "good", 0));
    ocsp_kept_free(kept);
}

static void without_room_nothing_is_kept(void **state) {
    (void)state;
    for (size_t max = 0; max <= 1100; max += 100) {
        struct ocsp_kept *kept = ocsp_kept_new(max);
        put(kept, 1, "good");
        assert_true(ocsp_kept_bytes(kept) <= max);
        assert_int_equal(has(kept, 1, "good", 0), max >= 1024);
        ocsp_kept_free(kept);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_found_by_its_certificate_form_and_state),
        cmocka_unit_test(memory_is_bounded_and_what_nobody_asks_for_goes_first),
        cmocka_unit_test(without_room_nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
