/* The table of bad revocation lists for test_crl.c: each is a good one with one thing changed. */
#pragma once

#include "../../server/signer/crl_build.h"
#include "der_edit.h"
#include "kit.h"

#define CASE_ENTRIES 3

struct crl_case {
    const char *rule, *fact;
    void (*wish)(struct crl_contents *contents);             /* before building; may be NULL */
    void (*edit)(struct arena *arena, struct der_node *tbs); /* may be NULL */
    bool is_entry; /* the entries become longer or shorter, and the header over them says so */
    bool is_empty; /* a list without entries */
    size_t flip;   /* the byte at this place gets another last bit; 0: none */
};

extern const struct crl_case crl_cases[];
extern const size_t crl_case_count;

/* The bytes of the case, and what was wanted instead. */
struct bytes crl_case_make(const struct crl_case *one, struct arena *arena, const struct issuer *issuer,
                           struct crl_entry entries[CASE_ENTRIES], struct crl_contents *contents);
