/* Where the root's servers are: the hints file. */
#include "internal.h"

#include <string.h>

static void take_hint(void *context, const char *name, int family, const uint8_t *address) {
    struct dnscheck *dnscheck = context;
    struct cut *root = &dnscheck->root;
    size_t at = 0;
    if (strlen(name) >= DNS_NAME_MAX)
        return;
    while (at < root->server_count && strcmp(root->servers[at], name) != 0)
        at++;
    if (at == SERVERS_MAX)
        return;
    if (at == root->server_count)
        strcpy(root->servers[root->server_count++], name);
    cut_add_address(dnscheck, root, root->servers[at], family, address);
}

bool root_load(struct dnscheck *dnscheck, struct error *error) {
    const char *path = dnscheck->settings.root_hints_file;
    if (!root_hints_read(path, &dnscheck->settings.address_rules, take_hint, dnscheck, error))
        return false;
    return dnscheck->root.addresses.count > 0 ||
           error_set(error, ERROR_INVALID, "%s holds no address of a root server", path);
}
