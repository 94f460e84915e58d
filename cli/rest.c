/* The REST API by libcurl. What is sent is what the caller built: a CSR, names, ids. Nothing here ever sees a
 * private key. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "customer.h"

#define CONNECT_SECONDS 15L
#define DEADLINE_SECONDS 120L
#define ANSWER_MAX (64u * 1024 * 1024)
#define TRIES_MAX 3
#define WAIT_MAX_SECONDS 60

struct answer {
    struct text body;
    char ray[64];
    long retry_after;
    bool forbids_retry;
};

static size_t receive(char *bytes, size_t size, size_t count, void *context) {
    struct answer *answer = context;
    if (answer->body.length + size * count > ANSWER_MAX)
        return 0;
    text_append_bytes(&answer->body, bytes, size * count);
    return answer->body.failed ? 0 : size * count;
}

static bool take_value(const char *line, size_t length, const char *name, char *out, size_t size) {
    size_t head = strlen(name);
    if (length <= head || strncasecmp(line, name, head) != 0)
        return false;
    while (head < length && (line[head] == ' ' || line[head] == '\t'))
        head++;
    size_t used = 0;
    while (head < length && used + 1 < size && isgraph((unsigned char)line[head]))
        out[used++] = line[head++];
    out[used] = '\0';
    return true;
}

static size_t receive_header(char *bytes, size_t size, size_t count, void *context) {
    struct answer *answer = context;
    char value[64];
    if (take_value(bytes, size * count, "cf-ray:", value, sizeof value))
        snprintf(answer->ray, sizeof answer->ray, "%s", value);
    else if (take_value(bytes, size * count, "retry-after:", value, sizeof value))
        answer->retry_after = strtol(value, NULL, 10);
    else if (take_value(bytes, size * count, "x-should-retry:", value, sizeof value))
        answer->forbids_retry = strcasecmp(value, "false") == 0;
    return size * count;
}

static bool is_loopback(const char *host) {
    return strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 || strcmp(host, "[::1]") == 0;
}

static bool take_url(struct customer *customer) {
    struct rest *rest = &customer->rest;
    const char *url = customer->options.api_url;
    char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
    if (url == NULL)
        return error_set(&customer->error, ERROR_INVALID,
                         "which server? Set --api-url, ORIGINCA_API_URL, or api_url in "
                         "~/.config/originca/config, to https://HOST/client/v4");
    CURLU *parsed = curl_url();
    bool is_fine = parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                   curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                   curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                   curl_url_get(parsed, CURLUPART_PATH, &path, 0) == CURLUE_OK;
    curl_url_get(parsed, CURLUPART_PORT, &port, 0);
    if (!is_fine) {
        error_set(&customer->error, ERROR_INVALID, "\"%s\" is not a URL", url);
    } else if (strcmp(scheme, "https") != 0 && !(strcmp(scheme, "http") == 0 && is_loopback(host))) {
        is_fine = error_set(&customer->error, ERROR_INVALID,
                            "the API needs https: over \"%s\" the credentials could be read", scheme);
    } else {
        size_t length = strlen(path);
        while (length > 0 && path[length - 1] == '/')
            length--;
        rest->origin = arena_printf(customer->arena, "%s://%s%s%s", scheme, host, port == NULL ? "" : ":",
                                    port == NULL ? "" : port);
        rest->base = arena_printf(customer->arena, "%s%.*s", rest->origin == NULL ? "" : rest->origin,
                                  length == 0 ? 10 : (int)length, length == 0 ? "/client/v4" : path);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_url_cleanup(parsed);
    return is_fine;
}

static void add_header(struct customer *customer, const char *name, const char *value) {
    customer->rest.headers[customer->rest.header_count++] =
        arena_printf(customer->arena, "%s: %s", name, value);
}

static bool take_credentials(struct customer *customer) {
    const struct options *options = &customer->options;
    if (options->api_token != NULL) {
        const char *value = arena_printf(customer->arena, "Bearer %s", options->api_token);
        add_header(customer, "Authorization", value == NULL ? "" : value);
    } else if (options->service_key != NULL) {
        add_header(customer, "X-Auth-User-Service-Key", options->service_key);
    } else if (options->api_key != NULL && strncmp(options->api_key, "v1.0-", 5) == 0) {
        add_header(customer, "X-Auth-User-Service-Key", options->api_key);
    } else if (options->api_key != NULL) {
        if (options->api_email == NULL)
            return error_set(&customer->error, ERROR_INVALID,
                             "an account key needs its e-mail address: --api-email or CF_API_EMAIL");
        add_header(customer, "X-Auth-Email", options->api_email);
        add_header(customer, "X-Auth-Key", options->api_key);
    } else {
        return error_set(&customer->error, ERROR_INVALID,
                         "no credentials: set CF_API_KEY (Origin CA key) or CF_API_TOKEN, or api_token_file "
                         "in ~/.config/originca/config");
    }
    return true;
}

bool rest_open(struct customer *customer) {
    if (customer->rest.curl != NULL)
        return true;
    if (!take_url(customer) || !take_credentials(customer))
        return false;
    customer->rest.curl = curl_easy_init();
    return customer->rest.curl != NULL || error_set(&customer->error, ERROR_INTERNAL, "out of memory");
}

void rest_close(struct customer *customer) {
    curl_easy_cleanup(customer->rest.curl);
    customer->rest.curl = NULL;
}

static CURLcode perform(struct customer *customer, const char *method, const char *url, const char *body,
                        bool has_credentials, struct answer *answer) {
    CURL *curl = customer->rest.curl;
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    *answer = (struct answer){0};
    text_init(&answer->body, customer->arena);
    curl_easy_reset(curl); /* keeps the connection */
    for (size_t i = 0; has_credentials && i < customer->rest.header_count; i++)
        headers = curl_slist_append(headers, customer->rest.headers[i]);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, DEADLINE_SECONDS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "originca/" ORIGINCA_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, receive_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    if (customer->options.ca_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, customer->options.ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (body != NULL) {
        headers = curl_slist_append(headers, "Content-Type: application/json");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode outcome = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &customer->rest.status);
    curl_slist_free_all(headers);
    if (customer->options.shows_requests)
        fprintf(stderr, "> %s %s\n%s%s%s< %ld %s\n", method, url, body == NULL ? "" : "> ",
                body == NULL ? "" : body, body == NULL ? "" : "\n", customer->rest.status,
                answer->body.data == NULL ? "" : answer->body.data);
    return outcome;
}

