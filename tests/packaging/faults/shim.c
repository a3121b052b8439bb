/* Preloaded into a process, this stands between it and the file system: it counts the calls that
 * concern one folder, and can make one of them, or all from one on, fail as a disk would.
 *
 * A call is counted if a path or a descriptor that it is given lies in the folder. Counts are kept
 * in shared memory, so that a parent reads what its child has done, also after the child's death.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { COUNT, ONCE, EVER, FULL, SHORT, KILL };
enum kind { ROOM = 1, DATA = 2 }; /* what a full disk refuses; what may be done by half */

static struct shared {
    volatile long calls;        /* how many have come */
    volatile long struck;       /* how many of them were made to fail */
    long at;                    /* from which on, counted from 1 */
    int mode, number;           /* what happens then, and with which errno */
    char name[32];              /* the first call that was struck */
    char path[PATH_MAX];        /* and what it was about */
    char folder[PATH_MAX];
} *shared;

__attribute__((constructor)) static void begin(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
}

/* ---- for the test, by ctypes ---- */

void shim_arm(const char *folder, long at, int mode, int number)
{
    shared->folder[0] = 0;
    shared->calls = shared->struck = 0;
    shared->at = at;
    shared->mode = mode;
    shared->number = number;
    shared->name[0] = shared->path[0] = 0;
    strcpy(shared->folder, folder);
}

long shim_calls(void) { return shared->calls; }
long shim_struck(void) { return shared->struck; }
const char *shim_name(void) { return shared->name; }
const char *shim_path(void) { return shared->path; }

/* ---- which calls concern the folder ---- */

static int inside(const char *path)
{
    size_t length = strlen(shared->folder);
    return length && !strncmp(path, shared->folder, length) &&
           (path[length] == '/' || path[length] == 0);
}

static const char *path_of(int descriptor, char *buffer)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX - 1);
    buffer[length > 0 ? length : 0] = 0;
    return buffer;
}

/* A call is about a path, relative to a folder that is open, or about what is open itself. */
static const char *subject(int descriptor, const char *path, char *buffer)
{
    if (path && (path[0] == '/' || descriptor == AT_FDCWD))
        return path;
    return path_of(descriptor, buffer);
}

/* Count a call, and say whether it shall go wrong now. */
static int strikes(const char *name, int kind, int descriptor, const char *path)
{
    char buffer[PATH_MAX];
    int number = errno;
    if (!shared || !shared->folder[0] || !inside(path = subject(descriptor, path, buffer))) {
        errno = number;
        return 0;
    }
    errno = number;
    long count = __atomic_add_fetch(&shared->calls, 1, __ATOMIC_SEQ_CST);
    int now = 0;
    switch (shared->mode) {
    case COUNT: return 0;
    case ONCE:
    case KILL: now = count == shared->at; break;
    case EVER: now = count >= shared->at; break;
    case FULL: now = count >= shared->at && kind & ROOM; break;
    case SHORT: now = count >= shared->at && kind & DATA; break;
    }
    if (now && __atomic_fetch_add(&shared->struck, 1, __ATOMIC_SEQ_CST) == 0) {
        snprintf(shared->name, sizeof shared->name, "%s", name);
        snprintf(shared->path, sizeof shared->path, "%s", path);
    }
    if (now)
        errno = shared->number;
    return now;
}

static void die(void)
{
    if (shared->mode == KILL)
        syscall(SYS_kill, (int)syscall(SYS_getpid), SIGKILL);
}

/* ---- the calls ---- */

