/* Process housekeeping of supervisor, workers and signer. */
#include "process.h"

#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "originca/log.h"

bool process_check_users(const struct config *config, struct error *error) {
    static const char *const settings[CONFIG_PROCESSES] = {
        [CONFIG_WORKERS] = "user", [CONFIG_ADMIN] = "admin_user", [CONFIG_SIGNER] = "signer_user"};
    for (size_t i = 0; i < CONFIG_PROCESSES; i++) {
        const struct config_user *user = &config->run_as[i];
        if (!user->is_known)
            return error_set(error, ERROR_INVALID, "server.%s: there is no user \"%s\"", settings[i],
                             user->name);
        if (geteuid() != 0 && user->uid != geteuid())
            return error_set(error, ERROR_INVALID,
                             "server.%s: only a start as root can become user \"%s\", and this is uid %u; "
                             "start it as root, or remove the setting",
                             settings[i], user->name, (unsigned)geteuid());
    }
    return true;
}

static bool take_user(const struct config_user *user, struct error *error) {
    if (user->name == NULL || (geteuid() == user->uid && geteuid() != 0))
        return true;
    if (initgroups(user->name, user->gid) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
        setresuid(user->uid, user->uid, user->uid) != 0)
        return error_set(error, ERROR_INTERNAL, "cannot become user \"%s\": %m", user->name);
    return true;
}

bool process_become(const char *name, const struct config_user *user, struct error *error) {
    static const int to_reset[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
    sigset_t none;
    log_set_process(name);
    for (size_t i = 0; i < sizeof to_reset / sizeof to_reset[0]; i++)
        signal(to_reset[i], SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    /* Ctrl-C reaches the whole process group: only the supervisor decides to stop. SIGHUP likewise. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!take_user(user, error))
        return false;
    const struct rlimit no_core = {0, 0};
    /* After the change of user, which resets both. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0)
        return error_set(error, ERROR_INTERNAL, "cannot protect the process: %m");
    char title[16];
    snprintf(title, sizeof title, "oca-%.11s", name);
    prctl(PR_SET_NAME, title);
    return true;
}

void process_tell(int fd, char what, const char *text) {
    char line[ERROR_MESSAGE_MAX + 2]; /* less than PIPE_BUF: whole or not at all */
    snprintf(line, sizeof line - 1, "%c%s", what, text);
    size_t length = strlen(line);
    for (size_t i = 0; i < length; i++)
        if (line[i] == '\n')
            line[i] = ' ';
    line[length++] = '\n';
    ssize_t written = write(fd, line, length);
    (void)written; /* the supervisor also goes by time and by the exit status */
}

void process_raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_event(LOG_LEVEL_WARNING, "cannot raise the limit of open files", NULL);
}

void process_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    strcpy(address.sun_path, path);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, length);
    (void)sent; /* readiness is advice: without it systemd says so itself */
    close(fd);
}
