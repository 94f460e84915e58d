/* What the load generators share: certification requests, threads that do a share of the load each, and what
 * their times come to. */
#pragma once

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>

/* CLOCK_MONOTONIC. */
double load_now_ms(void);

/* A certification request for the names, signed by `key`; false: GnuTLS refuses. `out` is for gnutls_free. */
bool load_make_csr(gnutls_x509_privkey_t key, char *const *names, unsigned count,
                   gnutls_x509_crt_fmt_t format, gnutls_datum_t *out);

/* Calls `run` in `count` threads, with one of the `count` runners of `size` bytes each, until all have
 * returned; false: a thread cannot be started. */
bool load_run_threads(void *(*run)(void *runner), void *runners, size_t size, unsigned count,
                      double *wall_ms);

void load_sort(double *values, size_t count);
/* Of sorted values; `share` from 0 to 1; 0 where there are none. */
double load_percentile(const double *values, size_t count, double share);
