/* Starting and ending a private redis-server. It is ended by its pid, also when the test program dies
 * (PDEATHSIG). */
#include "server.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void give_up(const char *what) {
    fprintf(stderr, "test server: %s: %s\n", what, strerror(errno));
    exit(1);
}

void server_make_directory(struct server *server) {
    snprintf(server->directory, sizeof server->directory, "/tmp/originca-store-XXXXXX");
    if (mkdtemp(server->directory) == NULL)
        give_up("mkdtemp");
    snprintf(server->socket, sizeof server->socket, "%s/redis.sock", server->directory);
}

static void execute(const struct server *server, const char *const *options) {
    const char *words[64] = {"redis-server",
                             "--port",
                             "0",
                             "--unixsocket",
                             server->socket,
                             "--dir",
                             server->directory,
                             "--appendonly",
                             "yes",
                             "--appendfsync",
                             "always",
                             "--save",
                             "",
                             "--maxmemory-policy",
                             "noeviction",
                             "--hash-max-listpack-value",
                             "8192",
                             "--hash-max-listpack-entries",
                             "1024",
                             "--zset-max-listpack-value",
                             "128",
                             "--logfile",
                             "redis.log"};
    size_t count = 0;
    while (words[count] != NULL)
        count++;
    for (size_t i = 0; options != NULL && options[i] != NULL && count < 62; i++)
        words[count++] = options[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp("redis-server", (char *const *)words);
    _exit(127);
}

/* There is no event to wait for but the answer itself. */
static void wait_for_answer(const struct server *server) {
    for (int i = 0; i < 1000; i++) {
        redisContext *context = redisConnectUnix(server->socket);
        redisReply *reply = context == NULL || context->err != 0 ? NULL : redisCommand(context, "PING");
        bool answers = reply != NULL && strncmp(reply->str, "LOADING", 7) != 0;
        if (reply != NULL)
            freeReplyObject(reply);
        if (context != NULL)
            redisFree(context);
        if (answers)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    give_up("redis-server does not answer");
}

void server_start(struct server *server, const char *const *options) {
    server->pid = fork();
    if (server->pid < 0)
        give_up("fork");
    if (server->pid == 0)
        execute(server, options);
    wait_for_answer(server);
}

void server_kill(struct server *server) {
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
    unlink(server->socket);
}

static void run(const char *const *words) {
    pid_t pid = fork();
    if (pid < 0)
        give_up("fork");
    if (pid == 0) {
        execvp(words[0], (char *const *)words);
        _exit(127);
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        give_up(words[0]);
}

void server_remove(struct server *server) {
    server_kill(server);
    if (server->directory[0] != '\0')
        remove_directory(server->directory);
    server->directory[0] = '\0';
}

/* A child that Redis forked for a snapshot may still write for a moment after Redis was killed. */
void remove_directory(const char *path) {
    static const char script[] =
        "for i in $(seq 100); do rm -rf \"$0\" 2>/dev/null && exit 0; sleep 0.05; done; exit 1";
    run((const char *const[]){"sh", "-c", script, path, NULL});
}

void copy_directory(const char *from, const char *to) {
    remove_directory(to);
    run((const char *const[]){"cp", "-a", from, to, NULL});
}
