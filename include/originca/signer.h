/* The signer: the only process with the token's PIN, the only writer of the ledger. This header is the
 * worker's side (an asynchronous client on the worker's loop) and the entry points of the process and its
 * tools.
 *
 * It is reached through two unix stream sockets in the run directory that the supervisor binds and listens on
 * before the signer starts, so a restarted signer finds waiting connections: one for workers, one for
 * operators. SO_PEERCRED must show the user of that link. What each may ask for is one table
 * (server/signer/access.c, doc/ledger.md): a worker that was taken over sees, signs and revokes, and takes
 * rights away as its protocols do; it stops, allows and gives nothing. Frames: 4 bytes length (big-endian, at
 * most SIGNER_FRAME_MAX), then fields in the form of server/signer/wire.h.
 *
 * What the signer checks by itself, whatever a worker says: profile and its bounds, names (names.h), key
 * (keys.h), one piece of evidence a name and none too old, claim not older than claim_timeout_seconds, serial
 * unused, leaf inside its issuer's validity, and every rule of its pre-signing lint. Order of writes: INTENT
 * synced -> sign -> verify -> ISSUED synced -> reply (DESIGN 6). */
#pragma once

#include <sys/types.h>

#include <event2/event.h>

#include "originca/config.h"
#include "originca/crl.h"
#include "originca/ocsp.h"
#include "originca/text.h"

#define SIGNER_FRAME_MAX (1024 * 1024)
#define SIGNER_CHANGES_MAX 1000 /* in one call */
#define SIGNER_BY_MAX 200       /* bytes of who asked */

/* Whose connection it is: by the socket, never by what is said on it. */
enum signer_link {
    SIGNER_LINK_WORKER,   /* RUN_DIRECTORY/signer.sock */
    SIGNER_LINK_OPERATOR, /* RUN_DIRECTORY/signer-operator.sock */
    SIGNER_LINKS
};

struct signer_client;
struct metrics;

struct signer_evidence { /* the proof for one name */
    const char *name;    /* canonical */
    time_t checked_at;
    const char *method; /* "dns-delegation" or "dns-01" */
};

#define SIGNER_DEFAULT_VALIDITY 0

struct signer_certificate_request {                   /* copied into the frame at once */
    const char *attempt, *order, *account, *customer; /* account or customer may be "" */
    const char *const *names;                         /* canonical, in the order they get in the SAN */
    size_t name_count;
    const char *const *zones; /* zone ids */
    size_t zone_count;
    struct bytes spki;   /* DER SubjectPublicKeyInfo */
    const char *profile; /* name of a configured profile */
    const char *issuer;  /* name of a configured issuer */
    time_t not_before;   /* 0: now less the back-date setting */
    /* Exact: notAfter - notBefore; where not_before is 0, cut short to the issuer's end. Or
     * SIGNER_DEFAULT_VALIDITY: the profile's default from not_before on, likewise cut short. */
    uint32_t validity_seconds;
    int64_t claimed_at_ms; /* wall clock of the claim */
    const struct signer_evidence *evidence;
    size_t evidence_count;
    uint8_t evidence_sha256[SHA256_BYTES]; /* of the evidence document kept in Redis */
    const char *request_id;
};

struct signer_certificate {
    struct bytes der;
    uint8_t serial[SERIAL_BYTES];
    time_t not_before, not_after;
    uint64_t intent_sequence, issued_sequence; /* ledger records, for the fence */
    uint8_t hashes[2][SHA256_BYTES];           /* of these */
};

struct signer_revocation { /* input and result of signer_revoke */
    uint8_t serial[SERIAL_BYTES];
    const char *issuer;
    uint32_t reason; /* RFC 5280 5.3.1: 0,1,3,4,5,9 */
    const char *by;  /* revocation.h */
    /* Of the certificate, for the record: when it ends and its list (crl.h). 0 and NULL or "" where the
     * caller does not know; a URL that is none is left out. */
    time_t not_after;
    const char *crl_url;
    time_t revoked_at; /* out: of the first revocation when it was revoked before */
    /* out: the record that this call wrote. 0 where an earlier one says as much or more: Redis has applied
     * that one, or the fence brings it there; whoever marked it for it would drop what it says. */
    uint64_t sequence;
    uint8_t hash[SHA256_BYTES]; /* out: of that record */
    bool was_revoked_before;    /* out */
    uint32_t known_reason;      /* out: that counts from now on, this one's or the earlier one's */
};

