/* A dense array and an open-addressing index over it. Saved: for each list its newest number (8 bytes), the
 * lengths of issuer (1) and URL (2), both texts. The first bit of the URL's length says that its unproven
 * entries are bounded: none that was saved without it is so long. */
#include "crl_lists.h"

#include <stdlib.h>
#include <string.h>

#define ISSUER_MAX 64
#define SAVED_HEAD 11
#define SAVED_BOUNDED 0x8000
#define FIRST_INDEX 64

struct crl_lists {
    struct crl_list *items;
    uint32_t *index; /* number of the list; 0: free */
    uint32_t count, capacity, max;
    size_t index_size;
    uint64_t secret; /* a worker chooses the URLs it revokes for: it must not choose their places */
};

struct crl_lists *crl_lists_new(uint32_t max) {
    struct crl_lists *lists = calloc(1, sizeof *lists);
    if (lists == NULL)
        return NULL;
    random_bytes(&lists->secret, sizeof lists->secret);
    lists->max = max < CRL_LIST_NUMBER_MAX ? max : CRL_LIST_NUMBER_MAX;
    lists->index_size = FIRST_INDEX;
    lists->index = calloc(lists->index_size, sizeof *lists->index);
    if (lists->index == NULL) {
        free(lists);
        return NULL;
    }
    return lists;
}

void crl_lists_free(struct crl_lists *lists) {
    if (lists == NULL)
        return;
    for (uint32_t i = 0; i < lists->count; i++)
        free((char *)(uintptr_t)lists->items[i].issuer); /* the URL lies behind it */
    free(lists->items);
    free(lists->index);
    free(lists);
}

static uint64_t mix(uint64_t hash, const char *text) {
    do
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    while (*text++ != '\0');
    return hash ^ hash >> 32;
}

static size_t find_place(const struct crl_lists *lists, const char *issuer, const char *url) {
    size_t at = (size_t)mix(mix(lists->secret, issuer), url) & (lists->index_size - 1);
    while (lists->index[at] != 0) {
        const struct crl_list *list = &lists->items[lists->index[at] - 1];
        if (strcmp(list->url, url) == 0 && strcmp(list->issuer, issuer) == 0)
            break;
        at = (at + 1) & (lists->index_size - 1);
    }
    return at;
}

static bool grow_index(struct crl_lists *lists) {
    uint32_t *index = calloc(lists->index_size * 2, sizeof *index);
    if (index == NULL)
        return false;
    free(lists->index);
    lists->index = index;
    lists->index_size *= 2;
    for (uint32_t i = 0; i < lists->count; i++)
        lists->index[find_place(lists, lists->items[i].issuer, lists->items[i].url)] = i + 1;
    return true;
}

static bool make_room(struct crl_lists *lists) {
    if (lists->count == lists->max)
        return false;
    if (lists->count == lists->capacity) {
        uint32_t capacity = lists->capacity + lists->capacity / 2 + 16;
        struct crl_list *larger = realloc(lists->items, capacity * sizeof *larger);
        if (larger == NULL)
            return false;
        lists->items = larger;
        lists->capacity = capacity;
    }
    return lists->count < lists->index_size / 2 || grow_index(lists);
}

static uint32_t append(struct crl_lists *lists, const char *issuer, const char *url, uint32_t complete) {
    size_t issuer_length = strlen(issuer) + 1, url_length = strlen(url) + 1;
    char *texts = make_room(lists) ? malloc(issuer_length + url_length) : NULL;
    if (texts == NULL)
        return 0;
    memcpy(texts, issuer, issuer_length);
    memcpy(texts + issuer_length, url, url_length);
    uint32_t number = ++lists->count;
    lists->items[number - 1] = (struct crl_list){
        .issuer = texts, .url = texts + issuer_length, .complete = complete == 0 ? number : complete};
    lists->index[find_place(lists, issuer, url)] = number;
    return number;
}

uint32_t crl_lists_find(const struct crl_lists *lists, const char *issuer, const char *url) {
    return lists->index[find_place(lists, issuer, url)];
}

