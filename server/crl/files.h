/* Lists as files: RUN_DIRECTORY/crl/ holds each list's DER under a name of its own, and `index`, which is
 * renamed into place, says which file is which list. A file never changes; a newer list is another file. */
#pragma once

#include <time.h>

#include "originca/text.h"

#define CRL_FILE_NAME_MAX 64

struct crl_file {
    char *issuer, *url; /* url "": the issuer's complete list */
    uint64_t number, entry_count, bytes;
    time_t this_update, next_update;
    uint64_t wrong_entries;       /* that Redis had when this host made it last; not in the index */
    char name[CRL_FILE_NAME_MAX]; /* in the directory; holds a part of the hash of what is in it */
    struct timespec found_whole;  /* its last change when that was compared; not in the index */
    uint64_t inode;
};

struct crl_files {
    char directory[256];
    struct crl_file *items;
    size_t count;
};

/* Reads the index; none is an empty one. */
bool crl_files_read(struct crl_files *files, const char *run_directory, struct error *error) MUST_CHECK;
void crl_files_free(struct crl_files *files);
const struct crl_file *crl_files_find(const struct crl_files *files, const char *issuer, const char *url);
/* The first file that is gone, or holds something else than was written; one that has not changed since it
 * was compared last is not read again. NULL: all are whole. */
const struct crl_file *crl_files_find_damaged(struct crl_files *files);
/* Takes it out of the index: it is not served any more. */
bool crl_files_drop(struct crl_files *files, const struct crl_file *file, struct error *error) MUST_CHECK;
/* Notes a list's wrong entries; is there another number of them than before, and any at all? */
bool crl_files_note_wrong(struct crl_files *files, const char *issuer, const char *url, uint64_t count);
/* Writes a list's file and the index, and removes the list's former file. Takes no reference; a number that
 * is not higher than the one that is there changes nothing. */
bool crl_files_put(struct crl_files *files, const struct crl_file *file, struct bytes der,
                   struct error *error) MUST_CHECK;