static bool was_never_sent(CURLcode outcome) {
    return outcome == CURLE_COULDNT_CONNECT || outcome == CURLE_COULDNT_RESOLVE_HOST ||
           outcome == CURLE_SSL_CONNECT_ERROR || outcome == CURLE_PEER_FAILED_VERIFICATION ||
           outcome == CURLE_SSL_CACERT_BADFILE;
}

/* A POST is repeated only where the server said that nothing was done: a second certificate is worse than a
 * failed command. */
static bool is_worth_repeating(const char *method, CURLcode outcome, long status,
                               const struct answer *answer) {
    bool is_post = strcmp(method, "POST") == 0;
    if (answer->forbids_retry || answer->retry_after > WAIT_MAX_SECONDS)
        return false;
    if (outcome != CURLE_OK)
        return !is_post && !was_never_sent(outcome);
    return status == 429 || (status == 503 && answer->retry_after > 0) || (status >= 500 && !is_post);
}

static void wait_before_repeating(const struct answer *answer, int attempt) {
    struct timespec pause = {.tv_sec = answer->retry_after > 0 ? answer->retry_after : 0,
                             .tv_nsec = answer->retry_after > 0 ? 0 : 300000000L * (attempt + 1)};
    if (pause.tv_sec > 1)
        fprintf(stderr, "The server asks to wait %lld seconds ...\n", (long long)pause.tv_sec);
    nanosleep(&pause, NULL);
}

static bool say_no_answer(struct customer *customer, const char *method, CURLcode outcome) {
    if (was_never_sent(outcome) || strcmp(method, "POST") != 0)
        return error_set(&customer->error, ERROR_UNAVAILABLE, "cannot reach %s: %s", customer->rest.base,
                         curl_easy_strerror(outcome));
    return error_set(&customer->error, ERROR_UNKNOWN,
                     "%s did not answer (%s); the certificate may have been issued all the same: `originca "
                     "list` shows it",
                     customer->rest.base, curl_easy_strerror(outcome));
}

static json_t *refuse(struct customer *customer, const json_t *json, const struct answer *answer) {
    const json_t *problem = json_array_get(json_object_get(json, "errors"), 0);
    const char *message = json_string_value(json_object_get(problem, "message"));
    long status = customer->rest.status;
    customer->rest.code = (int)json_integer_value(json_object_get(problem, "code"));
    enum error_code code = status == 404 ? ERROR_NOT_FOUND : ERROR_REFUSED;
    if (message != NULL)
        error_set(&customer->error, code, "%s (code %d, HTTP %ld%s%s)", message, customer->rest.code, status,
                  answer->ray[0] == '\0' ? "" : ", request ", answer->ray);
    else
        error_set(&customer->error, code, "HTTP %ld from %s is no answer of the Origin CA API: %.120s",
                  status, customer->rest.base, answer->body.data == NULL ? "empty" : answer->body.data);
    return NULL;
}

json_t *rest_call(struct customer *customer, const char *method, const char *path, const json_t *body) {
    struct answer answer;
    CURLcode outcome = CURLE_OK;
    if (!rest_open(customer))
        return NULL;
    customer->rest.code = 0;
    const char *url = arena_printf(customer->arena, "%s%s", customer->rest.base, path);
    const char *text = body == NULL ? NULL : json_to_text(customer->arena, body);
    for (int attempt = 0; url != NULL && attempt < TRIES_MAX; attempt++) {
        outcome = perform(customer, method, url, text, true, &answer);
        if (attempt + 1 == TRIES_MAX || !is_worth_repeating(method, outcome, customer->rest.status, &answer))
            break;
        wait_before_repeating(&answer, attempt);
    }
    if (url == NULL) {
        error_set(&customer->error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    if (outcome != CURLE_OK) {
        say_no_answer(customer, method, outcome);
        return NULL;
    }
    const char *data = answer.body.data == NULL ? "" : answer.body.data;
    json_t *json = json_parse(customer->arena, data, answer.body.length, NULL);
    if (!json_is_true(json_object_get(json, "success")) || customer->rest.status >= 300)
        return refuse(customer, json, &answer);
    customer->rest.result_info = json_object_get(json, "result_info");
    json_t *result = json_object_get(json, "result");
    return result == NULL ? arena_own_json(customer->arena, json_null()) : result;
}

char *rest_get_plain(struct customer *customer, const char *path) {
    struct answer answer;
    if (!rest_open(customer))
        return NULL;
    const char *url = arena_printf(customer->arena, "%s%s", customer->rest.origin, path);
    if (url == NULL || perform(customer, "GET", url, NULL, false, &answer) != CURLE_OK ||
        customer->rest.status != 200)
        return NULL;
    return answer.body.data;
}

const char *rest_escape(struct customer *customer, const char *text) {
    struct client client = {.arena = customer->arena};
    return client_escape(&client, text);
}