#define GUARD(name, kind, descriptor, path, failure) \
    if (strikes(#name, kind, descriptor, path)) { die(); return failure; }

/* type name(parameters), which hands on its arguments */
#define CALL(type, name, kind, descriptor, path, failure, parameters, ...) \
    type name parameters { \
        type (*real) parameters = (type (*) parameters)dlsym(RTLD_NEXT, #name); \
        GUARD(name, kind, descriptor, path, failure) \
        return real(__VA_ARGS__); \
    }

#define OPENS(flags) ((flags) & O_CREAT ? ROOM : 0)
#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE_OF(flags) \
        int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
        GUARD(name, OPENS(flags), AT_FDCWD, path, -1) \
        return real(path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        MODE_OF(flags) \
        int (*real)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name); \
        GUARD(name, OPENS(flags), folder, path, -1) \
        return real(folder, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
CALL(int, creat, ROOM, AT_FDCWD, path, -1, (const char *path, mode_t mode), path, mode)
CALL(int, creat64, ROOM, AT_FDCWD, path, -1, (const char *path, mode_t mode), path, mode)
CALL(FILE *, fopen, ROOM, AT_FDCWD, path, NULL, (const char *path, const char *how), path, how)
CALL(FILE *, fopen64, ROOM, AT_FDCWD, path, NULL, (const char *path, const char *how), path, how)

/* What moves bytes does half of it where that is the fault, and before a failure or a kill too. */
#define MOVES(type, name, kind, descriptor, parameters, whole, half) \
    type name parameters { \
        type (*real) parameters = (type (*) parameters)dlsym(RTLD_NEXT, #name); \
        if (strikes(#name, kind | DATA, descriptor, NULL)) { \
            int number = errno; \
            type done = half; \
            if (shared->mode == SHORT) \
                return done; \
            die(); \
            errno = number; \
            return -1; \
        } \
        return whole; \
    }
#define HALF(size) ((size) > 1 ? (size) / 2 : (size))
MOVES(ssize_t, read, 0, fd, (int fd, void *to, size_t size), real(fd, to, size), real(fd, to, HALF(size)))
MOVES(ssize_t, write, ROOM, fd, (int fd, const void *from, size_t size), real(fd, from, size), real(fd, from, HALF(size)))
MOVES(ssize_t, pwrite, ROOM, fd, (int fd, const void *from, size_t size, off_t at), real(fd, from, size, at), real(fd, from, HALF(size), at))
MOVES(ssize_t, pwrite64, ROOM, fd, (int fd, const void *from, size_t size, off_t at), real(fd, from, size, at), real(fd, from, HALF(size), at))
MOVES(ssize_t, writev, ROOM, fd, (int fd, const struct iovec *from, int count), real(fd, from, count), write(fd, from[0].iov_base, HALF(from[0].iov_len)))
MOVES(ssize_t, sendfile, ROOM, to, (int to, int from, off_t *at, size_t size), real(to, from, at, size), real(to, from, at, HALF(size)))
MOVES(ssize_t, sendfile64, ROOM, to, (int to, int from, off_t *at, size_t size), real(to, from, at, size), real(to, from, at, HALF(size)))
MOVES(ssize_t, copy_file_range, ROOM, to, (int from, off_t *from_at, int to, off_t *to_at, size_t size, unsigned flags), real(from, from_at, to, to_at, size, flags), real(from, from_at, to, to_at, HALF(size), flags))

CALL(int, fsync, ROOM, fd, NULL, -1, (int fd), fd)
CALL(int, fdatasync, ROOM, fd, NULL, -1, (int fd), fd)
CALL(int, ftruncate, ROOM, fd, NULL, -1, (int fd, off_t size), fd, size)
CALL(int, ftruncate64, ROOM, fd, NULL, -1, (int fd, off_t size), fd, size)
CALL(int, flock, 0, fd, NULL, -1, (int fd, int how), fd, how)

int close(int fd) /* it is closed, whatever it answers */
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "close");
    int struck = strikes("close", 0, fd, NULL), number = errno;
    if (!struck)
        return real(fd);
    die();
    real(fd);
    errno = number;
    return -1;
}

int fclose(FILE *file)
{
    int (*real)(FILE *) = (int (*)(FILE *))dlsym(RTLD_NEXT, "fclose");
    int struck = strikes("fclose", 0, fileno(file), NULL), number = errno;
    if (!struck)
        return real(file);
    die();
    real(file);
    errno = number;
    return EOF;
}

/* Both ends of a move lie in the folder or neither does. */
CALL(int, rename, ROOM, AT_FDCWD, to, -1, (const char *from, const char *to), from, to)
CALL(int, renameat, ROOM, b, to, -1, (int a, const char *from, int b, const char *to), a, from, b, to)
CALL(int, renameat2, ROOM, b, to, -1, (int a, const char *from, int b, const char *to, unsigned flags), a, from, b, to, flags)
CALL(int, link, ROOM, AT_FDCWD, to, -1, (const char *from, const char *to), from, to)
CALL(int, linkat, ROOM, b, to, -1, (int a, const char *from, int b, const char *to, int flags), a, from, b, to, flags)
CALL(int, mkdir, ROOM, AT_FDCWD, path, -1, (const char *path, mode_t mode), path, mode)
CALL(int, mkdirat, ROOM, fd, path, -1, (int fd, const char *path, mode_t mode), fd, path, mode)
CALL(int, unlink, 0, AT_FDCWD, path, -1, (const char *path), path)
CALL(int, unlinkat, 0, fd, path, -1, (int fd, const char *path, int flags), fd, path, flags)
CALL(int, rmdir, 0, AT_FDCWD, path, -1, (const char *path), path)

CALL(DIR *, opendir, 0, AT_FDCWD, path, NULL, (const char *path), path)
CALL(DIR *, fdopendir, 0, fd, NULL, NULL, (int fd), fd)
CALL(struct dirent *, readdir, 0, dirfd(folder), NULL, NULL, (DIR *folder), folder)
CALL(struct dirent64 *, readdir64, 0, dirfd(folder), NULL, NULL, (DIR *folder), folder)

CALL(int, access, 0, AT_FDCWD, path, -1, (const char *path, int how), path, how)
CALL(int, faccessat, 0, fd, path, -1, (int fd, const char *path, int how, int flags), fd, path, how, flags)
CALL(int, stat, 0, AT_FDCWD, path, -1, (const char *path, struct stat *to), path, to)
CALL(int, stat64, 0, AT_FDCWD, path, -1, (const char *path, struct stat64 *to), path, to)
CALL(int, lstat, 0, AT_FDCWD, path, -1, (const char *path, struct stat *to), path, to)
CALL(int, lstat64, 0, AT_FDCWD, path, -1, (const char *path, struct stat64 *to), path, to)
CALL(int, fstat, 0, fd, NULL, -1, (int fd, struct stat *to), fd, to)
CALL(int, fstat64, 0, fd, NULL, -1, (int fd, struct stat64 *to), fd, to)
CALL(int, fstatat, 0, fd, path, -1, (int fd, const char *path, struct stat *to, int flags), fd, path, to, flags)
CALL(int, fstatat64, 0, fd, path, -1, (int fd, const char *path, struct stat64 *to, int flags), fd, path, to, flags)
