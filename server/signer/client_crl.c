/* Having a revocation list signed: what it is, its entries in pieces each of which is answered before the
 * next goes, so that they never fill the socket, and its signature. What comes back is put around the very
 * entries that went. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "crl_build.h"

#define ENTRIES_IN_FRAME 10000

struct crl_call {
    struct signer_client *client;
    struct signer_crl_request request;
    struct signer_crl *out;
    size_t sent, answered;
    bool is_only_given; /* it is not signed yet */
    signer_done *done;
    void *context;
};

static void step(void *context, const struct error *error);

static void finish(void *context, const struct error *error) {
    struct crl_call *call = context;
    signer_done *done = call->done;
    void *of_caller = call->context;
    free(call);
    done(of_caller, error);
}

static bool take_unknown(struct client_call *client_call, struct wire_reader *reader) {
    struct crl_call *call = client_call->out;
    struct bytes unknown = wire_get_bytes(reader);
    size_t count = call->sent - call->answered;
    if (!wire_is_complete(reader) || unknown.length < (count + 7) / 8)
        return false;
    for (size_t i = 0; call->request.unknown != NULL && i < count; i++)
        call->request.unknown[call->answered + i] = unknown.data[i / 8] >> i % 8 & 1;
    call->answered = call->sent;
    return true;
}

static void send_entries(struct crl_call *call) {
    const struct signer_crl_request *request = &call->request;
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(call->client, &writer, MESSAGE_CRL_ENTRIES);
    size_t count = request->count - call->sent;
    if (count > ENTRIES_IN_FRAME)
        count = ENTRIES_IN_FRAME;
    if (scratch != NULL)
        wire_put_u32(&writer, (uint32_t)count);
    for (size_t i = 0; scratch != NULL && i < count; i++) {
        const struct crl_entry *entry = &request->entries[call->sent + i];
        uint8_t bytes[CRL_ENTRY_WIRE_BYTES];
        memcpy(bytes, entry->serial, SERIAL_BYTES);
        for (size_t k = 0; k < 4; k++)
            bytes[SERIAL_BYTES + k] = (uint8_t)(entry->revoked_at >> (24 - 8 * k));
        bytes[SERIAL_BYTES + 4] = entry->reason;
        text_append_bytes(&writer.text, bytes, sizeof bytes);
    }
    call->sent += count;
    client_send_call(call->client, scratch, &writer,
                     &(struct client_call){.take = take_unknown, .out = call, .done = step, .context = call});
}

static bool take_list(struct client_call *client_call, struct wire_reader *reader) {
    struct crl_call *call = client_call->out;
    struct signer_crl *out = call->out;
    struct crl_frame frame;
    struct bytes tbs;
    frame.head = wire_get_bytes(reader);
    frame.tail = wire_get_bytes(reader);
    struct bytes identifier = wire_get_bytes(reader), signature = wire_get_bytes(reader),
                 digest = wire_get_bytes(reader);
    out->sequence = wire_get_u64(reader);
    struct bytes hash = wire_get_bytes(reader);
    if (!wire_is_complete(reader) || digest.length != SHA256_BYTES || hash.length != SHA256_BYTES)
        return false;
    memcpy(out->hash, hash.data, SHA256_BYTES);
    out->der = crl_assemble(&frame, call->request.entries, call->request.count, identifier, signature,
                            &out->length, &tbs);
    if (out->der == NULL)
        return false;
    sha256(tbs.data, tbs.length, out->tbs_sha256);
    if (memcmp(out->tbs_sha256, digest.data, SHA256_BYTES) == 0)
        return true;
    free(out->der); /* the signer signed other bytes */
    out->der = NULL;
    return false;
}

static void send_wish_to_sign(struct crl_call *call) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(call->client, &writer, MESSAGE_CRL_SIGN);
    if (scratch != NULL) {
        wire_put_u64(&writer, call->request.unproven);
        wire_put_u8(&writer, call->request.is_bounded);
    }
    client_send_call(call->client, scratch, &writer,
                     &(struct client_call){.take = take_list, .out = call, .done = finish, .context = call});
}

static void step(void *context, const struct error *error) {
    struct crl_call *call = context;
    if (error != NULL)
        finish(call, error);
    else if (call->sent < call->request.count)
        send_entries(call);
    else if (call->is_only_given)
        finish(call, NULL);
    else
        send_wish_to_sign(call);
}

