/* Reading serials and sending them, a thousand a call. */
#include "serial_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "customer.h"

#define SERIALS_PER_CALL 1000
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

const char *serial_decimal(struct arena *arena, const char *text, struct error *error) {
    uint8_t serial[SERIAL_BYTES];
    if (!serial_read(text, serial, error))
        return NULL;
    char *decimal = arena_alloc(arena, SERIAL_DECIMAL_MAX);
    if (decimal == NULL)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else
        serial_to_decimal(serial, decimal);
    return decimal;
}

bool serial_list_add(struct serial_list *list, const char *text, struct error *error) {
    uint8_t serial[SERIAL_BYTES];
    if (!serial_read(text, serial, error))
        return false;
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 1024 : 2 * list->room;
        void *more = realloc(list->serials, room * sizeof *list->serials);
        if (more == NULL)
            return error_set(error, ERROR_INTERNAL, "out of memory");
        list->serials = more;
        list->room = room;
    }
    memcpy(list->serials[list->count++], serial, sizeof serial);
    return true;
}

static bool add_line(struct serial_list *list, char *line, struct error *error) {
    char *word;
    line[strcspn(line, "#")] = '\0';
    while ((word = strsep(&line, " \t\r\n\f\v,;")) != NULL)
        if (*word != '\0' && !serial_list_add(list, word, error))
            return false;
    return true;
}

static bool add_lines(struct serial_list *list, FILE *file, const char *path, struct error *error) {
    char *line = NULL;
    size_t room = 0, number = 0;
    ssize_t length;
    bool is_good = true;
    while (is_good && (length = getline(&line, &room, file)) >= 0) {
        size_t mark = strlen(BYTE_ORDER_MARK);
        bool has_mark = ++number == 1 && strncmp(line, BYTE_ORDER_MARK, mark) == 0;
        is_good = strlen(line) == (size_t)length ? add_line(list, line + (has_mark ? mark : 0), error)
                                                 : error_set(error, ERROR_INVALID, "this is no text");
    }
    if (!is_good) {
        error_prefix(error, "nothing was changed: %.200s, line %zu", path, number);
    } else if (ferror(file)) {
        is_good = error_set(error, ERROR_INVALID, "cannot read %s: %m", path);
    }
    free(line);
    return is_good;
}

bool serial_list_read(struct serial_list *list, const char *path, struct error *error) {
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    if (file == NULL)
        return error_set(error, ERROR_INVALID, "cannot read %s: %m", path);
    bool is_read = add_lines(list, file, path, error);
    if (!is_stdin)
        fclose(file);
    return is_read && (list->count > 0 || error_set(error, ERROR_INVALID, "there is no serial in %s", path));
}

/* Every call in an arena of its own: there may be very many. */
static bool send_part(const struct serial_list *list, size_t from, struct cli *cli, char *id,
                      size_t id_size) {
    struct client client = {.socket = cli->client.socket, .arena = arena_new(8u * 1024 * 1024)};
    json_t *serials = json_array();
    if (client.arena == NULL || serials == NULL) {
        arena_free(client.arena);
        json_decref(serials);
        return error_set(&cli->error, ERROR_INTERNAL, "out of memory");
    }
    for (size_t i = from; i < list->count && i < from + SERIALS_PER_CALL; i++) {
        char text[SERIAL_DECIMAL_MAX];
        serial_to_decimal(list->serials[i], text);
        json_array_append_new(serials, json_string(text));
    }
    json_t *body = arena_own_json(client.arena, json_pack("{s:o}", "serials", serials));
    if (*id != '\0')
        json_object_set_new(body, "serial_list", json_string(id));
    const json_t *reply = client_call(&client, "POST", "/admin/v1/serial-lists", body, &cli->error);
    if (reply != NULL) {
        snprintf(id, id_size, "%s", json_text(reply, "serial_list"));
        cli->serial_count = (size_t)json_integer_value(json_object_get(reply, "count"));
    }
    arena_free(client.arena);
    return reply != NULL;
}

bool serial_list_send(const struct serial_list *list, struct cli *cli, char *id, size_t id_size) {
    bool is_sent = true;
    *id = '\0';
    for (size_t from = 0; is_sent && from < list->count; from += SERIALS_PER_CALL) {
        progress_show("serials sent", from, list->count);
        is_sent = send_part(list, from, cli, id, id_size);
    }
    progress_end();
    return is_sent;
}

void serial_list_free(struct serial_list *list) {
    free(list->serials);
}
