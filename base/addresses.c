/* Addresses that are not asked, and the root hints, which are asked first. */
#include "originca/addresses.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HINT_NAME_MAX 255
#define HINT_LINES_MAX 10000

/* https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry: what is not
 * globally reachable there. Global unicast of IPv6 is 2000::/3 alone. */
static const struct config_prefix special[] = {
    {AF_INET, {0}, 8},                        /* this network */
    {AF_INET, {10}, 8},                       /* private use */
    {AF_INET, {100, 64}, 10},                 /* shared by carriers */
    {AF_INET, {127}, 8},                      /* loopback */
    {AF_INET, {169, 254}, 16},                /* link local, metadata of clouds */
    {AF_INET, {172, 16}, 12},                 /* private use */
    {AF_INET, {192, 0, 0}, 24},               /* protocol assignments */
    {AF_INET, {192, 0, 2}, 24},               /* documentation */
    {AF_INET, {192, 88, 99}, 24},             /* relays of 6to4 */
    {AF_INET, {192, 168}, 16},                /* private use */
    {AF_INET, {198, 18}, 15},                 /* benchmarks */
    {AF_INET, {198, 51, 100}, 24},            /* documentation */
    {AF_INET, {203, 0, 113}, 24},             /* documentation */
    {AF_INET, {224}, 4},                      /* multicast */
    {AF_INET, {240}, 4},                      /* reserved, broadcast */
    {AF_INET6, {0}, 3},                       /* ::, ::1, ::ffff:a.b.c.d, 64:ff9b::a.b.c.d, discard ... */
    {AF_INET6, {0x40}, 2},                    /* not assigned, segment routing */
    {AF_INET6, {0x80}, 1},                    /* unique local, link local, multicast ... */
    {AF_INET6, {0x20, 0x01}, 23},             /* protocol assignments, Teredo */
    {AF_INET6, {0x20, 0x01, 0x0D, 0xB8}, 32}, /* documentation */
    {AF_INET6, {0x20, 0x02}, 16},             /* 6to4 */
    {AF_INET6, {0x3F, 0xFF}, 20},             /* documentation */
};

bool address_is_special(int family, const uint8_t *address) {
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (config_prefix_holds_address(&special[i], family, address))
            return true;
    return false;
}

bool address_is_asked(const struct address_rules *rules, int family, const uint8_t *address) {
    if (config_prefixes_hold_address(rules->denied, rules->denied_count, family, address))
        return false;
    return !address_is_special(family, address) ||
           config_prefixes_hold_address(rules->allowed, rules->allowed_count, family, address);
}

/* --- root hints --- */

static size_t split(char *line, char *words[], size_t max) {
    size_t count = 0;
    char *save = NULL;
    line[strcspn(line, ";\r\n")] = '\0';
    for (char *word = strtok_r(line, " \t", &save); word != NULL && count < max;
         word = strtok_r(NULL, " \t", &save))
        words[count++] = word;
    return count;
}

static void take_hint(const char *word, int family, const uint8_t *address, root_hint_taker *take,
                      void *context) {
    char name[HINT_NAME_MAX + 1];
    size_t length = strlen(word);
    for (size_t i = 0; i <= length; i++)
        name[i] = (char)tolower((unsigned char)word[i]);
    if (length > 1 && name[length - 1] == '.')
        name[length - 1] = '\0';
    take(context, name, family, address);
}

static bool read_line(char *line, const struct address_rules *rules, root_hint_taker *take, void *context,
                      struct error *error) {
    char *words[6];
    uint8_t address[16];
    size_t count = split(line, words, sizeof words / sizeof words[0]);
    const char *type = count < 3 ? "" : words[count - 2], *value = count < 3 ? "" : words[count - 1];
    int family = strcasecmp(type, "A") == 0 ? AF_INET : strcasecmp(type, "AAAA") == 0 ? AF_INET6 : 0;
    if (family == 0)
        return true;
    if (inet_pton(family, value, address) != 1 || strlen(words[0]) > HINT_NAME_MAX)
        return error_set(error, ERROR_INVALID, "expected a zone-file line with an address");
    if (!address_is_asked(rules, family, address))
        return error_set(
            error, ERROR_INVALID,
            "the root server %.80s has the address %s, which is not asked; where it is meant, put its "
            "block into allow_addresses",
            words[0], value);
    if (take != NULL)
        take_hint(words[0], family, address, take, context);
    return true;
}

bool root_hints_read(const char *path, const struct address_rules *rules, root_hint_taker *take,
                     void *context, struct error *error) {
    FILE *file = fopen(path, "re");
    char line[1024];
    if (file == NULL)
        return error_set(error, ERROR_INVALID, "cannot read the root hints %s: %m", path);
    bool is_good = true;
    for (unsigned number = 1; is_good && number <= HINT_LINES_MAX && fgets(line, sizeof line, file) != NULL;
         number++) {
        is_good = read_line(line, rules, take, context, error);
        if (!is_good)
            error_prefix(error, "%s:%u", path, number);
    }
    fclose(file);
    return is_good;
}