/* A right that is given or taken away: one ledger record (doc/ledger.md, "Rights"). `kind` is the record's
 * type; which of the texts it has, and who may say it:
 *
 *   zone-added                                    operator  subject: zone, name (canonical), customer
 *   zone-ended, zone-paused, zone-resumed         operator  subject: zone
 *   zone-moved, zone-returned                     both      subject: zone
 *   customer-suspended, customer-resumed          operator  subject: customer
 *   api-key-ended                                 operator  subject: key
 *   eab-key-ended                                 operator  subject: kid
 *   account-deactivated                           both      subject: account
 *   account-key-changed                           both      subject: account, name: thumbprint of the new
 * key, detail: its public JWK, JSON zones-known                                   operator  no subject: from
 * here on the signer refuses names on zones that it does not know host-excused operator  subject: host whose
 * ledger need not be awaited emptied-accepted                              operator  no subject: start from
 * nothing with this Redis secrets-accepted                              operator  no subject: what the former
 * secret files made counts no more
 *
 * All others may have a `detail` of up to 500 bytes, for people. */
struct signer_change {
    const char *kind, *subject, *name, *customer, *detail, *by; /* NULL is "" */
    /* in: 0, or when it happened by another host's record (operators only). out: when it counts as happened;
     * for what is known of a zone or customer never before what was known, so that later words win. */
    int64_t at_ms;
    uint64_t sequence; /* out; 0 where nothing was written: the ledger says so already, or says something
                        * newer; `at_ms` is then that of what it says */
    uint8_t hash[SHA256_BYTES]; /* out: of that record */
};

struct signer_crl_request {
    const char *issuer; /* name of a configured issuer */
    const char *url;    /* crl.h; "": the issuer's complete list */
    uint64_t number;    /* milliseconds since 1970 when reading the entries began, above the list's last */
    time_t this_update, next_update;
    const struct crl_entry *entries; /* by rising serial, each once: the union over all hosts */
    size_t count;
    uint8_t *unknown;  /* out, of each entry: does the signer's ledger not have it? NULL: not asked for */
    uint64_t unproven; /* for the record: entries that no host's ledger is known to have */
    bool is_bounded;   /* for good: beyond a bound these are left out from here on (doc/revocation.md) */
};

struct signer_crl {
    uint8_t *der; /* CertificateList; to be freed with free(), NULL where there was an error */
    size_t length;
    uint8_t tbs_sha256[SHA256_BYTES];
    uint64_t sequence; /* of the ledger's record, and its hash */
    uint8_t hash[SHA256_BYTES];
};

/* One certificate of an OCSP response (RFC 6960 4.2.1). */
struct signer_ocsp_status {
    uint8_t serial[SERIAL_BYTES];
    ocsp_form form;
    bool is_revoked; /* else it is good */
    time_t revoked_at;
    uint32_t reason; /* RFC 5280 5.3.1; 0 is not written */
};
struct signer_ocsp_request { /* copied into the frame at once */
    const char *issuer;      /* name of a configured issuer: of all of them */
    const struct signer_ocsp_status *statuses;
    size_t count;       /* 1 to OCSP_REQUESTS_MAX */
    time_t known_at;    /* when they were read: thisUpdate lies backdate_seconds before */
    struct bytes nonce; /* length 0: none */
};
struct signer_ocsp_response {
    struct bytes der; /* OCSPResponse, successful */
    time_t this_update, next_update;
};

