/* The file that tells how the last reload ended. */
#include "reload_outcome.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "reload"
#define PATH_BYTES 256
#define FILE_BYTES 2048

bool reload_outcome_write(const char *run_directory, const struct reload_outcome *outcome, const char *reason,
                          struct error *error) {
    char path[PATH_BYTES], draft[PATH_BYTES];
    snprintf(path, sizeof path, "%s/" FILE_NAME, run_directory);
    snprintf(draft, sizeof draft, "%s/" FILE_NAME ".new", run_directory);
    FILE *file = fopen(draft, "we");
    if (file == NULL)
        return error_set(error, ERROR_UNAVAILABLE, "cannot write %s: %m", draft);
    int written = fprintf(file, "begun %lld\noutcome %s\nreason ", (long long)outcome->begun_ms,
                          outcome->is_good ? "good" : "failed");
    for (const char *at = reason; *at != '\0' && written > 0; at++)
        written = fputc((unsigned char)*at < 0x20 ? ' ' : *at, file) == EOF ? -1 : 1;
    written = written > 0 && fputc('\n', file) != EOF ? 1 : -1;
    return (fclose(file) == 0 && written > 0 && rename(draft, path) == 0) ||
           error_set(error, ERROR_UNAVAILABLE, "cannot write %s: %m", path);
}

bool reload_outcome_read(const char *run_directory, struct reload_outcome *out) {
    char path[PATH_BYTES], word[16] = "", text[FILE_BYTES];
    long long begun = 0;
    snprintf(path, sizeof path, "%s/" FILE_NAME, run_directory);
    FILE *file = fopen(path, "re");
    size_t length = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    if (file != NULL)
        fclose(file);
    text[length] = '\0';
    const char *reason = strstr(text, "\nreason ");
    if (reason == NULL || sscanf(text, "begun %lld\noutcome %15s", &begun, word) != 2)
        return false;
    *out = (struct reload_outcome){.begun_ms = begun, .is_good = strcmp(word, "good") == 0};
    snprintf(out->reason, sizeof out->reason, "%.*s", (int)strcspn(reason + 8, "\n"), reason + 8);
    return true;
}
