/* The calls of the signer's client: what each puts into its frame and takes from the reply. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "originca/json.h"

static bool take_certificate(struct wire_reader *reader, struct signer_certificate *out) {
    struct bytes der = wire_get_bytes(reader), serial = wire_get_bytes(reader);
    out->not_before = (time_t)wire_get_u64(reader);
    out->not_after = (time_t)wire_get_u64(reader);
    out->intent_sequence = wire_get_u64(reader);
    out->issued_sequence = wire_get_u64(reader);
    struct bytes intent_hash = wire_get_bytes(reader), issued_hash = wire_get_bytes(reader);
    if (reader->failed || serial.length != SERIAL_BYTES || intent_hash.length != SHA256_BYTES ||
        issued_hash.length != SHA256_BYTES)
        return false;
    memcpy(out->hashes[0], intent_hash.data, SHA256_BYTES);
    memcpy(out->hashes[1], issued_hash.data, SHA256_BYTES);
    memcpy(out->serial, serial.data, SERIAL_BYTES);
    out->der = (struct bytes){arena_copy(reader->arena, der.data, der.length), der.length};
    return out->der.data != NULL;
}

static bool take_signed(struct client_call *call, struct wire_reader *reader) {
    return take_certificate(reader, call->out) && wire_is_complete(reader);
}

void signer_sign_certificate(struct signer_client *client, struct arena *arena,
                             const struct signer_certificate_request *request, struct signer_certificate *out,
                             signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_SIGN);
    if (scratch != NULL) {
        wire_put_string(&writer, request->attempt);
        wire_put_string(&writer, request->order);
        wire_put_string(&writer, request->account);
        wire_put_string(&writer, request->customer);
        wire_put_u32(&writer, (uint32_t)request->name_count);
        for (size_t i = 0; i < request->name_count; i++)
            wire_put_string(&writer, request->names[i]);
        wire_put_u32(&writer, (uint32_t)request->zone_count);
        for (size_t i = 0; i < request->zone_count; i++)
            wire_put_string(&writer, request->zones[i]);
        wire_put_bytes(&writer, request->spki.data, request->spki.length);
        wire_put_string(&writer, request->profile);
        wire_put_string(&writer, request->issuer);
        wire_put_u64(&writer, (uint64_t)request->not_before);
        wire_put_u32(&writer, request->validity_seconds);
        wire_put_u64(&writer, (uint64_t)request->claimed_at_ms);
        wire_put_u32(&writer, (uint32_t)request->evidence_count);
        for (size_t i = 0; i < request->evidence_count; i++) {
            wire_put_string(&writer, request->evidence[i].name);
            wire_put_u64(&writer, (uint64_t)request->evidence[i].checked_at);
            wire_put_string(&writer, request->evidence[i].method);
        }
        wire_put_bytes(&writer, request->evidence_sha256, SHA256_BYTES);
        wire_put_string(&writer, request->request_id);
    }
    client_send_call(client, scratch, &writer,
                     &(struct client_call){
                         .arena = arena, .take = take_signed, .out = out, .done = done, .context = context});
}

static bool take_revocation(struct client_call *call, struct wire_reader *reader) {
    struct signer_revocation *out = call->out;
    out->revoked_at = (time_t)wire_get_u64(reader);
    out->sequence = wire_get_u64(reader);
    out->was_revoked_before = wire_get_u8(reader) != 0;
    out->known_reason = wire_get_u32(reader);
    struct bytes hash = wire_get_bytes(reader);
    if (hash.length != SHA256_BYTES)
        return false;
    memcpy(out->hash, hash.data, SHA256_BYTES);
    return wire_is_complete(reader);
}

void signer_revoke(struct signer_client *client, struct signer_revocation *revocation, signer_done *done,
                   void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_REVOKE);
    if (scratch != NULL) {
        wire_put_bytes(&writer, revocation->serial, SERIAL_BYTES);
        wire_put_string(&writer, revocation->issuer);
        wire_put_u32(&writer, revocation->reason);
        wire_put_string(&writer, revocation->by);
        wire_put_u64(&writer, (uint64_t)revocation->not_after);
        wire_put_string(&writer, revocation->crl_url);
    }
    client_send_call(
        client, scratch, &writer,
        &(struct client_call){.take = take_revocation, .out = revocation, .done = done, .context = context});
}

static bool take_ocsp(struct client_call *call, struct wire_reader *reader) {
    struct signer_ocsp_response *out = call->out;
    struct bytes der = wire_get_bytes(reader);
    out->this_update = (time_t)wire_get_u64(reader);
    out->next_update = (time_t)wire_get_u64(reader);
    out->der = (struct bytes){arena_copy(reader->arena, der.data, der.length), der.length};
    return out->der.data != NULL && der.length > 0 && wire_is_complete(reader);
}

void signer_sign_ocsp(struct signer_client *client, struct arena *arena,
                      const struct signer_ocsp_request *request, struct signer_ocsp_response *out,
                      signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_SIGN_OCSP);
    if (scratch != NULL) {
        wire_put_string(&writer, request->issuer);
        wire_put_u64(&writer, (uint64_t)request->known_at);
        wire_put_bytes(&writer, request->nonce.data, request->nonce.length);
        wire_put_u32(&writer, (uint32_t)request->count);
        for (size_t i = 0; i < request->count; i++) {
            const struct signer_ocsp_status *status = &request->statuses[i];
            wire_put_bytes(&writer, status->serial, SERIAL_BYTES);
            wire_put_u8(&writer, status->form);
            wire_put_u8(&writer, status->is_revoked);
            wire_put_u64(&writer, (uint64_t)status->revoked_at);
            wire_put_u32(&writer, status->reason);
        }
    }
    client_send_call(client, scratch, &writer,
                     &(struct client_call){
                         .arena = arena, .take = take_ocsp, .out = out, .done = done, .context = context});
}

static bool take_attempt(struct client_call *call, struct wire_reader *reader) {
    struct signer_certificate ignored;
    uint8_t outcome = wire_get_u8(reader);
    if (outcome > SIGNER_ATTEMPT_VOID)
        return false;
    *(enum signer_attempt_outcome *)call->out = (enum signer_attempt_outcome)outcome;
    if (outcome == SIGNER_ATTEMPT_ISSUED &&
        !take_certificate(reader, call->out_more != NULL ? call->out_more : &ignored))
        return false;
    return wire_is_complete(reader);
}

void signer_attempt_status(struct signer_client *client, struct arena *arena, const char *attempt,
                           enum signer_attempt_outcome *outcome, struct signer_certificate *out,
                           signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_ATTEMPT);
    if (scratch != NULL)
        wire_put_string(&writer, attempt);
    client_send_call(client, scratch, &writer,
                     &(struct client_call){.arena = arena,
                                           .take = take_attempt,
                                           .out = outcome,
                                           .out_more = out,
                                           .done = done,
                                           .context = context});
}

static bool take_records(struct client_call *call, struct wire_reader *reader) {
    struct bytes text = wire_get_bytes(reader);
    json_t *records = json_parse(reader->arena, text.data, text.length, NULL);
    *(json_t **)call->out = records;
    return json_is_array(records) && wire_is_complete(reader);
}

void signer_read_ledger(struct signer_client *client, struct arena *arena, uint64_t from, uint32_t max,
                        json_t **records, signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_READ);
    if (scratch != NULL) {
        wire_put_u64(&writer, from);
        wire_put_u32(&writer, max);
    }
    client_send_call(
        client, scratch, &writer,
        &(struct client_call){
            .arena = arena, .take = take_records, .out = records, .done = done, .context = context});
}

static bool take_status(struct client_call *call, struct wire_reader *reader) {
    struct signer_status *out = call->out;
    snprintf(out->ledger_id, sizeof out->ledger_id, "%s", wire_get_string(reader));
    snprintf(out->host, sizeof out->host, "%s", wire_get_string(reader));
    out->last_sequence = wire_get_u64(reader);
    out->signatures = wire_get_u64(reader);
    out->intents = wire_get_u64(reader);
    out->voids = wire_get_u64(reader);
    out->revocations = wire_get_u64(reader);
    out->intents_without_outcome = wire_get_u64(reader);
    out->revoked_serials = wire_get_u64(reader);
    out->zones = wire_get_u64(reader);
    out->knows_zones = wire_get_u8(reader) != 0;
    out->is_ledger_read = wire_get_u8(reader) != 0;
    out->is_token_usable = wire_get_u8(reader) != 0;
    out->is_signing_allowed = wire_get_u8(reader) != 0;
    out->are_issuers_in_force = wire_get_u8(reader) != 0;
    snprintf(out->reason, sizeof out->reason, "%s", wire_get_string(reader));
    return wire_is_complete(reader);
}

void signer_get_status(struct signer_client *client, struct signer_status *out, signer_done *done,
                       void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_STATUS);
    client_send_call(
        client, scratch, &writer,
        &(struct client_call){.take = take_status, .out = out, .done = done, .context = context});
}

void signer_hash_issuer(struct signer_issuers_hash *hash, const char *name, const uint8_t spki[SHA256_BYTES],
                        const uint8_t subject[SHA256_BYTES]) {
    uint8_t parts[4][SHA256_BYTES];
    memcpy(parts[0], hash->bytes, SHA256_BYTES);
    sha256(name, strlen(name), parts[1]);
    memcpy(parts[2], spki, SHA256_BYTES);
    memcpy(parts[3], subject, SHA256_BYTES);
    sha256(parts, sizeof parts, hash->bytes);
}

static bool take_position(struct client_call *call, struct wire_reader *reader) {
    struct signer_position_found *found = call->out;
    *found = (struct signer_position_found){.are_issuers_recorded = wire_get_u8(reader) != 0};
    struct bytes hash = wire_get_bytes(reader);
    if (hash.length != 0 && hash.length != SHA256_BYTES)
        return false;
    if (hash.length != 0)
        hex_encode(hash.data, hash.length, found->applied_hash);
    return wire_is_complete(reader);
}

void signer_check_position(struct signer_client *client, const struct signer_position *position,
                           struct signer_position_found *out, signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_CHECK_POSITION);
    if (scratch != NULL) {
        wire_put_string(&writer, position->ledger_id);
        wire_put_u64(&writer, position->applied);
        wire_put_string(&writer, position->applied_hash);
        wire_put_u64(&writer, position->highest);
        wire_put_string(&writer, position->highest_hash);
        wire_put_bytes(&writer, position->issuers.bytes, SHA256_BYTES);
    }
    client_send_call(
        client, scratch, &writer,
        &(struct client_call){.take = take_position, .out = out, .done = done, .context = context});
}

void signer_retry_token(struct signer_client *client, const char *by, signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_RETRY_TOKEN);
    if (scratch != NULL)
        wire_put_string(&writer, by);
    client_send_call(client, scratch, &writer, &(struct client_call){.done = done, .context = context});
}

void signer_set_signing(struct signer_client *client, bool is_allowed, const char *by, signer_done *done,
                        void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_SET_SIGNING);
    if (scratch != NULL) {
        wire_put_u8(&writer, is_allowed);
        wire_put_string(&writer, by);
    }
    client_send_call(client, scratch, &writer, &(struct client_call){.done = done, .context = context});
}

void signer_confirm_loss(struct signer_client *client, uint64_t redis_sequence, const char *by,
                         signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_CONFIRM_LOSS);
    if (scratch != NULL) {
        wire_put_u64(&writer, redis_sequence);
        wire_put_string(&writer, by);
    }
    client_send_call(client, scratch, &writer, &(struct client_call){.done = done, .context = context});
}

static bool take_changes(struct client_call *call, struct wire_reader *reader) {
    struct signer_change *changes = call->out;
    if (wire_get_count(reader, 8 + 8 + 4) != call->count)
        return false;
    for (size_t i = 0; i < call->count; i++) {
        changes[i].sequence = wire_get_u64(reader);
        changes[i].at_ms = (int64_t)wire_get_u64(reader);
        struct bytes hash = wire_get_bytes(reader);
        if (hash.length != SHA256_BYTES)
            return false;
        memcpy(changes[i].hash, hash.data, SHA256_BYTES);
    }
    return wire_is_complete(reader);
}

void signer_change_rights(struct signer_client *client, struct signer_change *changes, size_t count,
                          signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_CHANGE_RIGHTS);
    if (scratch != NULL) {
        wire_put_u32(&writer, (uint32_t)count);
        for (size_t i = 0; i < count; i++) {
            wire_put_string(&writer, changes[i].kind);
            wire_put_string(&writer, changes[i].subject);
            wire_put_string(&writer, changes[i].name);
            wire_put_string(&writer, changes[i].customer);
            wire_put_string(&writer, changes[i].detail);
            wire_put_string(&writer, changes[i].by);
            wire_put_u64(&writer, (uint64_t)changes[i].at_ms);
        }
    }
    client_send_call(
        client, scratch, &writer,
        &(struct client_call){
            .take = take_changes, .out = changes, .count = count, .done = done, .context = context});
}

static bool take_zones(struct client_call *call, struct wire_reader *reader) {
    struct signer_zone_list *list = call->out;
    list->next_cursor = wire_get_u64(reader);
    list->count = wire_get_count(reader, 3 * 4);
    list->items = arena_alloc(reader->arena, (list->count + 1) * sizeof *list->items);
    for (size_t i = 0; list->items != NULL && i < list->count; i++) {
        list->items[i].id = wire_get_string(reader);
        list->items[i].name = wire_get_string(reader);
        list->items[i].customer = wire_get_string(reader);
    }
    return list->items != NULL && wire_is_complete(reader);
}

void signer_list_zones(struct signer_client *client, struct arena *arena, uint64_t cursor, uint32_t max,
                       struct signer_zone_list *out, signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_LIST_ZONES);
    if (scratch != NULL) {
        wire_put_u64(&writer, cursor);
        wire_put_u32(&writer, max);
    }
    client_send_call(client, scratch, &writer,
                     &(struct client_call){
                         .arena = arena, .take = take_zones, .out = out, .done = done, .context = context});
}

static bool take_left(struct client_call *call, struct wire_reader *reader) {
    int64_t *out = call->out;
    if (wire_get_count(reader, 8) != call->count)
        return false;
    for (size_t i = 0; i < call->count; i++)
        out[i] = (int64_t)wire_get_u64(reader);
    return wire_is_complete(reader);
}

void signer_find_left(struct signer_client *client, const char *const *ids, size_t count, int64_t *out,
                      signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_FIND_LEFT);
    if (scratch != NULL) {
        wire_put_u32(&writer, (uint32_t)count);
        for (size_t i = 0; i < count; i++)
            wire_put_string(&writer, ids[i]);
    }
    client_send_call(client, scratch, &writer,
                     &(struct client_call){
                         .take = take_left, .out = out, .count = count, .done = done, .context = context});
}

static bool take_revoked(struct client_call *call, struct wire_reader *reader) {
    struct bytes found = wire_get_bytes(reader);
    if (!wire_is_complete(reader) || found.length != call->count)
        return false;
    for (size_t i = 0; i < call->count; i++)
        ((bool *)call->out)[i] = found.data[i] != 0;
    return true;
}

void signer_find_revoked(struct signer_client *client, const uint8_t *serials, size_t count, bool *out,
                         signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_FIND_REVOKED);
    if (scratch != NULL)
        wire_put_bytes(&writer, serials, count * SERIAL_BYTES);
    client_send_call(client, scratch, &writer,
                     &(struct client_call){
                         .take = take_revoked, .out = out, .count = count, .done = done, .context = context});
}
