/* Makes the n-th call on a file below a folder fail, to show what a full, broken or read-only disk does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN_READ = 1, OPEN_WRITE = 2, WRITE = 4, SYNC = 8, RENAME = 16, MKDIR = 32, UNLINK = 64, READ = 128 };

static char below[PATH_MAX], failed_at[PATH_MAX];
static long nth, counted;
static int code, kinds, sticky;

/* Fail with `error` at call number `n` of these kinds below `folder`, and with `keep` at all later ones too. */
void faults_arm(const char *folder, long n, int error, int which, int keep)
{
    snprintf(below, sizeof below, "%s", folder);
    nth = n, code = error, kinds = which, sticky = keep, counted = 0, failed_at[0] = 0;
}

long faults_counted(void) { return counted; }
const char *faults_failed_at(void) { return failed_at; }

static int fails(int kind, const char *path)
{
    if (!below[0] || !(kinds & kind) || strncmp(path, below, strlen(below)) != 0)
        return 0;
    counted++;
    if (counted == nth || (sticky && nth > 0 && counted > nth)) {
        if (!failed_at[0])
            snprintf(failed_at, sizeof failed_at, "%d %s", kind, path);
        errno = code;
        return 1;
    }
    return 0;
}

/* The path of an open file, or of one named from an open folder. */
static int fails_fd(int kind, int fd, const char *name)
{
    char link[64], path[2 * PATH_MAX];
    if (!below[0] || !(kinds & kind))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    if (name)
        snprintf(path + size, PATH_MAX, "/%s", name);
    return fails(kind, path);
}

static int fails_at(int kind, int folder, const char *path)
{
    return folder == AT_FDCWD || path[0] == '/' ? fails(kind, path) : fails_fd(kind, folder, path);
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
        return fails_at(kind_of(flags), folder, path) ? -1 : REAL(name)(folder, path, flags, mode); \
    }
/* A call on an open file: its type, name, parameters but the first, their names, and what kind of call it is. */
#define ON_FILE(type, name, parameters, arguments, kind)                   \
    type name(int fd, GROUP parameters) { return fails_fd(kind, fd, 0) ? -1 : REAL(name)(fd, GROUP arguments); }
#define GROUP(...) __VA_ARGS__

OPENER(open)
OPENER(open64)
OPENER_AT(openat)
OPENER_AT(openat64)
ON_FILE(ssize_t, write, (const void *data, size_t size), (data, size), WRITE)
ON_FILE(ssize_t, pwrite, (const void *data, size_t size, off_t at), (data, size, at), WRITE)
ON_FILE(ssize_t, pwrite64, (const void *data, size_t size, off64_t at), (data, size, at), WRITE)
ON_FILE(ssize_t, writev, (const struct iovec *data, int count), (data, count), WRITE)
ON_FILE(int, ftruncate, (off_t size), (size), WRITE)
ON_FILE(int, ftruncate64, (off64_t size), (size), WRITE)
ON_FILE(ssize_t, read, (void *data, size_t size), (data, size), READ)
ON_FILE(ssize_t, pread, (void *data, size_t size, off_t at), (data, size, at), READ)
ON_FILE(ssize_t, pread64, (void *data, size_t size, off64_t at), (data, size, at), READ)

int fsync(int fd) { return fails_fd(SYNC, fd, 0) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_fd(SYNC, fd, 0) ? -1 : REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) { return fails(RENAME, to) ? -1 : REAL(rename)(from, to); }
int renameat(int folder, const char *from, int other, const char *to)
{
    return fails_at(RENAME, other, to) ? -1 : REAL(renameat)(folder, from, other, to);
}
int mkdir(const char *path, mode_t mode) { return fails(MKDIR, path) ? -1 : REAL(mkdir)(path, mode); }
int unlink(const char *path) { return fails(UNLINK, path) ? -1 : REAL(unlink)(path); }
int rmdir(const char *path) { return fails(UNLINK, path) ? -1 : REAL(rmdir)(path); }
int unlinkat(int folder, const char *path, int flags)
{
    return fails_at(UNLINK, folder, path) ? -1 : REAL(unlinkat)(folder, path, flags);
}
