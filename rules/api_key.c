/* Making and checking keys of the REST API. */
#include "originca/api_key.h"

#include <string.h>

#define ID_BYTES (API_KEY_ID_HEX / 2)
#define SERVICE_SECRET_BYTES 73
#define TOKEN_SECRET_BYTES 18
#define SERVICE_PREFIX "v1.0-"
#define PREFIX_LENGTH (sizeof SERVICE_PREFIX - 1)

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const struct {
    const char *word;
    unsigned bit, includes;
} rights_table[] = {
    {"certificates:read", API_KEY_CERTIFICATES_READ, API_KEY_CERTIFICATES_READ},
    {"certificates:edit", API_KEY_CERTIFICATES_EDIT, API_KEY_CERTIFICATES_EDIT | API_KEY_CERTIFICATES_READ},
    {"zones:read", API_KEY_ZONES_READ, API_KEY_ZONES_READ},
    {"zones:edit", API_KEY_ZONES_EDIT, API_KEY_ZONES_EDIT | API_KEY_ZONES_READ},
};
#define RIGHTS (sizeof rights_table / sizeof *rights_table)

/* Both lengths are multiples of three: four characters each, nothing left over. */
static void write_base64url(const uint8_t *bytes, size_t length, char *out) {
    for (size_t i = 0; i < length; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *out++ = alphabet[group >> shift & 63];
    }
    *out = '\0';
}

static bool read_base64url(const char *text, size_t length, uint8_t *out) {
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *at = text[i + k] == '\0' ? NULL : strchr(alphabet, text[i + k]);
            if (at == NULL)
                return false;
            group = group << 6 | (uint32_t)(at - alphabet);
        }
        *out++ = (uint8_t)(group >> 16);
        *out++ = (uint8_t)(group >> 8);
        *out++ = (uint8_t)group;
    }
    return true;
}

void api_key_make(enum api_key_kind kind, char id[API_KEY_ID_HEX + 1], char text[API_KEY_TEXT_MAX]) {
    uint8_t random[ID_BYTES + SERVICE_SECRET_BYTES];
    /* A token is an argument on command lines: it never begins with a hyphen. */
    do
        random_bytes(random, sizeof random);
    while (random[0] >> 2 >= 62);
    hex_encode(random, ID_BYTES, id);
    if (kind == API_KEY_SERVICE) {
        memcpy(text, SERVICE_PREFIX, PREFIX_LENGTH);
        memcpy(text + PREFIX_LENGTH, id, API_KEY_ID_HEX);
        text[PREFIX_LENGTH + API_KEY_ID_HEX] = '-';
        hex_encode(random + ID_BYTES, SERVICE_SECRET_BYTES, text + PREFIX_LENGTH + API_KEY_ID_HEX + 1);
    } else {
        write_base64url(random, ID_BYTES + TOKEN_SECRET_BYTES, text);
    }
    bytes_wipe(random, sizeof random);
}

static bool parse_service_key(const char *text, char id[API_KEY_ID_HEX + 1]) {
    static const char digits[] = "0123456789abcdef";
    const char *body = text + PREFIX_LENGTH, *secret = body + API_KEY_ID_HEX + 1;
    if (strncmp(text, SERVICE_PREFIX, PREFIX_LENGTH) != 0 || body[API_KEY_ID_HEX] != '-' ||
        strspn(body, digits) != API_KEY_ID_HEX || strspn(secret, digits) != 2 * SERVICE_SECRET_BYTES)
        return false;
    memcpy(id, body, API_KEY_ID_HEX);
    id[API_KEY_ID_HEX] = '\0';
    return true;
}

bool api_key_parse(const char *text, enum api_key_kind *kind, char id[API_KEY_ID_HEX + 1]) {
    uint8_t bytes[ID_BYTES + TOKEN_SECRET_BYTES];
    size_t length = strlen(text);
    *kind = length == API_KEY_SERVICE_LENGTH ? API_KEY_SERVICE : API_KEY_TOKEN;
    if (length == API_KEY_SERVICE_LENGTH)
        return parse_service_key(text, id);
    if (length != API_KEY_TOKEN_LENGTH || !read_base64url(text, length, bytes))
        return false;
    hex_encode(bytes, ID_BYTES, id);
    bytes_wipe(bytes, sizeof bytes);
    return true;
}

void api_key_hash(const struct secrets *secrets, const char *text, char hash[API_KEY_HASH_HEX + 1]) {
    uint8_t bytes[SECRET_BYTES];
    secrets_derive(secrets, "api-key", text, strlen(text), bytes);
    hex_encode(bytes, sizeof bytes, hash);
    bytes_wipe(bytes, sizeof bytes);
}

bool api_key_matches(const struct secrets *secrets, const char *text, const char *stored) {
    char hash[API_KEY_HASH_HEX + 1];
    api_key_hash(secrets, text, hash);
    return strlen(stored) == API_KEY_HASH_HEX && bytes_equal_secret(hash, stored, API_KEY_HASH_HEX);
}

const char *api_key_kind_name(enum api_key_kind kind) {
    return kind == API_KEY_SERVICE ? "service-key" : "token";
}

bool api_key_kind_parse(const char *name, enum api_key_kind *kind) {
    *kind = strcmp(name, "token") == 0 ? API_KEY_TOKEN : API_KEY_SERVICE;
    return strcmp(name, api_key_kind_name(*kind)) == 0;
}

unsigned api_key_default_rights(enum api_key_kind kind) {
    unsigned rights = API_KEY_CERTIFICATES_READ | API_KEY_CERTIFICATES_EDIT | API_KEY_ZONES_READ;
    return kind == API_KEY_TOKEN ? rights | API_KEY_ZONES_EDIT : rights;
}

static unsigned right_of(const char *word, size_t length) {
    for (size_t i = 0; i < RIGHTS; i++)
        if (strlen(rights_table[i].word) == length && memcmp(rights_table[i].word, word, length) == 0)
            return rights_table[i].includes;
    return 0;
}

unsigned api_key_right_parse(const char *word) {
    return right_of(word, strlen(word));
}

unsigned api_key_rights_parse(const char *words) {
    unsigned rights = 0;
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        rights |= right_of(words, length);
        words += length + strspn(words + length, " ");
    }
    return rights;
}

char *api_key_rights_text(struct arena *arena, unsigned rights) {
    struct text text;
    text_init(&text, arena);
    text_append(&text, "");
    for (size_t i = 0; i < RIGHTS; i++)
        if ((rights & rights_table[i].bit) != 0)
            text_printf(&text, "%s%s", text.length == 0 ? "" : " ", rights_table[i].word);
    return text.failed ? NULL : text.data;
}
