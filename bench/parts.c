/* bench-parts: what one issuance cannot do without, each part measured alone on this machine in CPU time.
 *
 * TLS handshake (the server's half), signature check, certification request, signature by the token, Redis
 * command, ledger write, DNS query: straight library calls, nothing of ours around them. scripts/bench
 * multiplies each by how often an issuance needs it and sets the sum against what the whole server used.
 * Prints JSON, microseconds. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/abstract.h>
#include <gnutls/pkcs11.h>
#include <gnutls/x509.h>
#include <hiredis/hiredis.h>

#include "originca/config.h"
#include "originca/text.h"
#include "parts.h"

struct options {
    const char *certificate, *key, *redis_socket, *module, *pin_file, *token, *directory;
    pid_t redis_pid;
    unsigned rounds;
};

double thread_cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static bool say(const char *what, int outcome) {
    if (outcome < 0)
        fprintf(stderr, "bench-parts: %s: %s\n", what, gnutls_strerror(outcome));
    return outcome >= 0;
}

static bool make_key(gnutls_privkey_t *key, gnutls_pubkey_t *public_key) {
    return say("key", gnutls_privkey_init(key)) &&
           say("key", gnutls_privkey_generate(*key, GNUTLS_PK_ECDSA,
                                              GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0)) &&
           say("key", gnutls_pubkey_init(public_key)) &&
           say("key", gnutls_pubkey_import_privkey(*public_key, *key, 0, 0));
}

/* ES256 over the size of a newOrder request. */
static bool measure_signature_check(unsigned rounds, double *us) {
    gnutls_privkey_t key;
    gnutls_pubkey_t public_key;
    unsigned char text[700] = {1};
    const gnutls_datum_t data = {text, sizeof text};
    gnutls_datum_t signature;
    if (!make_key(&key, &public_key) ||
        !say("sign", gnutls_privkey_sign_data2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &signature)))
        return false;
    double started = thread_cpu_us();
    for (unsigned i = 0; i < rounds; i++)
        if (!say("verify",
                 gnutls_pubkey_verify_data2(public_key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &signature)))
            return false;
    *us = (thread_cpu_us() - started) / rounds;
    return true;
}

static bool make_request(gnutls_datum_t *der) {
    gnutls_x509_privkey_t key;
    gnutls_x509_crq_t request;
    gnutls_x509_privkey_init(&key);
    gnutls_x509_crq_init(&request);
    gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    gnutls_x509_crq_set_version(request, 0);
    gnutls_x509_crq_set_key(request, key);
    gnutls_x509_crq_set_subject_alt_name(request, GNUTLS_SAN_DNSNAME, "www.shop.test", 13, GNUTLS_FSAN_SET);
    return say("request", gnutls_x509_crq_sign2(request, key, GNUTLS_DIG_SHA256, 0)) &&
           say("request", gnutls_x509_crq_export2(request, GNUTLS_X509_FMT_DER, der));
}

static bool measure_request(unsigned rounds, double *us) {
    gnutls_datum_t der;
    if (!make_request(&der))
        return false;
    double started = thread_cpu_us();
    for (unsigned i = 0; i < rounds; i++) {
        gnutls_x509_crq_t request;
        gnutls_x509_crq_init(&request);
        bool is_good = say("import", gnutls_x509_crq_import(request, &der, GNUTLS_X509_FMT_DER)) &&
                       say("verify", gnutls_x509_crq_verify(request, 0));
        gnutls_x509_crq_deinit(request);
        if (!is_good)
            return false;
    }
    *us = (thread_cpu_us() - started) / rounds;
    return true;
}

static int give_pin(void *context, int attempt, const char *url, const char *label, unsigned flags, char *pin,
                    size_t size) {
    (void)url, (void)label, (void)flags;
    if (attempt > 0)
        return GNUTLS_E_PKCS11_PIN_ERROR;
    snprintf(pin, size, "%s", (const char *)context);
    return 0;
}

/* The sandbox's own ECC issuing key. */
static bool measure_token(const struct options *options, double *us) {
    gnutls_privkey_t key;
    struct error error;
    char url[128];
    unsigned char digest[SHA256_BYTES] = {7};
    const gnutls_datum_t hash = {digest, sizeof digest};
    char *pin = config_read_secret(options->pin_file, 256, &error);
    if (pin == NULL) {
        fprintf(stderr, "bench-parts: %s\n", error.message);
        return false;
    }
    snprintf(url, sizeof url, "pkcs11:token=%s;object=ecc;type=private", options->token);
    gnutls_pkcs11_set_pin_function(give_pin, pin);
    if (!say("token", gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_MANUAL, NULL)) ||
        !say(options->module, gnutls_pkcs11_add_provider(options->module, NULL)) ||
        !say("token", gnutls_privkey_init(&key)) || !say(url, gnutls_privkey_import_url(key, url, 0)))
        return false;
    double started = thread_cpu_us();
    for (unsigned i = 0; i < options->rounds; i++) {
        gnutls_datum_t signature;
        if (!say("sign", gnutls_privkey_sign_hash2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &hash, &signature)))
            return false;
        gnutls_free(signature.data);
    }
    *us = (thread_cpu_us() - started) / options->rounds;
    gnutls_privkey_deinit(key);
    return true;
}

