/* Getting one certificate. The key is made and staged on disk before anything is asked for, so that a full
 * disk or a forbidden folder costs no certificate. */
#include "issue.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct job {
    struct customer *customer;
    const struct order *order;
    struct arena *arena;
    gnutls_x509_privkey_t key; /* NULL with a CSR of one's own */
    gnutls_x509_crq_t request; /* that CSR, else NULL */
    gnutls_x509_crt_t certificate, issuer;
    struct output key_file, certificate_file;
    const char *csr, *id;
};

static bool fail(struct job *job, enum error_code code, const char *message) {
    return error_set(&job->customer->error, code, "%s", message);
}

/* --- key and request --- */

static bool read_request(struct job *job) {
    struct bytes file;
    if (!file_read(job->arena, job->order->csr, &file, &job->customer->error))
        return false;
    gnutls_datum_t datum = {(unsigned char *)file.data, (unsigned)file.length};
    if (memmem(file.data, file.length, "PRIVATE KEY", 11) != NULL)
        return error_set(&job->customer->error, ERROR_INVALID,
                         "%s holds a private key: a key is never sent, give the CSR alone", job->order->csr);
    if (gnutls_x509_crq_init(&job->request) < 0 ||
        gnutls_x509_crq_import(job->request, &datum, GNUTLS_X509_FMT_PEM) < 0)
        return error_set(&job->customer->error, ERROR_INVALID, "%s is not a CSR in PEM", job->order->csr);
    job->csr = arena_strndup(job->arena, (const char *)file.data, file.length);
    return job->csr != NULL || fail(job, ERROR_INTERNAL, "out of memory");
}

static bool take_key(struct job *job) {
    struct customer *customer = job->customer;
    if (job->order->kept_key != NULL) {
        struct bytes file;
        if (!file_read(job->arena, job->order->kept_key, &file, &customer->error))
            return false;
        job->key = key_read(file, &customer->error);
        if (job->key == NULL)
            error_prefix(&customer->error, "%s", job->order->kept_key);
        return job->key != NULL;
    }
    customer_log(customer, "generate received request");
    customer_log(customer, "received CSR");
    customer_log(customer, "generating key: %s", key_choice_name(job->arena, job->order->choice));
    job->key = key_make(job->order->choice, &customer->error);
    return job->key != NULL;
}

static bool stage_key(struct job *job) {
    enum key_format format;
    gnutls_datum_t text = {0};
    const struct order *order = job->order;
    if (!key_format_parse(order->key_format, &format, &job->customer->error) ||
        !key_write(job->key, format, &text, &job->customer->error))
        return false;
    bool is_staged = output_stage(job->arena, &job->key_file, order->key_out, text.data, text.size,
                                  order->key_group == NULL ? 0600 : 0640, order->key_group,
                                  order->may_replace, &job->customer->error);
    bytes_wipe(text.data, text.size);
    gnutls_free(text.data);
    return is_staged;
}

static bool make_request(struct job *job) {
    struct request_names names = {.hosts = job->order->hostnames};
    if (job->order->csr != NULL)
        return read_request(job);
    if (!take_key(job))
        return false;
    job->csr = request_make(job->arena, job->key, &names, &job->customer->error);
    if (job->csr == NULL)
        return false;
    customer_log(job->customer, "encoded CSR");
    return job->order->kept_key != NULL || stage_key(job);
}

/* --- the server's answer --- */

static bool is_for_our_key(const struct job *job) {
    unsigned char ours[64], theirs[64];
    size_t our_size = sizeof ours, their_size = sizeof theirs;
    if (job->key != NULL)
        return certificate_has_key(job->certificate, job->key);
    return gnutls_x509_crq_get_key_id(job->request, GNUTLS_KEYID_USE_SHA256, ours, &our_size) >= 0 &&
           gnutls_x509_crt_get_key_id(job->certificate, GNUTLS_KEYID_USE_SHA256, theirs, &their_size) >= 0 &&
           our_size == their_size && memcmp(ours, theirs, our_size) == 0;
}

static bool request_certificate(struct job *job) {
    struct customer *customer = job->customer;
    const json_t *body =
        arena_own_json(job->arena, json_pack("{s:s, s:O, s:s, s:i}", "csr", job->csr, "hostnames",
                                             job->order->hostnames, "request_type", job->order->request_type,
                                             "requested_validity", (int)job->order->days));
    if (body == NULL || !rest_open(customer))
        return customer->error.code != ERROR_NONE ? false : fail(job, ERROR_INTERNAL, "out of memory");
    customer_log(customer, "Connecting to %s/certificates", customer->rest.base);
    const json_t *result = rest_call(customer, "POST", "/certificates", body);
    if (result == NULL)
        return false;
    const char *pem = json_text(result, "certificate");
    job->certificate = certificate_read((struct bytes){(const uint8_t *)pem, strlen(pem)}, &customer->error);
    if (job->certificate == NULL)
        return fail(job, ERROR_REFUSED, "the server's answer holds no certificate");
    job->id = json_text(result, "id");
    if (*job->id == '\0')
        job->id = certificate_serial(job->arena, job->certificate);
    if (!is_for_our_key(job))
        return fail(job, ERROR_REFUSED, "the server's certificate is for another key; nothing was written");
    return true;
}

/* The issuing certificate, from a file or from /issuer/ beside the API: used only if it has signed the leaf.
 */
