/* The table of bad certificates for test_lint.c: each is a good one with one thing changed. */
#pragma once

#include "der_edit.h"
#include "kit.h"

#define SAMPLE_NAMES_MAX 400

/* A certificate to be, with everything that a case may want to change. */
struct sample {
    struct arena *arena;
    struct certificate_contents wanted; /* points into this struct */
    struct issuer issuer;
    struct config_issuer config;
    uint8_t serial[SERIAL_BYTES];
    const char *names[SAMPLE_NAMES_MAX];
};

/* The places of a TBSCertificate that has all of version, no unique identifiers, extensions. */
enum tbs_field {
    FIELD_VERSION,
    FIELD_SERIAL,
    FIELD_ALGORITHM,
    FIELD_ISSUER,
    FIELD_VALIDITY,
    FIELD_SUBJECT,
    FIELD_SPKI,
    FIELD_EXTENSIONS
};

enum operation {
    OPERATION_NONE,    /* what is built from the changed wish is bad already */
    OPERATION_REPLACE, /* `field` by `bytes` */
    OPERATION_VALUE,   /* what the extension `oid` wraps becomes `bytes` */
    OPERATION_REMOVE,  /* the extension `oid` */
    OPERATION_MARK,    /* the extension `oid` gets the critical flag `bytes`, "" takes the flag away */
    OPERATION_ADD,     /* the extension `bytes` at the end of the list */
    OPERATION_BEHIND,  /* `bytes` behind the TBS */
    OPERATION_EDIT,    /* the function */
};

struct lint_case {
    const char *rule, *fact;
    /* Further rules that the same change cannot help breaking, as lint_all lists them; NULL: none. The
     * comment at the case says why. */
    const char *also;
    enum certificate_template shape;
    enum kit_key_kind key;               /* of the subject; default RSA */
    bool has_rsa_issuer;                 /* default P-256 */
    const char *name;                    /* the first name instead of www.example.com; may be NULL */
    void (*wish)(struct sample *sample); /* before building; may be NULL */
    enum operation operation;
    enum tbs_field field;
    struct bytes oid, bytes;
    void (*edit)(struct sample *sample, struct der_node *tbs);
};

extern const struct lint_case lint_cases[];
extern const size_t lint_case_count;

/* The extension, or fails the test. `at` receives its place in the list; may be NULL. */
struct der_node *lint_case_find(struct der_node *tbs, struct bytes oid, size_t *at);
/* The bytes of the case, from its sample. */
struct bytes lint_case_apply(const struct lint_case *one, struct sample *sample, struct bytes good);