struct signer_status {
    char ledger_id[33], host[65];
    uint64_t last_sequence;
    uint64_t signatures, intents, voids, revocations; /* since the process began */
    uint64_t intents_without_outcome;                 /* alarm when not 0 for long */
    uint64_t revoked_serials;
    uint64_t zones;      /* that live */
    bool knows_zones;    /* refuses names on others */
    bool is_ledger_read; /* else what is said above of the ledger is empty, and `reason` tells the progress */
    bool is_token_usable;
    bool is_signing_allowed;
    bool are_issuers_in_force; /* all of those that ACME or REST issue with */
    char reason[512];          /* why not */
};

/* Which key and subject the configured issuers have. During a reload a signer of one configuration may be
 * asked by a process of another one. */
struct signer_issuers_hash {
    uint8_t bytes[SHA256_BYTES]; /* zeros: of none */
};
/* The next issuer of the configuration, with the SHA-256 of its DER SubjectPublicKeyInfo and DER Name. */
void signer_hash_issuer(struct signer_issuers_hash *hash, const char *name, const uint8_t spki[SHA256_BYTES],
                        const uint8_t subject[SHA256_BYTES]);

/* What Redis has applied of this host's ledger (struct store_ledger_state). */
struct signer_position {
    char ledger_id[33]; /* "": it knows none */
    uint64_t applied, highest;
    char applied_hash[2 * SHA256_BYTES + 1], highest_hash[2 * SHA256_BYTES + 1]; /* "": it has none */
    struct signer_issuers_hash issuers; /* that who asks has compared with the other hosts' */
};

struct signer_position_found {
    char applied_hash[2 * SHA256_BYTES + 1]; /* the ledger's, of record `applied`; "": it has none */
    bool are_issuers_recorded;               /* by the ledger the position's issuers are whose they say */
};

enum signer_attempt_outcome {
    SIGNER_ATTEMPT_UNKNOWN,
    SIGNER_ATTEMPT_SIGNING,
    SIGNER_ATTEMPT_ISSUED,
    SIGNER_ATTEMPT_VOID
};

/* Completions get NULL or the error. ERROR_UNKNOWN: the connection broke after sending; ask
 * signer_attempt_status. ERROR_UNAVAILABLE: nothing was sent. ERROR_REFUSED: a check failed; the message says
 * which. */
typedef void signer_done(void *context, const struct error *error);

/* Of a link's socket in the run directory. */
const char *signer_socket_name(enum signer_link link);
/* Connects in the background and again with back-off. */
struct signer_client *signer_client_new(struct event_base *base, const struct config *config,
                                        enum signer_link link, const char *instance, struct error *error);
void signer_client_free(struct signer_client *client); /* pending calls get ERROR_UNKNOWN */
/* At each connection: the signer behind it may be a new one. */
void signer_client_on_connected(struct signer_client *client, void (*connected)(void *context),
                                void *context);
bool signer_client_is_connected(const struct signer_client *client);

/* `out` and what it points to live in `arena`; both must outlive the call (they belong to the waiting
 * request). */
void signer_sign_certificate(struct signer_client *client, struct arena *arena,
                             const struct signer_certificate_request *request, struct signer_certificate *out,
                             signer_done *done, void *context);
void signer_revoke(struct signer_client *client, struct signer_revocation *revocation, signer_done *done,
                   void *context);
/* On the operators' link alone, one at a time on a connection; `request`'s texts and entries and `out` must
 * outlive the call. Encoded twice, here and by the signer, and compared. ERROR_CONFLICT: the number is not
 * above that of the last one that this signer signed, or the connection was another in between.
 * ERROR_REFUSED: times, URL or number are out of bounds, or a serial that this signer's ledger has revoked or
 * void `crl_settle_seconds` before the number's moment, in a certificate of this list that has not ended, is
 * missing; the message names it. ERROR_UNAVAILABLE: try again; a stop of issuance does not stop it. */
void signer_sign_crl(struct signer_client *client, const struct signer_crl_request *request,
                     struct signer_crl *out, signer_done *done, void *context);
/* The same in two steps: what is given tells what the ledger does not have, and is then signed as it is, by
 * the same connection, or given again otherwise. */
void signer_give_crl(struct signer_client *client, const struct signer_crl_request *request,
                     signer_done *done, void *context);
void signer_sign_given_crl(struct signer_client *client, const struct signer_crl_request *request,
                           struct signer_crl *out, signer_done *done, void *context);
