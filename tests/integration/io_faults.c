/* Makes file operations fail, for tests. Preloaded into the broker; what fails is said by files in the
 * folder that IO_FAULTS names, which come and go while it runs:
 *   sync    a part of paths: syncs of such files fail, from the N-th on that the second word names; the
 *           third word says how many of them. With a fourth, only those of threads with this in their names
 *   read    a part of paths: reads of such files fail
 *   slow    a part of paths, and milliseconds: syncs of such files take so much longer. Each appends a line
 *           to the file `synced` when it is done: how long the file was when it began, and its path
 *   stuck   a part of paths: syncs of such files wait for as long as this is there
 *   hold    a part of paths: reads of such files into memory wait for as long as this is there, and nothing
 *           of them counts as being in memory
 *   cold    a part of paths: nothing of such files counts as being in memory
 *   open    a part of paths: whoever opens such files waits for as long as this is there
 *   write   a part of paths: vectored writes to such files wait for as long as this is there. A file
 *           `writing` is there once one does
 *   hang    a part of paths: whoever asks for the room on such file systems waits for as long as this is there
 *   make    a part of paths: whoever makes such directories waits for as long as this is there
 *   deny    a part of paths: nobody may open such files to write to them, make, rename or remove them
 *   hide    a part of paths: nobody may open such files
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long syncs;

/* Whether the rule of this name is about the file; its numbers come back through the pointers. */
static int is_about(const char *rule, int fd, long *from, long *count)
{
    const char *folder = getenv("IO_FAULTS");
    char name[512], text[512], thread[32] = "", link[64], path[1024], self[32] = "";
    if (!folder)
        return 0;
    snprintf(name, sizeof name, "%s/%s", folder, rule);
    FILE *file = fopen(name, "r");
    if (!file)
        return 0;
    int lines = fscanf(file, "%511s %ld %ld %31s", text, from, count, thread);
    fclose(file);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (lines < 1 || len < 0)
        return 0;
    path[len] = 0;
    prctl(PR_GET_NAME, self);
    return strstr(path, text) != NULL && strstr(self, thread) != NULL;
}

static int fails_sync(int fd)
{
    long from = 1, count = 1000000000;
    if (!is_about("sync", fd, &from, &count))
        return 0;
    long number = atomic_fetch_add(&syncs, 1) + 1;
    return number >= from && number < from + count;
}

static int fails_read(int fd)
{
    long from, count;
    return is_about("read", fd, &from, &count);
}

static void wait_for_disk(int fd)
{
    long from, count;
    while (is_about("hold", fd, &from, &count))
        usleep(2000);
}

static void note_synced(int fd, off_t len)
{
    char name[512], link[64], path[1024];
    snprintf(name, sizeof name, "%s/synced", getenv("IO_FAULTS"));
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t path_len = readlink(link, path, sizeof path - 1);
    FILE *file = fopen(name, "a");
    if (!file)
        return;
    if (path_len > 0)
        fprintf(file, "%lld %.*s\n", (long long)len, (int)path_len, path);
    fclose(file);
}

static int sync_with(const char *call, int fd)
{
    long ms = 0, unused;
    struct stat begun;
    if (fails_sync(fd)) {
        errno = EIO;
        return -1;
    }
    while (is_about("stuck", fd, &unused, &unused))
        usleep(5000);
    int slow = is_about("slow", fd, &ms, &unused) && !fstat(fd, &begun);
    if (slow)
        usleep(ms * 1000);
    int failed = ((int (*)(int))dlsym(RTLD_NEXT, call))(fd);
    if (slow && !failed)
        note_synced(fd, begun.st_size);
    return failed;
}

int fdatasync(int fd)
{
    return sync_with("fdatasync", fd);
}

int fsync(int fd)
{
    return sync_with("fsync", fd);
}

ssize_t pread64(int fd, void *buffer, size_t len, off64_t at)
{
    wait_for_disk(fd);
    if (fails_read(fd)) {
        errno = EIO;
        return -1;
    }
    return ((ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64"))(fd, buffer, len, at);
}

ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off64_t at, int flags)
{
    long unused;
    if ((flags & RWF_NOWAIT) && (is_about("hold", fd, &unused, &unused) || is_about("cold", fd, &unused, &unused))) {
        errno = EAGAIN;
        return -1;
    }
    return ((ssize_t (*)(int, const struct iovec *, int, off64_t, int))dlsym(RTLD_NEXT, "preadv64v2"))(
        fd, parts, count, at, flags);
}

/* Whether the rule of this name is about the path. */
static int names(const char *rule, const char *path)
{
    const char *folder = getenv("IO_FAULTS");
    char name[512], text[512];
    snprintf(name, sizeof name, "%s/%s", folder ? folder : "", rule);
    FILE *file = fopen(name, "r");
    if (!file)
        return 0;
    int lines = fscanf(file, "%511s", text);
    fclose(file);
    return lines >= 1 && strstr(path, text) != NULL;
}

static void hang(const char *rule, const char *path)
{
    while (names(rule, path))
        usleep(2000);
}

static int denies(const char *rule, const char *path)
{
    if (!names(rule, path))
        return 0;
    errno = EACCES;
    return 1;
}

int statvfs(const char *path, struct statvfs *found)
{
    hang("hang", path);
    return ((int (*)(const char *, struct statvfs *))dlsym(RTLD_NEXT, "statvfs"))(path, found);
}

int statvfs64(const char *path, struct statvfs64 *found)
{
    hang("hang", path);
    return ((int (*)(const char *, struct statvfs64 *))dlsym(RTLD_NEXT, "statvfs64"))(path, found);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    hang("open", path);
    if (denies("hide", path) || ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && denies("deny", path)))
        return -1;
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64"))(path, flags, mode);
}

static void note(const char *what)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", getenv("IO_FAULTS"), what);
    FILE *file = fopen(name, "w");
    if (file)
        fclose(file);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    long unused;
    if (is_about("write", fd, &unused, &unused))
        note("writing");
    while (is_about("write", fd, &unused, &unused))
        usleep(2000);
    return ((ssize_t (*)(int, const struct iovec *, int, off64_t))dlsym(RTLD_NEXT, "pwritev64"))(fd, parts, count, at);
}

int faccessat(int dir, const char *path, int mode, int flags)
{
    if (denies("hide", path) || ((mode & W_OK) && denies("deny", path)))
        return -1;
    return ((int (*)(int, const char *, int, int))dlsym(RTLD_NEXT, "faccessat"))(dir, path, mode, flags);
}

int rename(const char *from, const char *to)
{
    if (denies("deny", from) || denies("deny", to))
        return -1;
    return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from, to);
}

int unlink(const char *path)
{
    if (denies("deny", path))
        return -1;
    return ((int (*)(const char *))dlsym(RTLD_NEXT, "unlink"))(path);
}

int mkdir(const char *path, mode_t mode)
{
    hang("make", path);
    if (denies("deny", path))
        return -1;
    return ((int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir"))(path, mode);
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t len)
{
    if (fails_read(in)) {
        errno = EIO;
        return -1;
    }
    return ((ssize_t (*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64"))(out, in, at, len);
}
