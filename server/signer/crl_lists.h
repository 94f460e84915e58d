/* The revocation lists that the ledger names: an issuer and the URL of its certificates, "" for the issuer's
 * complete list; each with the number of the newest that was signed. They are counted from 1 on and never
 * leave, so that a revoked serial holds three bytes for its list. */
#pragma once

#include "originca/crl.h"

#define CRL_LIST_NUMBER_MAX 0xFFFFFFu

struct crl_lists;

struct crl_list {
    const char *issuer, *url;
    uint32_t complete;    /* number of the issuer's complete list; its own of that one */
    uint64_t last_number; /* cRLNumber of the newest that was signed; 0: none yet */
    /* Of the ledger's revocations (a complete list: of all its issuer's); not saved. */
    uint64_t changes; /* so many were noted */
    uint64_t listed;  /* as many as the newest signed list had, where it had all; else what that was before */
    time_t revoked_at; /* of the newest of them */
    bool is_bounded;   /* one was signed of which it was said that its unproven entries are bounded */
};

/* Holds `max` lists at most: a worker names lists where it revokes. */
struct crl_lists *crl_lists_new(uint32_t max);
void crl_lists_free(struct crl_lists *lists);
/* 0: there is none. */
uint32_t crl_lists_find(const struct crl_lists *lists, const char *issuer, const char *url);
/* The one that is there, or a new one; 0 where there is no room for it, or an issuer or URL is none. */
uint32_t crl_lists_add(struct crl_lists *lists, const char *issuer, const char *url);
bool crl_lists_get(const struct crl_lists *lists, uint32_t list, struct crl_list *out) MUST_CHECK;
/* A revocation of the list's, or another word about one. */
void crl_lists_note_revoked(struct crl_lists *lists, uint32_t list, time_t revoked_at);
/* A list was signed with all of the `changes` that there were when it was begun. */
void crl_lists_note_whole(struct crl_lists *lists, uint32_t list, uint64_t changes);
/* Never falls. */
void crl_lists_note_number(struct crl_lists *lists, uint32_t list, uint64_t number);
/* For good. */
void crl_lists_note_bounded(struct crl_lists *lists, uint32_t list);
uint32_t crl_lists_count(const struct crl_lists *lists);
/* For the checkpoint: all of it as bytes, and back into an empty memory. */
size_t crl_lists_saved_length(const struct crl_lists *lists);
void crl_lists_save(const struct crl_lists *lists, uint8_t *out);
bool crl_lists_load(struct crl_lists *lists, const uint8_t *bytes, size_t length) MUST_CHECK;
