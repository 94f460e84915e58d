/* Settings that are set twice. libConfuse takes the last one in silence, and tells a validator of a list
 * neither where it begins nor that it is empty; so the text itself is read, as words, strings and braces. */
#include "config_source.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16
#define SCOPE_MAX 192
#define WORD_MAX 64

struct assignment {
    char scope[SCOPE_MAX], key[WORD_MAX];
    int line;
};

struct repeats {
    const char *at;
    int line;
    struct assignment *seen;
    size_t seen_count;
    char words[2][WORD_MAX]; /* before a brace: a section's name and title; before an equals sign: a key */
    size_t word_count;
    int word_line;
    char scopes[DEPTH_MAX + 1][SCOPE_MAX];  /* path of each section that is open */
    char sections[DEPTH_MAX + 1][WORD_MAX]; /* its name, for the complaint */
    size_t depth;
    struct config_complaints *complaints;
};

static void copy_word(char out[WORD_MAX], const char *begin, size_t length) {
    snprintf(out, WORD_MAX, "%.*s", (int)(length < WORD_MAX ? length : WORD_MAX - 1), begin);
}

static void pass_string(struct repeats *repeats, char out[WORD_MAX]) {
    char quote = *repeats->at++;
    const char *begin = repeats->at;
    for (; *repeats->at != '\0' && *repeats->at != quote; repeats->at++) {
        if (*repeats->at == '\\' && repeats->at[1] != '\0')
            repeats->at++;
        repeats->line += *repeats->at == '\n' ? 1 : 0;
    }
    copy_word(out, begin, (size_t)(repeats->at - begin));
    if (*repeats->at != '\0')
        repeats->at++;
}

static void pass_space(struct repeats *repeats) {
    for (size_t length; (length = strspn(repeats->at, " \t\r\n,")) > 0; repeats->at += length)
        for (size_t i = 0; i < length; i++)
            repeats->line += repeats->at[i] == '\n' ? 1 : 0;
}

static size_t word_length(const char *at) {
    size_t length = strcspn(at, " \t\r\n,={}+\"'");
    return length > 0 ? length : 1;
}

/* One value, or a list of them. */
static void pass_value(struct repeats *repeats) {
    char ignored[WORD_MAX];
    bool is_list = false;
    do {
        pass_space(repeats);
        if (*repeats->at == '{') {
            is_list = true;
            repeats->at++;
        } else if (*repeats->at == '}') {
            repeats->at += is_list ? 1 : 0;
            return;
        } else if (*repeats->at == '"' || *repeats->at == '\'') {
            pass_string(repeats, ignored);
        } else if (*repeats->at != '\0') {
            repeats->at += word_length(repeats->at);
        }
    } while (is_list && *repeats->at != '\0');
}

static void note_assignment(struct repeats *repeats) {
    const char *scope = repeats->scopes[repeats->depth], *key = repeats->words[0];
    for (size_t i = 0; i < repeats->seen_count; i++)
        if (strcmp(repeats->seen[i].scope, scope) == 0 && strcmp(repeats->seen[i].key, key) == 0) {
            config_complain(repeats->complaints, repeats->word_line, repeats->sections[repeats->depth], key,
                            "is set twice (first in line %d)", repeats->seen[i].line);
            return;
        }
    struct assignment *larger = realloc(repeats->seen, (repeats->seen_count + 1) * sizeof *larger);
    if (larger == NULL)
        return;
    repeats->seen = larger;
    struct assignment *added = &larger[repeats->seen_count++];
    snprintf(added->scope, sizeof added->scope, "%s", scope);
    snprintf(added->key, sizeof added->key, "%s", key);
    added->line = repeats->word_line;
}

/* A section without a title is the same one wherever it stands. */
static void open_section(struct repeats *repeats) {
    size_t depth = repeats->depth < DEPTH_MAX ? repeats->depth + 1 : DEPTH_MAX;
    char scope[SCOPE_MAX];
    snprintf(scope, sizeof scope, "%.60s/%s %s", repeats->scopes[repeats->depth], repeats->words[0],
             repeats->words[1]);
    memcpy(repeats->scopes[depth], scope, sizeof scope);
    memcpy(repeats->sections[depth], repeats->words[0], sizeof repeats->words[0]);
    repeats->depth = depth;
}

static void forget_words(struct repeats *repeats) {
    repeats->word_count = 0;
    repeats->words[0][0] = repeats->words[1][0] = '\0';
}

static void pass_word(struct repeats *repeats) {
    char *word = repeats->words[repeats->word_count < 2 ? repeats->word_count++ : 1];
    repeats->word_line = repeats->line;
    if (*repeats->at == '"' || *repeats->at == '\'') {
        pass_string(repeats, word);
        return;
    }
    size_t length = word_length(repeats->at);
    copy_word(word, repeats->at, length);
    repeats->at += length;
}

static void pass_token(struct repeats *repeats) {
    bool is_addition = strncmp(repeats->at, "+=", 2) == 0;
    if (*repeats->at != '=' && *repeats->at != '{' && *repeats->at != '}' && !is_addition) {
        pass_word(repeats);
        return;
    }
    char what = *repeats->at;
    repeats->at += is_addition ? 2 : 1;
    if (what == '=')
        note_assignment(repeats);
    if (what == '=' || is_addition)
        pass_value(repeats);
    else if (what == '{')
        open_section(repeats);
    else
        repeats->depth -= repeats->depth > 0 ? 1 : 0;
    forget_words(repeats);
}

void config_find_repeats(const char *source, struct config_complaints *complaints) {
    struct repeats *repeats = calloc(1, sizeof *repeats);
    if (repeats == NULL)
        return;
    *repeats = (struct repeats){.at = source, .line = 1, .complaints = complaints};
    for (pass_space(repeats); *repeats->at != '\0'; pass_space(repeats))
        pass_token(repeats);
    free(repeats->seen);
    free(repeats);
}
