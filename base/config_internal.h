/* What the files of the configuration share: the table of settings and the parsing of single values. */
#pragma once

#include "originca/config.h"

enum setting_kind {
    SETTING_STRING,
    SETTING_PATH, /* relative ones are taken from the configuration file's folder */
    SETTING_NUMBER,
    SETTING_OCTAL,
    SETTING_BOOL,
    SETTING_STRINGS, /* struct config_strings */
    SETTING_ADDRESS,
    SETTING_ADDRESSES, /* pointer at `offset`, size_t at `count_offset` */
    SETTING_PREFIXES,  /* likewise */
};

/* Which struct `offset` counts into. */
enum setting_owner { OWNER_CONFIG, OWNER_PROFILE, OWNER_ISSUER };

struct setting {
    const char *section; /* "server", "profile", "issuer" ... */
    const char *name;
    enum setting_kind kind;
    size_t offset, count_offset;
    const char
        *fallback; /* default, as it would be written; NULL: none; for lists, words separated by blanks */
    uint32_t min, max;
    const char *help;
};

extern const struct setting config_settings[];
extern const size_t config_setting_count;

/* Parses `count` words into the owner's member. The error says what is wrong and what is expected. */
bool config_set_value(const struct setting *setting, const char *directory, void *owner,
                      const char *const *words, size_t count, struct error *error) MUST_CHECK;
/* Frees what config_set_value allocated in that member. */
void config_clear_value(const struct setting *setting, void *owner);
bool setting_is_list(const struct setting *setting);
/* Compares one value of two owners; strings, paths and numbers only, anything else counts as different. */
bool setting_equal(const struct setting *setting, void *a, void *b);
