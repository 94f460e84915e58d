/* Conditional requests (RFC 9110 13): what a client has already is not sent again. */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Weak comparison (RFC 9110 8.8.3.2): a "W/" in front does not count. */
static bool names_tag(const char *list, const char *etag) {
    size_t length = strlen(etag);
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, " \t,");
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        if (strncmp(at, etag, length) == 0 && strchr(" \t,", at[length]) != NULL)
            return true;
        if (*at == '"') {
            const char *end = strchr(at + 1, '"');
            at = end == NULL ? at + strlen(at) : end + 1;
        } else {
            at += strcspn(at, ",");
        }
    }
    return false;
}

/* IMF-fixdate; the obsolete forms are for recipients that must talk to the nineties. */
static bool parse_date(const char *text, time_t *when) {
    struct tm parts = {0};
    const char *end = strptime(text, HTTP_DATE_FORMAT, &parts);
    if (end == NULL || *end != '\0')
        return false;
    *when = timegm(&parts);
    return *when != (time_t)-1;
}

bool http_is_not_modified(struct http_request *request, const char *etag, time_t last_modified) {
    const char *tags = http_header(request, "If-None-Match"),
               *date = http_header(request, "If-Modified-Since");
    time_t known;
    http_reply_header(request, "ETag", etag);
    http_reply_date(request, "Last-Modified", last_modified);
    if (request->method != HTTP_METHOD_GET && request->method != HTTP_METHOD_HEAD)
        return false;
    if (tags != NULL)
        return strcmp(tags, "*") == 0 || names_tag(tags, etag);
    return date != NULL && parse_date(date, &known) && last_modified <= known;
}
