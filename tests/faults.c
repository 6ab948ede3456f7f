/* Makes the n-th call that changes or opens a file below a folder fail, to show what a full or broken disk does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPEN_READ = 1, OPEN_WRITE = 2, WRITE = 4, SYNC = 8, RENAME = 16, MKDIR = 32, UNLINK = 64 };

static char below[PATH_MAX];
static long nth, counted;
static int code, kinds, sticky;

/* Fail with `error` at call number `n` of these kinds below `folder`, and with `keep` at all later ones too. */
void faults_arm(const char *folder, long n, int error, int which, int keep)
{
    snprintf(below, sizeof below, "%s", folder);
    nth = n, code = error, kinds = which, sticky = keep, counted = 0;
}

long faults_counted(void) { return counted; }

static int fails(int kind, const char *path)
{
    if (!below[0] || !(kinds & kind) || strncmp(path, below, strlen(below)) != 0)
        return 0;
    counted++;
    if (counted == nth || (sticky && nth > 0 && counted > nth)) {
        errno = code;
        return 1;
    }
    return 0;
}

static int fails_fd(int kind, int fd)
{
    char link[64], path[PATH_MAX];
    if (!below[0])
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return fails(kind, path);
}

static int kind_of(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT)) ? OPEN_WRITE : OPEN_READ; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define OPENER(name)                                                       \
    int name(const char *path, int flags, ...)                             \
    {                                                                      \
        va_list rest;                                                      \
        va_start(rest, flags);                                             \
        mode_t mode = va_arg(rest, mode_t);                                \
        va_end(rest);                                                      \
        return fails(kind_of(flags), path) ? -1 : REAL(name)(path, flags, mode); \
    }
#define OPENER_AT(name)                                                    \
    int name(int folder, const char *path, int flags, ...)                 \
    {                                                                      \
        va_list rest;                                                      \
        va_start(rest, flags);                                             \
        mode_t mode = va_arg(rest, mode_t);                                \
        va_end(rest);                                                      \
        return fails(kind_of(flags), path) ? -1 : REAL(name)(folder, path, flags, mode); \
    }
OPENER(open)
OPENER(open64)
OPENER_AT(openat)
OPENER_AT(openat64)

ssize_t write(int fd, const void *data, size_t size) { return fails_fd(WRITE, fd) ? -1 : REAL(write)(fd, data, size); }
int fsync(int fd) { return fails_fd(SYNC, fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_fd(SYNC, fd) ? -1 : REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) { return fails(RENAME, to) ? -1 : REAL(rename)(from, to); }
int mkdir(const char *path, mode_t mode) { return fails(MKDIR, path) ? -1 : REAL(mkdir)(path, mode); }
int unlink(const char *path) { return fails(UNLINK, path) ? -1 : REAL(unlink)(path); }
int unlinkat(int folder, const char *path, int flags)
{
    return fails(UNLINK, path) ? -1 : REAL(unlinkat)(folder, path, flags);
}
