/* What is known of a zone cut: its copies, and the addresses of its name servers. All that a check may send
 * packets to comes through here: addresses that are not asked (include/originca/addresses.h) count as none.
 */
#include "internal.h"

#include <arpa/inet.h>
#include <string.h>

/* Names elsewhere (of a parent whose servers are asked in a cut's place) stay where they are. */
static const char *move(const char *name, const struct cut *from, struct cut *to) {
    uintptr_t offset = (uintptr_t)name - (uintptr_t)from;
    return offset < sizeof *from ? (const char *)to + offset : name;
}

void cut_copy(struct cut *to, const struct cut *from) {
    *to = *from;
    for (size_t i = 0; i < to->addresses.count; i++)
        to->addresses.items[i].name = move(from->addresses.items[i].name, from, to);
    to->denied.name = move(from->denied.name, from, to);
}

int64_t cut_earlier_ms(int64_t bound_ms, int64_t time_ms) {
    return bound_ms != 0 && bound_ms < time_ms ? bound_ms : time_ms;
}

bool cut_has_address(const struct cut *cut, const char *server) {
    for (size_t i = 0; i < cut->addresses.count; i++)
        if (cut->addresses.items[i].name == server)
            return true;
    return false;
}

/* Of those that are not asked one is remembered, to be told: the first of a server that has no other. */
static bool tells_more(const struct cut *cut) {
    return cut->denied.name == NULL || cut_has_address(cut, cut->denied.name);
}

void cut_add_address(const struct dnscheck *dnscheck, struct cut *cut, const char *server, int family,
                     const uint8_t *bytes) {
    struct dns_server made = {.name = server};
    if (family == AF_INET) {
        made.address.v4.sin_family = AF_INET;
        made.address.v4.sin_port = htons(dnscheck->settings.port);
        memcpy(&made.address.v4.sin_addr, bytes, 4);
    } else {
        made.address.v6.sin6_family = AF_INET6;
        made.address.v6.sin6_port = htons(dnscheck->settings.port);
        memcpy(&made.address.v6.sin6_addr, bytes, 16);
    }
    if (!address_is_asked(&dnscheck->settings.address_rules, family, bytes))
        cut->denied = tells_more(cut) ? made : cut->denied;
    else if (cut->addresses.count < ADDRESSES_MAX)
        cut->addresses.items[cut->addresses.count++] = made;
}

void cut_take_addresses(struct cut *cut, const char *server, const struct cut *from, size_t limit) {
    for (size_t i = 0; i < from->addresses.count && i < limit && cut->addresses.count < ADDRESSES_MAX; i++) {
        cut->addresses.items[cut->addresses.count] = from->addresses.items[i];
        cut->addresses.items[cut->addresses.count++].name = server;
    }
    if (from->denied.name != NULL && tells_more(cut)) {
        cut->denied = from->denied;
        cut->denied.name = server;
    }
}

const char *cut_why_no_address(struct dnscheck_job *job, const struct cut *cut, const char *server,
                               const char *otherwise) {
    const struct dns_server *denied = cut == NULL ? NULL : &cut->denied;
    char address[INET6_ADDRSTRLEN];
    if (denied == NULL || denied->name == NULL || (server != NULL && strcmp(denied->name, server) != 0))
        return otherwise;
    if (denied->address.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &denied->address.v4.sin_addr, address, sizeof address);
    else
        inet_ntop(AF_INET6, &denied->address.v6.sin6_addr, address, sizeof address);
    return failure_not_asked(job->scratch, address, denied->name);
}
