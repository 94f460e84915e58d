/* Serves the lists that the admin process has put into the run directory. Files are mapped, so a list costs
 * this process nothing, however large it is and however many take it at once. Whether the index is another
 * one is looked at with each request: two workers in turn never give a newer list before an older one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "originca/crl_service.h"
#include "originca/log.h"

#define LOOKS 3 /* at an index that changes meanwhile */

/* A mapped file; lives until nobody is sent it any more. */
struct mapping {
    char name[CRL_FILE_NAME_MAX];
    struct stat facts; /* of the file: one that was damaged comes again under its name */
    struct bytes der;
    unsigned references;
};

struct crl_service {
    struct worker *worker; /* first: what services share (operation.h) */
    struct crl_files files;
    struct mapping **mappings; /* of each file; NULL: it could not be mapped */
    struct stat index;
    struct http_service service;
};

static void answer(struct http_request *request, unsigned status, const char *detail) {
    http_reply(request, status, "text/plain; charset=utf-8", detail, strlen(detail));
}

static void release(void *context) {
    struct mapping *mapping = context;
    if (mapping == NULL || --mapping->references > 0)
        return;
    munmap((void *)(uintptr_t)mapping->der.data, mapping->der.length);
    free(mapping);
}

static struct mapping *map_file(const struct crl_files *files, const struct crl_file *file) {
    char path[320];
    struct mapping *mapping = calloc(1, sizeof *mapping);
    if (mapping == NULL)
        return NULL;
    snprintf(path, sizeof path, "%s/%s", files->directory, file->name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    void *data =
        fd < 0 || file->bytes == 0 ? MAP_FAILED : mmap(NULL, file->bytes, PROT_READ, MAP_SHARED, fd, 0);
    struct stat facts;
    /* A page behind the end of a file that is shorter than its index says would be fatal to touch. */
    bool is_whole = data != MAP_FAILED && fstat(fd, &facts) == 0 && (uint64_t)facts.st_size == file->bytes;
    if (data != MAP_FAILED && !is_whole)
        munmap(data, file->bytes);
    if (fd >= 0)
        close(fd);
    if (!is_whole) {
        free(mapping);
        return NULL;
    }
    snprintf(mapping->name, sizeof mapping->name, "%s", file->name);
    mapping->facts = facts;
    mapping->der = (struct bytes){data, file->bytes};
    mapping->references = 1;
    return mapping;
}

static bool is_another(const struct stat *known, const struct stat *found) {
    return found->st_ino != known->st_ino || found->st_mtim.tv_sec != known->st_mtim.tv_sec ||
           found->st_mtim.tv_nsec != known->st_mtim.tv_nsec;
}

static bool is_of_file(const struct mapping *mapping, const struct crl_files *files,
                       const struct crl_file *file) {
    char path[320];
    struct stat found;
    if (strcmp(mapping->name, file->name) != 0)
        return false;
    snprintf(path, sizeof path, "%s/%s", files->directory, file->name);
    return stat(path, &found) == 0 && !is_another(&mapping->facts, &found);
}

static struct mapping *keep_or_map(const struct crl_service *service, const struct crl_files *next,
                                   const struct crl_file *file) {
    for (size_t i = 0; i < service->files.count; i++)
        if (service->mappings[i] != NULL && is_of_file(service->mappings[i], next, file)) {
            service->mappings[i]->references++;
            return service->mappings[i];
        }
    return map_file(next, file);
}

static void forget(struct crl_service *service) {
    for (size_t i = 0; i < service->files.count; i++)
        release(service->mappings[i]);
    free(service->mappings);
    service->mappings = NULL;
    crl_files_free(&service->files);
}

/* What cannot be read leaves what was served before. False: a file that it names has gone, because a newer
 * index is there by now. */
static bool take_index(struct crl_service *service) {
    struct crl_files next;
    struct error error;
    if (!crl_files_read(&next, service->worker->config->run_directory, &error)) {
        log_event(LOG_LEVEL_WARNING, "revocation lists cannot be read", "reason", error.message, NULL);
        return true;
    }
    struct mapping **mappings = calloc(next.count + 1, sizeof(struct mapping *));
    if (mappings == NULL) {
        crl_files_free(&next);
        return true;
    }
    bool is_whole = true;
    for (size_t i = 0; i < next.count; i++) {
        mappings[i] = keep_or_map(service, &next, &next.items[i]);
        is_whole = is_whole && mappings[i] != NULL;
    }
    forget(service);
    service->files = next;
    service->mappings = mappings;
    return is_whole;
}

static void look(struct crl_service *service) {
    char path[320];
    struct stat found;
    snprintf(path, sizeof path, "%s/crl/index", service->worker->config->run_directory);
    for (unsigned tries = 0; tries < LOOKS && stat(path, &found) == 0 && is_another(&service->index, &found);
         tries++) {
        bool is_whole = take_index(service);
        service->index = is_whole ? found : (struct stat){.st_ino = 0};
    }
}

/* The path of a list's URL; of a complete one, which has none, /crl/ISSUER-all.crl. */
static bool has_path(const struct crl_file *file, const char *path) {
    char complete[128];
    const char *host = strstr(file->url, "://"), *rest = host == NULL ? NULL : strchr(host + 3, '/');
    snprintf(complete, sizeof complete, "/crl/%s-all.crl", file->issuer);
    return *file->url == '\0' ? strcmp(complete, path) == 0 : rest != NULL && strcmp(rest, path) == 0;
}

static bool has_host(const struct crl_file *file, const char *host) {
    const char *at = strstr(file->url, "://");
    size_t length = host == NULL ? 0 : strlen(host);
    return at != NULL && length > 0 && strncasecmp(at + 3, host, length) == 0 && at[3 + length] == '/';
}

/* By the whole URL where two of one path differ in their hosts; whoever stands in between may have changed
 * the host. */
static size_t find(const struct crl_service *service, const struct http_request *request) {
    const char *host = http_header(request, "Host");
    size_t best = service->files.count;
    for (size_t i = 0; i < service->files.count; i++) {
        const struct crl_file *file = &service->files.items[i];
        if (service->mappings[i] == NULL || !has_path(file, request->path))
            continue;
        if (has_host(file, host))
            return i;
        if (best == service->files.count || service->files.items[best].number < file->number)
            best = i;
    }
    return best;
}

static void send_list(struct http_request *request) {
    struct crl_service *service = request->service_context;
    char text[96];
    look(service);
    size_t at = find(service, request);
    if (at == service->files.count) {
        answer(request, 404, "There is no such revocation list.\n");
        return;
    }
    const struct crl_file *file = &service->files.items[at];
    struct mapping *mapping = service->mappings[at];
    time_t left = file->next_update - time(NULL);
    time_t age = (time_t)service->worker->config->crl_max_age_seconds;
    snprintf(text, sizeof text, "public, max-age=%lld",
             (long long)(left < age ? (left > 0 ? left : 0) : age));
    http_reply_header(request, "Cache-Control", text);
    snprintf(text, sizeof text, "\"%.*s\"", (int)strcspn(file->name, "."), file->name);
    if (http_is_not_modified(request, text, file->this_update)) {
        http_reply(request, 304, NULL, "", 0);
        return;
    }
    /* Always whole: a part of one list and a part of the next would make none (RFC 9110 14.2 allows it). */
    http_reply_header(request, "Accept-Ranges", "none");
    mapping->references++;
    http_reply_reference(request, 200, "application/pkix-crl", mapping->der, release, mapping);
}

static const struct http_route routes[] = {{HTTP_METHOD_GET, "/crl/:name", send_list, NULL},
                                           {HTTP_METHOD_GET, "/crl/:folder/:name", send_list, NULL},
                                           {HTTP_METHOD_GET, "/crl/:folder/:folder/:name", send_list, NULL}};

struct crl_service *crl_service_new(struct worker *worker, struct error *error) {
    struct crl_service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    service->worker = worker;
    service->service = (struct http_service){.prefix = "/crl/",
                                             .routes = routes,
                                             .route_count = sizeof routes / sizeof routes[0],
                                             .fail = answer,
                                             .context = service};
    look(service);
    return service;
}

void crl_service_free(struct crl_service *service) {
    if (service == NULL)
        return;
    forget(service);
    free(service);
}

const struct http_service *crl_service_http(struct crl_service *service) {
    return &service->service;
}