/* Which of up to SIGNER_SERIALS_MAX serials (SERIAL_BYTES each, one behind the other) the signer's ledger has
 * revoked, or void. `serials` and `out` must outlive the call. Operators' link alone. */
#define SIGNER_SERIALS_MAX 10000
void signer_find_revoked(struct signer_client *client, const uint8_t *serials, size_t count, bool *out,
                         signer_done *done, void *context);
/* Builds, lints, signs and verifies the response; nothing of it stands in the ledger. ERROR_REFUSED: the
 * signer's own ledger has one of them revoked that is said to be good. ERROR_UNAVAILABLE: try again, also
 * where workers together ask for more than `signer_worker_ocsp_per_second`; a stop of issuance does not stop
 * it. */
void signer_sign_ocsp(struct signer_client *client, struct arena *arena,
                      const struct signer_ocsp_request *request, struct signer_ocsp_response *out,
                      signer_done *done, void *context);
/* An attempt the signer does not know is struck off: a request for it that arrives later is refused. So
 * UNKNOWN means the order can go back to ready. ISSUED fills `out` (may be NULL). */
void signer_attempt_status(struct signer_client *client, struct arena *arena, const char *attempt,
                           enum signer_attempt_outcome *outcome, struct signer_certificate *out,
                           signer_done *done, void *context);
/* Up to `max` ledger records from `from` on, as a JSON array of the records of doc/ledger.md. Frame-sized:
 * there may be fewer; an empty array means there are none. */
void signer_read_ledger(struct signer_client *client, struct arena *arena, uint64_t from, uint32_t max,
                        json_t **records, signer_done *done, void *context);
void signer_get_status(struct signer_client *client, struct signer_status *out, signer_done *done,
                       void *context);
/* Writes what is new of the changes, all or none, with one sync. `changes` must outlive the call; at most
 * SIGNER_CHANGES_MAX. ERROR_REFUSED: a worker may not say one of them; ERROR_INVALID: one is malformed;
 * ERROR_CONFLICT: a zone of that id has another name or customer; ERROR_UNAVAILABLE: try again, also where
 * workers together change more than `signer_worker_changes_per_second`. */
void signer_change_rights(struct signer_client *client, struct signer_change *changes, size_t count,
                          signer_done *done, void *context);
/* Zones that live by the signer's ledger, up to `max` (at most SIGNER_ZONES_MAX) from `cursor` on: 0 at
 * first. In no order that means anything; one that is added meanwhile may come with the next round only. */
#define SIGNER_ZONES_MAX 4000
struct signer_zone {
    const char *id, *name, *customer;
};
struct signer_zone_list {
    struct signer_zone *items;
    size_t count;
    uint64_t next_cursor; /* 0: those were the last */
};
void signer_list_zones(struct signer_client *client, struct arena *arena, uint64_t cursor, uint32_t max,
                       struct signer_zone_list *out, signer_done *done, void *context);
/* The revocation lists that the signer's ledger names, up to `max` (at most SIGNER_CRLS_MAX) from `cursor`
 * on: 0 at first. Operators' link alone. */
#define SIGNER_CRLS_MAX 1000
struct signer_crl_number {
    const char *issuer, *url;
    uint64_t last_number; /* cRLNumber of the newest that this signer signed; 0: none yet */
    time_t unlisted_at; /* of the newest revocation that no list had which this signer signed; 0: all were */
    bool is_bounded;    /* that was said of one that it signed */
};
struct signer_crl_list {
    struct signer_crl_number *items;
    size_t count;
    uint32_t next_cursor; /* 0: those were the last */
};
void signer_list_crls(struct signer_client *client, struct arena *arena, uint32_t cursor, uint32_t max,
                      struct signer_crl_list *out, signer_done *done, void *context);
/* What the list ("" is the issuer's complete one) must have by the signer's ledger, void serials too: a page
 * from `cursor` on, 0 at first. Operators' link alone. signer_sign_crl says ERROR_NOT_FOUND where one is
 * missing. */