static bool take_issuer(struct job *job) {
    struct customer *customer = job->customer;
    bool is_needed = strcmp(job->order->format, "chain") == 0;
    struct bytes file = {0};
    unsigned status = 0;
    if (!is_needed && strcmp(job->order->format, "p7b") != 0)
        return true;
    if (job->order->issuer_file != NULL) {
        if (!file_read(job->arena, job->order->issuer_file, &file, &customer->error))
            return false;
    } else {
        const char *path =
            strcmp(job->order->request_type, "origin-ecc") == 0 ? "/issuer/ecc.pem" : "/issuer/rsa.pem";
        const char *text = rest_get_plain(customer, path);
        file = (struct bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
    }
    job->issuer = file.length == 0 ? NULL : certificate_read(file, &customer->error);
    if (job->issuer != NULL &&
        gnutls_x509_crt_verify(job->certificate, &job->issuer, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS,
                               &status) >= 0 &&
        (status & GNUTLS_CERT_INVALID) == 0)
        return true;
    gnutls_x509_crt_deinit(job->issuer);
    job->issuer = NULL;
    if (is_needed || job->order->issuer_file != NULL)
        return error_set(&customer->error, ERROR_REFUSED,
                         "%s is not the certificate that issued it; --issuer-file names the right one "
                         "(the certificate has the id %s)",
                         job->order->issuer_file != NULL ? job->order->issuer_file : "what the server offers",
                         job->id);
    customer->error = (struct error){0};
    return true;
}

/* --- files, state, hook --- */

static bool place_files(struct job *job) {
    struct bytes text;
    const struct order *order = job->order;
    struct error *error = &job->customer->error;
    if (!certificate_render(job->arena, job->certificate, job->issuer, order->format, &text, error) ||
        !output_stage(job->arena, &job->certificate_file, order->certificate_out, text.data, text.length,
                      0644, NULL, order->may_replace, error))
        return false;
    bool has_new_key = job->key_file.temporary != NULL;
    if (has_new_key && !output_place(&job->key_file, error))
        return false;
    if (!output_place(&job->certificate_file, error)) {
        if (has_new_key && !order->may_replace)
            unlink(job->key_file.path);
        return false;
    }
    if (has_new_key)
        customer_log(job->customer, "Saved generated private key to %s", order->key_out);
    customer_log(job->customer, "Saved issued certificate to %s", order->certificate_out);
    return true;
}

static void set_path(const char *name, const char *path) {
    char whole[PATH_MAX];
    setenv(name, path == NULL || realpath(path, whole) == NULL ? "" : whole, 1);
}

bool issue_run_hook(const struct order *order, const char *id) {
    if (order->reload_hook == NULL || *order->reload_hook == '\0')
        return true;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        settings_hide_secrets();
        set_path("ORIGINCA_CERTIFICATE", order->certificate_out);
        set_path("ORIGINCA_KEY", order->key_out);
        setenv("ORIGINCA_NAME", order->name, 1);
        setenv("ORIGINCA_ID", id, 1);
        dup2(STDERR_FILENO, STDOUT_FILENO); /* --json owns standard output */
        execl("/bin/sh", "sh", "-c", order->reload_hook, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return false;
    if (status != 0)
        fprintf(stderr, "originca: the reload hook failed (%s %d): %s\n",
                WIFSIGNALED(status) ? "signal" : "exit status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), order->reload_hook);
    return status == 0;
}

static json_t *summarize(const struct job *job, time_t from, time_t to, bool has_hook_failed) {
    char begin[TIME_TEXT_MAX], end[TIME_TEXT_MAX];
    const struct order *order = job->order;
    time_format(from, begin);
    time_format(to, end);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:O, s:s, s:s?, s:s, s:s, s:s, s:i}", "status", "issued", "name",
                  order->name, "id", job->id, "hostnames", order->hostnames, "certificate_file",
                  order->certificate_out, "key_file", order->key_out, "not_before", begin, "not_after", end,
                  "request_type", order->request_type, "requested_validity", (int)order->days);
    if (order->reload_hook != NULL)
        json_object_set_new(json, "hook", json_string(has_hook_failed ? "failed" : "done"));
    return arena_own_json(job->arena, json);
}

static char *joined(struct arena *arena, const json_t *hostnames) {
    struct text text;
    size_t i;
    const json_t *name;
    text_init(&text, arena);
    json_array_foreach(hostnames, i, name)
        text_printf(&text, "%s%s", i == 0 ? "" : ",", json_string_value(name));
    return text.data;
}

static bool run(struct job *job, json_t **summary) {
    const struct order *order = job->order;
    struct customer *customer = job->customer;
    if ((order->key_out != NULL && order->kept_key == NULL &&
         !output_check(order->key_out, order->may_replace, &customer->error)) ||
        !output_check(order->certificate_out, order->may_replace, &customer->error) ||
        (order->has_state && !state_prepare(customer)) || !make_request(job) || !request_certificate(job))
        return false;
    customer_log(customer, "Successfully issued certificate for: %s", joined(job->arena, order->hostnames));
    if (!take_issuer(job) || !place_files(job))
        return false;
    time_t from = gnutls_x509_crt_get_activation_time(job->certificate);
    time_t to = gnutls_x509_crt_get_expiration_time(job->certificate);
    bool has_hook_failed = !issue_run_hook(order, job->id);
    if (order->has_state && !state_save(customer, order, job->id, from, to, has_hook_failed))
        return false;
    *summary = summarize(job, from, to, has_hook_failed);
    return *summary != NULL || fail(job, ERROR_INTERNAL, "out of memory");
}

bool issue_certificate(struct customer *customer, const struct order *order, json_t **summary) {
    struct job job = {.customer = customer, .order = order, .arena = customer->arena};
    bool is_done = run(&job, summary);
    output_discard(&job.key_file);
    output_discard(&job.certificate_file);
    gnutls_x509_privkey_deinit(job.key);
    gnutls_x509_crq_deinit(job.request);
    gnutls_x509_crt_deinit(job.certificate);
    gnutls_x509_crt_deinit(job.issuer);
    return is_done;
}
