#include "day_room.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/log.h"
#include "originca/text.h"
#include "state_file.h"

#define DAY_MS 86400000
#define DAY_ROOM_PART DAY_MS
#define FILE_NAME "worker-revocations"
#define SAVE_EVERY_MS 5000

static void fill(struct day_room *room, uint32_t a_day, int64_t passed_ms) {
    uint64_t passed = passed_ms < 0 ? 0 : passed_ms > DAY_MS ? DAY_MS : (uint64_t)passed_ms;
    room->full = (uint64_t)a_day * DAY_ROOM_PART;
    room->parts += passed * a_day;
    if (room->parts > room->full)
        room->parts = room->full;
}

static void tell_left(const struct day_room *room) {
    metric_set(room->left_gauge, (int64_t)(room->parts / DAY_ROOM_PART));
}

/* "revocations left, wall clock in ms". */
static bool read_file(struct day_room *room, uint32_t a_day) {
    struct error error;
    size_t length = 0;
    char text[64] = "";
    uint8_t *bytes = state_file_read(room->directory, FILE_NAME, &length, &error);
    uint64_t left = 0;
    int64_t at_ms = 0;
    bool is_there = bytes != NULL && length < sizeof text;
    if (is_there)
        memcpy(text, bytes, length);
    free(bytes);
    if (!is_there || sscanf(text, "%" SCNu64 " %" SCNd64, &left, &at_ms) != 2)
        return false;
    room->parts = (left < a_day ? left : a_day) * DAY_ROOM_PART;
    fill(room, a_day, clock_wall_ms() - at_ms);
    return true;
}

void day_room_begin(struct day_room *room, const char *directory, uint32_t a_day, struct metrics *metrics) {
    *room =
        (struct day_room){.directory = directory,
                          .filled_ms = clock_monotonic_ms(),
                          .saved_ms = clock_monotonic_ms(),
                          .left_gauge = metrics_gauge(metrics, "originca_signer_worker_revocations_left",
                                                      "Revocations that workers may have recorded at once "
                                                      "of a day's worth")};
    fill(room, a_day, 0);
    if (directory == NULL || !read_file(room, a_day))
        room->parts = room->full;
    tell_left(room);
}

static void fill_now(struct day_room *room, uint32_t a_day) {
    int64_t now = clock_monotonic_ms();
    fill(room, a_day, now - room->filled_ms);
    room->filled_ms = now;
    tell_left(room);
}

bool day_room_take(struct day_room *room, uint32_t a_day) {
    fill_now(room, a_day);
    bool has_room = room->parts >= DAY_ROOM_PART;
    if (has_room) {
        room->parts -= DAY_ROOM_PART;
        room->has_changed = true;
    }
    return has_room;
}

static void save(struct day_room *room) {
    int64_t now = clock_monotonic_ms();
    struct error error;
    char text[64];
    int length = snprintf(text, sizeof text, "%" PRIu64 " %" PRId64 "\n", room->parts / DAY_ROOM_PART,
                          clock_wall_ms() - (now - room->filled_ms));
    room->saved_ms = now;
    room->has_changed = !state_file_write(room->directory, FILE_NAME, text, (size_t)length, &error);
    if (room->has_changed)
        log_event(LOG_LEVEL_ERROR, "a signer that starts again forgets what workers revoked today", "reason",
                  error.message, NULL);
}

void day_room_tick(struct day_room *room, uint32_t a_day) {
    fill_now(room, a_day);
    if (room->directory != NULL && room->has_changed && room->filled_ms - room->saved_ms >= SAVE_EVERY_MS)
        save(room);
}

void day_room_end(struct day_room *room) {
    if (room->directory != NULL && room->has_changed)
        save(room);
}
