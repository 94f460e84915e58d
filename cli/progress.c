/* Progress of long work on standard error: a bar that redraws itself on a terminal, nothing elsewhere. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "customer.h"

#define BAR_WIDTH 30

static bool is_drawn;

void progress_show(const char *what, size_t done, size_t count) {
    char bar[BAR_WIDTH + 1];
    struct winsize window = {0};
    if (!isatty(STDERR_FILENO) || count < 2)
        return;
    size_t filled = done * BAR_WIDTH / count;
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', filled);
    bar[BAR_WIDTH] = '\0';
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : 80;
    int room = columns - BAR_WIDTH - 20;
    fprintf(stderr, "\r\033[K[%s] %zu/%zu %.*s", bar, done, count, room > 0 ? room : 0, what);
    fflush(stderr);
    is_drawn = true;
}

void progress_end(void) {
    if (is_drawn)
        fputs("\r\033[K", stderr);
    is_drawn = false;
}
