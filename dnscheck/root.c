/* Where the root's servers are: the hints file. */
#include "internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool take_hint(struct cut *root, char *line, uint16_t port) {
    /* "NAME TTL [IN] A|AAAA|NS VALUE", as IANA's file and NSD's zones have it */
    char *words[6];
    size_t count = 0;
    line[strcspn(line, ";\r\n")] = '\0';
    for (char *word = strtok(line, " \t"); word != NULL && count < 6; word = strtok(NULL, " \t"))
        words[count++] = word;
    uint8_t bytes[16];
    if (count < 3)
        return true;
    const char *type = words[count - 2], *value = words[count - 1];
    int family = strcasecmp(type, "A") == 0 ? AF_INET : strcasecmp(type, "AAAA") == 0 ? AF_INET6 : 0;
    if (family == 0)
        return true;
    if (inet_pton(family, value, bytes) != 1 || strlen(words[0]) >= DNS_NAME_MAX)
        return false;
    char name[DNS_NAME_MAX];
    size_t length = strlen(words[0]);
    for (size_t i = 0; i <= length; i++)
        name[i] = (char)tolower((unsigned char)words[0][i]);
    if (length > 1 && name[length - 1] == '.')
        name[length - 1] = '\0';
    size_t at = 0;
    while (at < root->server_count && strcmp(root->servers[at], name) != 0)
        at++;
    if (at == SERVERS_MAX)
        return true;
    if (at == root->server_count)
        strcpy(root->servers[root->server_count++], name);
    cut_add_address(root, root->servers[at], family, bytes, port);
    return true;
}

bool root_load(struct dnscheck *dnscheck, struct error *error) {
    const char *path = dnscheck->settings.root_hints_file;
    FILE *file = fopen(path, "re");
    char line[1024];
    if (file == NULL)
        return error_set(error, ERROR_INVALID, "cannot read the root hints %s: %m", path);
    bool is_good = true;
    for (unsigned number = 1; is_good && fgets(line, sizeof line, file) != NULL; number++) {
        is_good = take_hint(&dnscheck->root, line, dnscheck->settings.port);
        if (!is_good)
            error_set(error, ERROR_INVALID, "%s:%u: expected a zone-file line with an address", path, number);
    }
    fclose(file);
    if (is_good && dnscheck->root.addresses.count == 0)
        is_good = error_set(error, ERROR_INVALID, "%s holds no address of a root server", path);
    return is_good;
}