static double process_cpu_us(pid_t pid) {
    char path[64];
    unsigned long long nanoseconds = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%llu", &nanoseconds) != 1)
        fprintf(stderr, "bench-parts: cannot read %s\n", path);
    if (file != NULL)
        fclose(file);
    return (double)nanoseconds / 1e3;
}

/* One script that writes an object of an order's size, alone in its round trip: client and Redis together. */
static bool measure_redis(const struct options *options, double *us) {
    static const char *const script =
        "redis.call('SET', KEYS[1], ARGV[1], 'EX', 60) return redis.call('GET', KEYS[1])";
    redisContext *redis = redisConnectUnix(options->redis_socket);
    char value[600];
    if (redis == NULL || redis->err != 0) {
        fprintf(stderr, "bench-parts: cannot connect to %s\n", options->redis_socket);
        return false;
    }
    memset(value, 'x', sizeof value);
    redisReply *loaded = redisCommand(redis, "SCRIPT LOAD %s", script);
    bool is_good = loaded != NULL && loaded->type == REDIS_REPLY_STRING;
    double client = thread_cpu_us(), server = process_cpu_us(options->redis_pid);
    for (unsigned i = 0; is_good && i < options->rounds; i++) {
        redisReply *reply =
            redisCommand(redis, "EVALSHA %s 1 bench:{part} %b", loaded->str, value, sizeof value);
        is_good = reply != NULL && reply->type == REDIS_REPLY_STRING;
        freeReplyObject(reply);
    }
    *us = (thread_cpu_us() - client + process_cpu_us(options->redis_pid) - server) / options->rounds;
    freeReplyObject(loaded);
    redisFree(redis);
    if (!is_good)
        fprintf(stderr, "bench-parts: Redis refuses the script\n");
    return is_good;
}

/* One ledger record: appended and synced. */
static bool measure_ledger_write(const struct options *options, double *us) {
    char path[512], record[900];
    memset(record, 'x', sizeof record);
    snprintf(path, sizeof path, "%s/bench-ledger", options->directory);
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    bool is_good = fd >= 0;
    double started = thread_cpu_us();
    for (unsigned i = 0; is_good && i < options->rounds; i++)
        is_good = write(fd, record, sizeof record) == (ssize_t)sizeof record && fdatasync(fd) == 0;
    *us = (thread_cpu_us() - started) / options->rounds;
    if (!is_good)
        fprintf(stderr, "bench-parts: cannot write %s: %m\n", path);
    if (fd >= 0)
        close(fd);
    unlink(path);
    return is_good;
}

static bool parse_options(int argc, char **argv, struct options *options) {
    static const struct option table[] = {
        {"certificate", 1, NULL, 'c'},  {"key", 1, NULL, 'k'},
        {"redis-socket", 1, NULL, 'r'}, {"redis-pid", 1, NULL, 'p'},
        {"module", 1, NULL, 'm'},       {"pin-file", 1, NULL, 'f'},
        {"token", 1, NULL, 't'},        {"directory", 1, NULL, 'd'},
        {"rounds", 1, NULL, 'n'},       {0},
    };
    *options = (struct options){.rounds = 2000};
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (option) {
        case 'c':
            options->certificate = optarg;
            break;
        case 'k':
            options->key = optarg;
            break;
        case 'r':
            options->redis_socket = optarg;
            break;
        case 'p':
            options->redis_pid = (pid_t)atoi(optarg);
            break;
        case 'm':
            options->module = optarg;
            break;
        case 'f':
            options->pin_file = optarg;
            break;
        case 't':
            options->token = optarg;
            break;
        case 'd':
            options->directory = optarg;
            break;
        case 'n':
            options->rounds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    return options->certificate && options->key && options->redis_socket && options->redis_pid > 0 &&
           options->module && options->pin_file && options->token && options->directory &&
           options->rounds > 0;
}

int main(int argc, char **argv) {
    struct options options;
    double handshake, check, request, token, redis, ledger, dns;
    if (!parse_options(argc, argv, &options)) {
        fputs(
            "Usage: bench-parts --certificate PEM --key PEM --redis-socket PATH --redis-pid PID --module SO\n"
            "       --pin-file FILE --token LABEL --directory DIR [--rounds N]\n",
            stderr);
        return 2;
    }
    if (!measure_handshake(options.certificate, options.key, options.rounds / 4 + 1, &handshake) ||
        !measure_signature_check(options.rounds, &check) || !measure_request(options.rounds, &request) ||
        !measure_token(&options, &token) || !measure_redis(&options, &redis) ||
        !measure_ledger_write(&options, &ledger) || !measure_dns_query(options.rounds, &dns))
        return 1;
    printf(
        "{\"tls_handshake\": %.1f, \"signature_check\": %.1f, \"request\": %.1f, \"token_signature\": %.1f, "
        "\"redis_script\": %.1f, \"ledger_write\": %.1f, \"dns_query\": %.1f}\n",
        handshake, check, request, token, redis, ledger, dns);
    return 0;
}
