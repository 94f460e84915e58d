/* Finding a certificate's list in its DER: the way down to the CRL distribution point (RFC 5280 4.2.1.13). */
#include "originca/crl.h"

#include <string.h>

#include "originca/der.h"

enum { TAG_OID = 0x06, TAG_OCTET_STRING = 0x04, TAG_SEQUENCE = 0x30, TAG_EXTENSIONS = 0xA3, TAG_URI = 0x86 };

static const uint8_t oid_crl_points[] = {0x55, 0x1D, 0x1F};

/* The extensions' SEQUENCE: the last element of the TBS. */
static bool find_extensions(struct bytes tbs, struct bytes *extensions) {
    struct der_item outer, item, list;
    if (!der_expect(&tbs, TAG_SEQUENCE, &outer))
        return false;
    while (der_next(&outer.content, &item)) {
        if (item.tag != TAG_EXTENSIONS || !der_expect(&item.content, TAG_SEQUENCE, &list))
            continue;
        *extensions = list.content;
        return true;
    }
    return false;
}

static bool find_crl_points(struct bytes extensions, struct bytes *value) {
    struct der_item extension, oid, octets;
    while (der_expect(&extensions, TAG_SEQUENCE, &extension)) {
        if (!der_expect(&extension.content, TAG_OID, &oid) || oid.content.length != sizeof oid_crl_points ||
            memcmp(oid.content.data, oid_crl_points, sizeof oid_crl_points) != 0)
            continue;
        do /* "critical" may stand between */
            if (!der_next(&extension.content, &octets))
                return false;
        while (octets.tag != TAG_OCTET_STRING);
        *value = octets.content;
        return true;
    }
    return false;
}

/* CRLDistributionPoints { DistributionPoint { distributionPoint [0] { fullName [0] { URI } } } } */
static bool unwrap_uri(struct bytes input, struct bytes *uri) {
    static const uint8_t way[] = {TAG_SEQUENCE, TAG_SEQUENCE, 0xA0, 0xA0, TAG_URI};
    struct der_item item;
    for (size_t i = 0; i < sizeof way; i++) {
        if (!der_expect(&input, way[i], &item) || input.length != 0)
            return false;
        input = item.content;
    }
    *uri = input;
    return true;
}

const char *crl_url_of_tbs(struct arena *arena, struct bytes tbs) {
    struct bytes found = {0};
    if (!find_extensions(tbs, &found) || !find_crl_points(found, &found) || !unwrap_uri(found, &found) ||
        found.length > CRL_URL_MAX || memchr(found.data, '\0', found.length) != NULL)
        return "";
    const char *url = arena_strndup(arena, (const char *)found.data, found.length);
    return url == NULL || crl_url_is_good(url) ? url : "";
}

const char *crl_url_of_certificate(struct arena *arena, struct bytes der) {
    struct der_item outer, tbs;
    if (!der_expect(&der, TAG_SEQUENCE, &outer) || !der_expect(&outer.content, TAG_SEQUENCE, &tbs))
        return "";
    return crl_url_of_tbs(arena, tbs.whole);
}
