/* A PKCS#11 module that passes everything on to another one (ORIGINCA_REAL_MODULE) and adds a line to a file
 * (ORIGINCA_LOGINS) for each C_Login with its outcome: how often a token is asked decides whether it locks.
 * One that begins while another process is in its own is noted too. Where there is a file beside it (".says")
 * with two codes in hex, each login whose outcome is the first has the second one instead; "any" as the
 * first: the token is not even asked. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#define LOGIN_TAKES_US 50000

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

static CK_FUNCTION_LIST *real, counting;

static CK_RV log_in(const char *path, CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin,
                    unsigned long length) {
    char name[4096], outcome[17] = "";
    unsigned long said = CKR_OK;
    snprintf(name, sizeof name, "%s.says", path == NULL ? "" : path);
    FILE *file = fopen(name, "re");
    bool is_said = file != NULL && fscanf(file, "%16s %lx", outcome, &said) == 2;
    if (file != NULL)
        fclose(file);
    if (is_said && strcmp(outcome, "any") == 0)
        return said;
    CK_RV found = real->C_Login(session, user, pin, length);
    return is_said && found == strtoul(outcome, NULL, 16) ? said : found;
}

static CK_RV count_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin,
                         unsigned long length) {
    const char *path = getenv("ORIGINCA_LOGINS");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
        dprintf(fd, "overlap\n");
    CK_RV outcome = log_in(path, session, user, pin, length);
    if (fd >= 0) {
        usleep(LOGIN_TAKES_US);
        dprintf(fd, "%lx\n", outcome);
        close(fd);
    }
    return outcome;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list) {
    const char *path = getenv("ORIGINCA_REAL_MODULE");
    void *module = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get =
        module == NULL ? NULL : (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
    if (get == NULL || get(&real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    counting = *real;
    counting.C_Login = count_login;
    *list = &counting;
    return CKR_OK;
}