uint32_t crl_lists_add(struct crl_lists *lists, const char *issuer, const char *url) {
    uint32_t found = crl_lists_find(lists, issuer, url);
    if (found != 0)
        return found;
    if (*issuer == '\0' || strlen(issuer) > ISSUER_MAX || (*url != '\0' && !crl_url_is_good(url)))
        return 0;
    if (*url == '\0')
        return append(lists, issuer, url, 0);
    uint32_t complete = crl_lists_add(lists, issuer, "");
    return complete == 0 ? 0 : append(lists, issuer, url, complete);
}

bool crl_lists_get(const struct crl_lists *lists, uint32_t list, struct crl_list *out) {
    if (list == 0 || list > lists->count)
        return false;
    *out = lists->items[list - 1];
    return true;
}

void crl_lists_note_number(struct crl_lists *lists, uint32_t list, uint64_t number) {
    if (list > 0 && list <= lists->count && lists->items[list - 1].last_number < number)
        lists->items[list - 1].last_number = number;
}

static void note_change(struct crl_list *list, time_t revoked_at) {
    list->changes++;
    if (list->revoked_at < revoked_at)
        list->revoked_at = revoked_at;
}

void crl_lists_note_revoked(struct crl_lists *lists, uint32_t list, time_t revoked_at) {
    if (list == 0 || list > lists->count)
        return;
    struct crl_list *own = &lists->items[list - 1];
    note_change(own, revoked_at);
    if (own->complete != list)
        note_change(&lists->items[own->complete - 1], revoked_at);
}

void crl_lists_note_whole(struct crl_lists *lists, uint32_t list, uint64_t changes) {
    if (list > 0 && list <= lists->count && lists->items[list - 1].listed < changes)
        lists->items[list - 1].listed = changes;
}

void crl_lists_note_bounded(struct crl_lists *lists, uint32_t list) {
    if (list > 0 && list <= lists->count)
        lists->items[list - 1].is_bounded = true;
}

uint32_t crl_lists_count(const struct crl_lists *lists) {
    return lists->count;
}

/* --- the checkpoint --- */

static void put_number(uint8_t *out, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static uint64_t get_number(const uint8_t *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

size_t crl_lists_saved_length(const struct crl_lists *lists) {
    size_t length = 0;
    for (uint32_t i = 0; i < lists->count; i++)
        length += SAVED_HEAD + strlen(lists->items[i].issuer) + strlen(lists->items[i].url);
    return length;
}

void crl_lists_save(const struct crl_lists *lists, uint8_t *out) {
    for (uint32_t i = 0; i < lists->count; i++) {
        const struct crl_list *list = &lists->items[i];
        size_t issuer = strlen(list->issuer), url = strlen(list->url);
        put_number(out, list->last_number, 8);
        put_number(out + 8, issuer, 1);
        put_number(out + 9, url | (list->is_bounded ? SAVED_BOUNDED : 0), 2);
        memcpy(out + SAVED_HEAD, list->issuer, issuer);
        memcpy(out + SAVED_HEAD + issuer, list->url, url);
        out += SAVED_HEAD + issuer + url;
    }
}

bool crl_lists_load(struct crl_lists *lists, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        char issuer[ISSUER_MAX + 1] = "", url[CRL_URL_MAX + 1] = "";
        if (length < SAVED_HEAD)
            return false;
        uint64_t saved_length = get_number(bytes + 9, 2);
        size_t issuer_length = bytes[8], url_length = (size_t)(saved_length & ~(uint64_t)SAVED_BOUNDED),
               whole = SAVED_HEAD + issuer_length + url_length;
        if (issuer_length > ISSUER_MAX || url_length > CRL_URL_MAX || whole > length)
            return false;
        memcpy(issuer, bytes + SAVED_HEAD, issuer_length);
        memcpy(url, bytes + SAVED_HEAD + issuer_length, url_length);
        uint32_t number = lists->count + 1; /* in the order in which they were saved, each once */
        if (crl_lists_add(lists, issuer, url) != number || strlen(issuer) != issuer_length ||
            strlen(url) != url_length)
            return false;
        crl_lists_note_number(lists, number, get_number(bytes, 8));
        if ((saved_length & SAVED_BOUNDED) != 0)
            crl_lists_note_bounded(lists, number);
        bytes += whole;
        length -= whole;
    }
    return true;
}
