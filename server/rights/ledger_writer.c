#include "originca/ledger_writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "originca/text.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

static struct store_ledger_writer mine; /* before any fork */

static size_t read_boot_id(char *out, size_t size) {
    int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, out, size);
    if (fd >= 0)
        close(fd);
    return length < 0 ? 0 : (size_t)length;
}

/* "" where that cannot be said; such a server waits for the lease. */
static void find_place(const char *directory, char *out, size_t size) {
    char text[256];
    uint8_t digest[SHA256_BYTES];
    struct stat status;
    size_t length = read_boot_id(text, 64);
    *out = '\0';
    if (length == 0 || stat(directory, &status) != 0)
        return;
    length += (size_t)snprintf(text + length, sizeof text - length, " %llu %llu",
                               (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
    sha256(text, length, digest);
    hex_encode(digest, (size - 1) / 2, out);
}

void ledger_writer_begin(const struct config *config) {
    uint8_t random[(sizeof mine.run - 1) / 2];
    char machine[48] = "?", moment[32];
    random_bytes(random, sizeof random);
    hex_encode(random, sizeof random, mine.run);
    find_place(config->ledger_directory, mine.place, sizeof mine.place);
    gethostname(machine, sizeof machine - 1);
    machine[sizeof machine - 1] = '\0';
    time_format(clock_wall_ms() / 1000, moment);
    snprintf(mine.about, sizeof mine.about, "on %.40s, process %ld since %s", machine, (long)getpid(),
             moment);
}

const struct store_ledger_writer *ledger_writer_mine(void) {
    return &mine;
}

bool ledger_writer_is_mine(const struct store_ledger_state *state) {
    const struct store_ledger_writer *writer = &state->writer;
    return strcmp(writer->run, mine.run) == 0 ||
           (*mine.place != '\0' && strcmp(writer->place, mine.place) == 0);
}

bool ledger_writer_is_another(const struct worker *worker, const struct store_ledger_state *state,
                              char *reason, size_t size) {
    const struct store_ledger_writer *writer = &state->writer;
    if (*writer->run == '\0' || ledger_writer_is_mine(state) || writer->seen_seconds_ago < 0 ||
        writer->seen_seconds_ago > LEDGER_LEASE_SECONDS)
        return false;
    snprintf(reason, size,
             "another server writes under host_name %.40s (%s): stop one, or give this one a host_name and a "
             "new ledger (doc/operations.md)",
             worker->config->host_name, writer->about);
    return true;
}
