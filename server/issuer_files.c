/* Serves the issuing certificates; they are read once, at the start of the worker. */
#include "issuer_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/log.h"

#define CERTIFICATE_FILE_MAX 65536

struct issuer_file {
    const char *name;
    struct bytes pem, der;
};

struct issuer_files {
    struct worker *worker; /* first: what services share (operation.h) */
    struct arena *arena;
    struct issuer_file *items;
    size_t count;
    struct http_service service;
};

static void answer(struct http_request *request, unsigned status, const char *detail) {
    http_reply(request, status, "text/plain; charset=utf-8", detail, strlen(detail));
}

static void send_file(struct http_request *request) {
    struct issuer_files *files = request->service_context;
    const char *asked = request->params[0];
    const char *dot = strrchr(asked, '.');
    size_t length = dot == NULL ? 0 : (size_t)(dot - asked);
    bool is_der = dot != NULL && strcmp(dot, ".der") == 0;
    for (size_t i = 0; i < files->count && (is_der || (dot != NULL && strcmp(dot, ".pem") == 0)); i++) {
        const struct issuer_file *file = &files->items[i];
        if (strlen(file->name) != length || memcmp(file->name, asked, length) != 0)
            continue;
        http_reply_header(request, "Cache-Control", "public, max-age=86400");
        if (is_der)
            http_reply(request, 200, "application/pkix-cert", file->der.data, file->der.length);
        else
            http_reply(request, 200, "application/x-pem-file", file->pem.data, file->pem.length);
        return;
    }
    answer(request, 404, "There is no such issuing certificate.\n");
}

static const struct http_route routes[] = {{HTTP_METHOD_GET, "/issuer/:file", send_file, NULL}};

static bool load_file(struct arena *arena, const struct config_issuer *issuer, struct issuer_file *out,
                      struct error *error) {
    FILE *stream = fopen(issuer->certificate_file, "re");
    char *text = arena_alloc(arena, CERTIFICATE_FILE_MAX);
    size_t length = stream != NULL && text != NULL ? fread(text, 1, CERTIFICATE_FILE_MAX, stream) : 0;
    if (stream != NULL)
        fclose(stream);
    out->name = issuer->name;
    if (length == 0 || length == CERTIFICATE_FILE_MAX ||
        !pem_decode(arena, "CERTIFICATE", text, length, &out->der))
        return error_set(error, ERROR_INVALID, "%s is no PEM certificate; `originca-server ca init` makes it",
                         issuer->certificate_file);
    char *pem = pem_encode(arena, "CERTIFICATE", out->der.data, out->der.length);
    if (pem == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    out->pem = (struct bytes){(const uint8_t *)pem, strlen(pem)};
    return true;
}

struct issuer_files *issuer_files_new(struct worker *worker, struct error *error) {
    struct issuer_files *files = calloc(1, sizeof *files);
    struct arena *arena = arena_new(0);
    if (files == NULL || arena == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        free(files);
        arena_free(arena);
        return NULL;
    }
    files->worker = worker;
    files->arena = arena;
    files->items = arena_alloc(arena, (worker->config->issuer_count + 1) * sizeof *files->items);
    for (size_t i = 0; files->items != NULL && i < worker->config->issuer_count; i++, files->count++)
        if (!load_file(arena, &worker->config->issuers[i], &files->items[i], error)) {
            issuer_files_free(files);
            return NULL;
        }
    files->service = (struct http_service){
        .prefix = "/issuer/", .routes = routes, .route_count = 1, .fail = answer, .context = files};
    return files;
}

void issuer_files_free(struct issuer_files *files) {
    if (files == NULL)
        return;
    arena_free(files->arena);
    free(files);
}

const struct http_service *issuer_files_service(struct issuer_files *files) {
    return &files->service;
}
