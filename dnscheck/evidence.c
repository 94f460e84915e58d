/* The evidence: every query of a check as a person would note it down, bounded. */
#include "internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void name_server(const struct dns_server *server, const char *transport, char out[400]) {
    char address[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (server->address.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &server->address.v4.sin_addr, address, sizeof address);
        port = ntohs(server->address.v4.sin_port);
    } else if (server->address.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &server->address.v6.sin6_addr, address, sizeof address);
        port = ntohs(server->address.v6.sin6_port);
    }
    snprintf(out, 400, "%s/%s:%u %s", server->name, address, port, transport);
}

static json_t *list_records(const struct dns_message *message) {
    json_t *list = json_array();
    for (size_t i = 0; i < message->count && json_array_size(list) < 12; i++) {
        const struct dns_record *record = &message->records[i];
        /* For referrals the authority section is the answer. */
        if (record->section == DNS_ANSWER || (record->section == DNS_AUTHORITY && record->type == DNS_NS))
            json_array_append_new(list, json_string(record->text_form));
    }
    return list;
}

/* As it was seen: JSON is made of it when the check is done. What it points to lives as long as the job. */
struct noted_query {
    struct noted_query *next;
    const char *server, *name, *failure; /* failure: or NULL */
    const struct dns_message *message;   /* or NULL */
    int64_t milliseconds;
    uint16_t type;
};

void evidence_add(struct dnscheck_job *job, const struct dns_server *server, const char *transport,
                  const char *name, uint16_t type, const struct dns_message *message, const char *failure,
                  int64_t milliseconds) {
    char server_text[400];
    if (job->evidence_count > EVIDENCE_QUERIES_MAX || job->evidence_count++ == EVIDENCE_QUERIES_MAX)
        return;
    struct noted_query *noted = arena_alloc(job->scratch, sizeof *noted);
    if (noted == NULL)
        return;
    name_server(server, transport, server_text);
    *noted = (struct noted_query){.server = arena_strdup(job->scratch, server_text),
                                  .name = arena_strdup(job->scratch, name),
                                  .failure = failure,
                                  .message = message,
                                  .milliseconds = milliseconds,
                                  .type = type};
    if (noted->server == NULL || noted->name == NULL)
        return;
    *job->evidence_end = noted;
    job->evidence_end = &noted->next;
}

static json_t *describe_query(const struct noted_query *noted) {
    char rcode[16];
    json_t *entry =
        json_pack("{s:s, s:o, s:I}", "server", noted->server, "question",
                  json_sprintf("%s %s", *noted->name == '\0' ? "." : noted->name, dns_type_name(noted->type)),
                  "ms", (json_int_t)noted->milliseconds);
    if (noted->message != NULL) {
        json_object_set_new(entry, "rcode", json_string(dns_rcode_name(noted->message->rcode, rcode)));
        json_object_set_new(entry, "authoritative", json_boolean(noted->message->is_authoritative));
        json_object_set_new(entry, "answer", list_records(noted->message));
    }
    if (noted->failure != NULL)
        json_object_set_new(entry, "failure", json_string(noted->failure));
    return entry;
}

static json_t *list_queries(const struct dnscheck_job *job) {
    json_t *list = json_array();
    for (const struct noted_query *noted = job->evidence; noted != NULL; noted = noted->next)
        json_array_append_new(list, describe_query(noted));
    if (job->evidence_count > EVIDENCE_QUERIES_MAX)
        json_array_append_new(list, json_pack("{s:s}", "note", "further queries are not listed"));
    return list;
}

static json_t *list_findings(const struct dnscheck_finding *findings, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", findings[i].name,
                                              "verdict", dnscheck_verdict_name(findings[i].verdict), "reason",
                                              findings[i].reason, "text", findings[i].text, "secure",
                                              findings[i].is_secure));
    return list;
}

json_t *evidence_document(const struct dnscheck_job *job, const struct dnscheck_result *result) {
    char when[TIME_TEXT_MAX];
    time_format(result->checked_at, when);
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:o}", "checked_at", when, "verdict",
                     dnscheck_verdict_name(result->verdict), "zones",
                     list_findings(result->zones, result->zone_count), "names",
                     list_findings(result->names, result->name_count), "sent", (json_int_t)result->queries,
                     "duration_ms", (json_int_t)result->duration_ms, "queries", list_queries(job));
}
