/* The room that the ledger's disk has left. Certificates stop at a reserve, so that what takes rights away
 * still finds place; near its end nothing is written, because a write that fails half-way ends the signer,
 * and one that has just started would only fail again. */
#include <sys/statvfs.h>

#include "engine_state.h"

#define LOOK_MS 500
#define LEAST_BYTES (1u << 20)

static uint64_t look_for_room(struct engine *engine) {
    struct statvfs disk;
    int64_t now = clock_monotonic_ms();
    if (engine->room_looked_ms != 0 && now - engine->room_looked_ms < LOOK_MS)
        return engine->room_bytes;
    engine->room_looked_ms = now;
    engine->room_bytes = statvfs(engine->config->ledger_directory, &disk) == 0
                             ? (uint64_t)disk.f_bavail * disk.f_frsize
                             : UINT64_MAX; /* the write itself will tell */
    return engine->room_bytes;
}

bool engine_has_room_to_sign(struct engine *engine, struct error *error) {
    uint32_t reserve = engine->config->ledger_reserve_bytes;
    uint64_t room = reserve == 0 ? UINT64_MAX : look_for_room(engine);
    return room >= reserve ||
           error_set(error, ERROR_UNAVAILABLE,
                     "the disk of the ledger %s is nearly full: %llu bytes are left, and signing stops below "
                     "%u (ledger_reserve_bytes); make room",
                     engine->config->ledger_directory, (unsigned long long)room, reserve);
}

bool engine_has_room(struct engine *engine, struct error *error) {
    uint32_t reserve = engine->config->ledger_reserve_bytes;
    uint64_t least = reserve < LEAST_BYTES ? reserve : LEAST_BYTES;
    uint64_t room = reserve == 0 ? UINT64_MAX : look_for_room(engine);
    return room >= least || error_set(error, ERROR_UNAVAILABLE,
                                      "the disk of the ledger %s is full: %llu bytes are left; make room",
                                      engine->config->ledger_directory, (unsigned long long)room);
}
