/* A private redis-server as a child process. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct server {
    char directory[64], socket[96];
    pid_t pid;
};

/* A new folder below /tmp. */
void server_make_directory(struct server *server);
/* `options` end with NULL: more words of the command line. Durable settings are the default. Waits until it
 * answers. */
void server_start(struct server *server, const char *const *options);
void server_kill(struct server *server);   /* SIGKILL, waited for */
void server_remove(struct server *server); /* and its folder */
void remove_directory(const char *path);
void copy_directory(const char *from, const char *to);
