/* Keys of the REST API: their form, their hash, their rights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "originca/api_key.h"

static struct secrets *make_secrets(void) {
    char path[] = "/tmp/originca-secret-XXXXXX";
    struct error error;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (int i = 0; i < 64; i++)
        assert_int_equal(write(fd, "a", 1), 1);
    close(fd);
    struct secrets *secrets = secrets_load(path, &error);
    unlink(path);
    assert_non_null(secrets);
    return secrets;
}

static void new_key_has_its_form_and_leads_to_its_id(void **state) {
    (void)state;
    char id[API_KEY_ID_HEX + 1], text[API_KEY_TEXT_MAX], found[API_KEY_ID_HEX + 1];
    enum api_key_kind kind;
    for (int i = 0; i < 2000; i++) {
        enum api_key_kind wanted = i % 2 == 0 ? API_KEY_SERVICE : API_KEY_TOKEN;
        api_key_make(wanted, id, text);
        assert_int_equal(strlen(text), wanted == API_KEY_SERVICE ? 176 : 40);
        assert_true(text[0] != '-' && text[0] != '_');
        assert_true(api_key_parse(text, &kind, found));
        assert_int_equal(kind, wanted);
        assert_string_equal(found, id);
    }
}

static void what_has_not_the_form_is_no_key(void **state) {
    (void)state;
    char id[API_KEY_ID_HEX + 1], text[API_KEY_TEXT_MAX + 1], changed[API_KEY_TEXT_MAX + 1];
    enum api_key_kind kind;
    api_key_make(API_KEY_SERVICE, id, text);
    for (size_t i = 0; i < strlen(text); i++) { /* any one character replaced */
        memcpy(changed, text, sizeof changed);
        changed[i] = '!';
        assert_false(api_key_parse(changed, &kind, id));
    }
    api_key_make(API_KEY_TOKEN, id, text);
    for (size_t i = 0; i < strlen(text); i++) {
        memcpy(changed, text, sizeof changed);
        changed[i] = '+';
        assert_false(api_key_parse(changed, &kind, id));
        changed[i] = '\0'; /* cut */
        assert_false(api_key_parse(changed, &kind, id));
    }
    assert_false(api_key_parse("", &kind, id));
}

static void hash_is_of_the_whole_key_and_an_ended_key_matches_nothing(void **state) {
    (void)state;
    struct secrets *secrets = make_secrets();
    char id[API_KEY_ID_HEX + 1], text[API_KEY_TEXT_MAX], hash[API_KEY_HASH_HEX + 1];
    api_key_make(API_KEY_SERVICE, id, text);
    api_key_hash(secrets, text, hash);
    assert_int_equal(strlen(hash), API_KEY_HASH_HEX);
    assert_true(api_key_matches(secrets, text, hash));
    for (size_t i = 0; i < strlen(text); i++) {
        char kept = text[i];
        text[i] = kept == '0' ? '1' : '0';
        assert_false(api_key_matches(secrets, text, hash));
        text[i] = kept;
    }
    assert_false(api_key_matches(secrets, text, ""));
    secrets_free(secrets);
}

static void rights_include_what_they_need(void **state) {
    (void)state;
    struct arena *arena = arena_new(0);
    assert_int_equal(api_key_right_parse("certificates:edit"),
                     API_KEY_CERTIFICATES_EDIT | API_KEY_CERTIFICATES_READ);
    assert_int_equal(api_key_right_parse("zones:edit"), API_KEY_ZONES_EDIT | API_KEY_ZONES_READ);
    assert_int_equal(api_key_right_parse("zones"), 0);
    assert_int_equal(api_key_right_parse(""), 0);
    assert_int_equal(api_key_rights_parse("zones:read nonsense  certificates:read"),
                     API_KEY_ZONES_READ | API_KEY_CERTIFICATES_READ);
    for (unsigned rights = 0; rights < 16; rights++) {
        char *text = api_key_rights_text(arena, rights);
        unsigned again = api_key_rights_parse(text);
        assert_int_equal(again & rights, rights);
    }
    assert_false((api_key_default_rights(API_KEY_SERVICE) & API_KEY_ZONES_EDIT) != 0);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_key_has_its_form_and_leads_to_its_id),
        cmocka_unit_test(what_has_not_the_form_is_no_key),
        cmocka_unit_test(hash_is_of_the_whole_key_and_an_ended_key_matches_nothing),
        cmocka_unit_test(rights_include_what_they_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
