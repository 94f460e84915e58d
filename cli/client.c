/* One HTTP call a time over the admin socket. */
#include "client.h"

#include <string.h>

#include <curl/curl.h>

#define DEADLINE_SECONDS 60L
#define REPLY_MAX (64u * 1024 * 1024)

static size_t receive(char *bytes, size_t size, size_t count, void *context) {
    struct text *text = context;
    if (text->length + size * count > REPLY_MAX)
        return 0;
    text_append_bytes(text, bytes, size * count);
    return text->failed ? 0 : size * count;
}

static bool perform(struct client *client, const char *method, const char *path, const char *body,
                    struct text *reply, struct error *error) {
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    const char *url = arena_printf(client->arena, "http://admin%s", path);
    text_init(reply, client->arena);
    if (curl == NULL || url == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, DEADLINE_SECONDS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    CURLcode outcome = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &client->status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (outcome == CURLE_OK)
        return true;
    return error_set(error, ERROR_UNAVAILABLE,
                     "cannot reach the server at %s: %s (is it running, may you open the socket?)",
                     client->socket, curl_easy_strerror(outcome));
}

static enum error_code code_of(long status) {
    switch (status) {
    case 404:
        return ERROR_NOT_FOUND;
    case 409:
        return ERROR_CONFLICT;
    default: /* 503 too: the server was reached. ERROR_UNAVAILABLE is for one that was not. */
        return ERROR_REFUSED;
    }
}

json_t *client_call(struct client *client, const char *method, const char *path, const json_t *body,
                    struct error *error) {
    struct text reply;
    const char *text = body == NULL ? NULL : json_to_text(client->arena, body);
    if (!perform(client, method, path, text, &reply, error))
        return NULL;
    json_t *json = json_parse(client->arena, reply.data == NULL ? "" : reply.data, reply.length, error);
    if (json == NULL && client->status >= 400 && reply.data != NULL) {
        /* What never reached a route is refused in plain text. */
        error_set(error, code_of(client->status), "the server refused the request: %.200s", reply.data);
        return NULL;
    }
    if (json == NULL) {
        error_prefix(error, "the server's answer cannot be read");
        return NULL;
    }
    /* Readiness answers 503 with a document of its own. */
    const json_t *problem = json_object_get(json, "error");
    if (client->status < 300 || !json_is_object(problem))
        return json;
    const char *message = json_string_value(json_object_get(problem, "message"));
    error_set(error, code_of(client->status), "%s", message == NULL ? "the server refused" : message);
    return NULL;
}

char *client_get_text(struct client *client, const char *path, struct error *error) {
    struct text reply;
    if (!perform(client, "GET", path, NULL, &reply, error))
        return NULL;
    return reply.data == NULL ? arena_strdup(client->arena, "") : reply.data;
}

const char *client_escape(struct client *client, const char *text) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    struct text out;
    text_init(&out, client->arena);
    text_append(&out, "");
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL)
            text_append_bytes(&out, p, 1);
        else
            text_printf(&out, "%%%02X", *p);
    }
    return out.data == NULL ? "" : out.data;
}
