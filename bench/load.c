/* Requests, threads and percentiles of the load generators. */
#include "load.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double load_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

bool load_make_csr(gnutls_x509_privkey_t key, char *const *names, unsigned count,
                   gnutls_x509_crt_fmt_t format, gnutls_datum_t *out) {
    gnutls_x509_crq_t request;
    if (gnutls_x509_crq_init(&request) < 0)
        return false;
    bool is_made = gnutls_x509_crq_set_version(request, 0) >= 0 && gnutls_x509_crq_set_key(request, key) >= 0;
    for (unsigned i = 0; is_made && i < count; i++)
        is_made = gnutls_x509_crq_set_subject_alt_name(request, GNUTLS_SAN_DNSNAME, names[i],
                                                       (unsigned)strlen(names[i]),
                                                       i == 0 ? GNUTLS_FSAN_SET : GNUTLS_FSAN_APPEND) >= 0;
    is_made = is_made && gnutls_x509_crq_sign2(request, key, GNUTLS_DIG_SHA256, 0) >= 0 &&
              gnutls_x509_crq_export2(request, format, out) >= 0;
    gnutls_x509_crq_deinit(request);
    return is_made;
}

bool load_run_threads(void *(*run)(void *runner), void *runners, size_t size, unsigned count,
                      double *wall_ms) {
    pthread_t *threads = calloc(count, sizeof *threads);
    unsigned started = 0;
    double start = load_now_ms();
    while (threads != NULL && started < count &&
           pthread_create(&threads[started], NULL, run, (char *)runners + started * size) == 0)
        started++;
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    *wall_ms = load_now_ms() - start;
    free(threads);
    return started == count;
}

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

void load_sort(double *values, size_t count) {
    if (count > 0)
        qsort(values, count, sizeof *values, compare);
}

double load_percentile(const double *values, size_t count, double share) {
    return count == 0 ? 0 : values[(size_t)(share * (double)(count - 1) + 0.5)];
}
