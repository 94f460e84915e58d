/* The messages of the link, JSON in frames, and the frames themselves.
 *
 *   {"id", "ask": "check", "view": "own"|"all", "deadline_ms", "account_uri"?, "method"?,
 *    "zones": [{"name", "name_servers", "rivals", "zones_above"}], "names": [{"name", "zone", "txt"?}]}
 *     -> {"id", "zones": [finding], "names": [finding], "checked_at", "queries", "duration_ms", "evidence"}
 *        a finding: {"verdict", "reason", "text", "secure", "heard_parent", "delegated_to"}
 *   {"id", "ask": "readiness"} -> {"id", "redis": {"ok", "reason"}, "ledger": …, "signer": …, "dns": …}
 *   {"id", "ask": "publish"}   -> {"id"}
 *   anything                   -> {"id", "error": "busy"|"invalid"|"internal", "text"}
 *
 * The id is the asker's. */
#pragma once

#include <event2/buffer.h>

#include "originca/json.h"
#include "originca/worker_link.h"

/* --- frames --- */

enum link_frame { LINK_FRAME_NONE, LINK_FRAME_WHOLE, LINK_FRAME_BROKEN };
/* The next whole frame's payload, malloc'd and taken out of the buffer. BROKEN: an impossible length, or out
 * of memory; the connection must end. */
enum link_frame link_frame_take(struct evbuffer *in, uint32_t max, struct bytes *out);
/* Appends the frame; false: longer than `max`, or out of memory (with `json` NULL too). Takes the reference.
 */
bool link_frame_put(struct evbuffer *out, json_t *json, uint32_t max) MUST_CHECK;
/* Parses a payload of few enough values; NULL: it is no message. The id is 0 where it has none. */
const json_t *link_parse(struct arena *arena, struct bytes payload, uint64_t *id, struct error *error);

/* --- a check --- */

json_t *link_write_check(uint64_t id, const struct dnscheck_request *request, enum link_view view);
bool link_read_check(struct arena *arena, const json_t *root, struct dnscheck_request *out,
                     enum link_view *view, struct error *error) MUST_CHECK;
/* `with_queries` false: for evidence that would not fit; it says so. */
json_t *link_write_result(uint64_t id, const struct dnscheck_result *result, bool with_queries);
/* As many findings as there are names in the request, in its order: what they are about is not the worker's
 * to say. Times outside `started`..now are put inside. Everything lives in the arena. */
bool link_read_result(struct arena *arena, const json_t *root, const struct dnscheck_request *request,
                      time_t started, struct dnscheck_result *out, struct error *error) MUST_CHECK;

json_t *link_write_question(uint64_t id, const char *ask); /* "readiness", "publish" */
json_t *link_write_error(uint64_t id, const struct error *error);
/* ERROR_NONE where the reply is none of these. */
enum error_code link_read_error(const json_t *root);

/* --- readiness --- */

json_t *link_write_readiness(uint64_t id, const struct link_readiness *readiness);
bool link_read_readiness(const json_t *root, struct link_readiness *out) MUST_CHECK;