#define SIGNER_REVOKED_MAX 4000
struct signer_revoked {
    uint8_t serial[SERIAL_BYTES];
    time_t revoked_at, not_after;
    uint8_t reason;
};
struct signer_revoked_list {
    struct signer_revoked *items;
    size_t count;
    uint64_t next_cursor; /* 0: that was all */
};
void signer_list_revoked(struct signer_client *client, struct arena *arena, const char *issuer,
                         const char *url, uint64_t cursor, struct signer_revoked_list *out, signer_done *done,
                         void *context);
/* Since when each of up to SIGNER_ZONES_MAX zones has moved away or was ended by the signer's ledger, in ms
 * since 1970; 0: it has not, or never existed here. `ids` and `out` must outlive the call. */
void signer_find_left(struct signer_client *client, const char *const *ids, size_t count, int64_t *out,
                      signer_done *done, void *context);
/* Compares with the ledger. A signer that has just started writes nothing, not even what a crash left to be
 * said, before one position of an operator's link has fitted; revocations wait for `position_wait_seconds` at
 * most. The issuers of an operator's position are recorded in the ledger where it does not know them and the
 * signer has the same ones. ERROR_CONFLICT: records are lost; nothing follows from it but the answer.
 * ERROR_UNAVAILABLE: an operator's link has compared others, and the ledger does not know those that the
 * signer has. */
void signer_check_position(struct signer_client *client, const struct signer_position *position,
                           struct signer_position_found *out, signer_done *done, void *context);
/* The token refused the PIN, and an operator wants it tried again as it is. ERROR_CONFLICT with the reason.
 */
void signer_retry_token(struct signer_client *client, const char *by, signer_done *done, void *context);
/* Stops or allows signing until changed (kept in the ledger); `confirm_loss` also writes that the operator
 * accepts that records after `sequence` are lost (Redis was ahead of the ledger): at most what the position
 * said that was compared last. */
void signer_set_signing(struct signer_client *client, bool is_allowed, const char *by, signer_done *done,
                        void *context);
void signer_confirm_loss(struct signer_client *client, uint64_t redis_sequence, const char *by,
                         signer_done *done, void *context);

/* Listening sockets by link, and the user whose processes may connect to each. */
struct signer_sockets {
    int fds[SIGNER_LINKS];
    uid_t users[SIGNER_LINKS];
};
/* The process: serves connections accepted from the sockets until SIGTERM; the exit status. */
int signer_main(const struct config *config, const struct signer_sockets *sockets, struct metrics *metrics);
/* For a process of the signer's user that only tries these settings. Files: ERROR_INVALID says which. Token:
 * one login at most, none with a PIN that was refused before; ERROR_INVALID where a key does not belong to
 * its certificate, else ERROR_REFUSED, ERROR_NOT_FOUND, ERROR_UNAVAILABLE. `metrics` may be NULL. */
bool signer_try_issuer(const struct config_issuer *issuer, struct error *error) MUST_CHECK;
bool signer_try_ledger(const struct config *config,
                       struct error *error) MUST_CHECK; /* its folder and files */
/* Reads the end of the ledger, which a signer may be writing. `anothers`: the issuer that has another key or
 * subject than the ledger knows under its name; NULL where the ledger cannot be read. */
bool signer_try_issuer_names(const struct config *config, const struct config_issuer **anothers,
                             struct error *error) MUST_CHECK;
bool signer_try_files(const struct config *config, struct error *error) MUST_CHECK;
bool signer_try_token(const struct config *config, struct metrics *metrics, struct error *error) MUST_CHECK;
bool signer_try_settings(const struct config *config, struct metrics *metrics,
                         struct error *error) MUST_CHECK;
/* `originca-server -c FILE ca init [--force-new-keys]`: makes the keys of the configured issuers in the token
 * (initialising nothing: the token must exist), their self-signed issuing certificates, the secret file, the
 * ledger. Idempotent. */
int signer_ca_init(const struct config *config, int argc, char **argv);
/* `originca-server -c FILE ledger verify|show|replay [...]`. */
int signer_ledger_command(const struct config *config, int argc, char **argv);