/* NULL: `done` was told. */
static struct crl_call *new_call(struct signer_client *client, const struct signer_crl_request *request,
                                 struct signer_crl *out, signer_done *done, void *context) {
    const struct error no_memory = {.code = ERROR_INTERNAL, .message = "out of memory"};
    struct crl_call *call = calloc(1, sizeof *call);
    if (out != NULL)
        *out = (struct signer_crl){.length = 0};
    if (call == NULL)
        done(context, &no_memory);
    else
        *call = (struct crl_call){
            .client = client, .request = *request, .out = out, .done = done, .context = context};
    return call;
}

static void begin_list(struct crl_call *call) {
    const struct signer_crl_request *request = &call->request;
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(call->client, &writer, MESSAGE_CRL_BEGIN);
    if (scratch != NULL) {
        wire_put_string(&writer, request->issuer);
        wire_put_string(&writer, request->url);
        wire_put_u64(&writer, request->number);
        wire_put_u64(&writer, (uint64_t)request->this_update);
        wire_put_u64(&writer, (uint64_t)request->next_update);
        wire_put_u64(&writer, request->count);
        wire_put_u64(&writer, crl_entries_length(request->entries, request->count));
    }
    client_send_call(call->client, scratch, &writer, &(struct client_call){.done = step, .context = call});
}

void signer_sign_crl(struct signer_client *client, const struct signer_crl_request *request,
                     struct signer_crl *out, signer_done *done, void *context) {
    struct crl_call *call = new_call(client, request, out, done, context);
    if (call != NULL)
        begin_list(call);
}

void signer_give_crl(struct signer_client *client, const struct signer_crl_request *request,
                     signer_done *done, void *context) {
    struct crl_call *call = new_call(client, request, NULL, done, context);
    if (call == NULL)
        return;
    call->is_only_given = true;
    begin_list(call);
}

void signer_sign_given_crl(struct signer_client *client, const struct signer_crl_request *request,
                           struct signer_crl *out, signer_done *done, void *context) {
    struct crl_call *call = new_call(client, request, out, done, context);
    if (call != NULL)
        send_wish_to_sign(call);
}

/* --- what the ledger says of lists --- */

static bool take_revoked(struct client_call *call, struct wire_reader *reader) {
    struct signer_revoked_list *list = call->out;
    list->next_cursor = wire_get_u64(reader);
    list->count = wire_get_count(reader, SERIAL_BYTES + 8 + 8 + 1);
    list->items = arena_alloc(reader->arena, (list->count + 1) * sizeof *list->items);
    for (size_t i = 0; list->items != NULL && i < list->count; i++) {
        for (size_t at = 0; at < SERIAL_BYTES; at++)
            list->items[i].serial[at] = wire_get_u8(reader);
        list->items[i].revoked_at = (time_t)wire_get_u64(reader);
        list->items[i].not_after = (time_t)wire_get_u64(reader);
        list->items[i].reason = wire_get_u8(reader);
    }
    return list->items != NULL && wire_is_complete(reader);
}

void signer_list_revoked(struct signer_client *client, struct arena *arena, const char *issuer,
                         const char *url, uint64_t cursor, struct signer_revoked_list *out, signer_done *done,
                         void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_LIST_REVOKED);
    if (scratch != NULL) {
        wire_put_string(&writer, issuer);
        wire_put_string(&writer, url);
        wire_put_u64(&writer, cursor);
    }
    client_send_call(client, scratch, &writer,
                     &(struct client_call){
                         .arena = arena, .take = take_revoked, .out = out, .done = done, .context = context});
}

static bool take_numbers(struct client_call *call, struct wire_reader *reader) {
    struct signer_crl_list *list = call->out;
    list->next_cursor = wire_get_u32(reader);
    list->count = wire_get_count(reader, 4 + 4 + 8 + 8 + 1);
    list->items = arena_alloc(reader->arena, (list->count + 1) * sizeof *list->items);
    for (size_t i = 0; list->items != NULL && i < list->count; i++) {
        list->items[i].issuer = wire_get_string(reader);
        list->items[i].url = wire_get_string(reader);
        list->items[i].last_number = wire_get_u64(reader);
        list->items[i].unlisted_at = (time_t)wire_get_u64(reader);
        list->items[i].is_bounded = wire_get_u8(reader) != 0;
    }
    return list->items != NULL && wire_is_complete(reader);
}

void signer_list_crls(struct signer_client *client, struct arena *arena, uint32_t cursor, uint32_t max,
                      struct signer_crl_list *out, signer_done *done, void *context) {
    struct wire_writer writer;
    struct arena *scratch = client_begin_call(client, &writer, MESSAGE_LIST_CRLS);
    if (scratch != NULL) {
        wire_put_u32(&writer, cursor);
        wire_put_u32(&writer, max);
    }
    client_send_call(client, scratch, &writer,
                     &(struct client_call){
                         .arena = arena, .take = take_numbers, .out = out, .done = done, .context = context});
}
