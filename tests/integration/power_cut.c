/* Records what a broker makes durable, for tests that cut its power. Preloaded; what was synced of a file or a
 * folder, as it was when the sync began, is kept below POWER_CUT_DISK under the file's identity:
 *   f-<identity>-<time>   the bytes of a file
 *   d-<identity>-<time>   the entries of a folder, a line each: f or d, the identity, a blank, the name
 * The newest of each counts; a name is given when the sync has succeeded. Only what lies below POWER_CUT_ROOT
 * is looked at. All that is there when a process starts and POWER_CUT_DISK is empty counts as durable; then comes
 * the file `begun`. POWER_CUT_BOOT is read instead of the kernel's boot id. POWER_CUT_LIE is a part of paths whose
 * syncs succeed and are forgotten.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LISTING_MAX (1 << 20)

struct record {
    char made[PATH_MAX], name[PATH_MAX];
};

static void give_up(const char *what)
{
    perror(what);
    abort();
}

/* Inode numbers are used again; together with the time of birth they name one file for ever. */
static void identity(int dir, const char *name, int flags, char *out, size_t len)
{
    struct statx found;
    if (statx(dir, name, flags | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &found))
        found.stx_ino = 0;
    int is_born = found.stx_ino && found.stx_mask & STATX_BTIME;
    snprintf(out, len, "%llu.%lld.%u", (unsigned long long)found.stx_ino,
             is_born ? (long long)found.stx_btime.tv_sec : 0, is_born ? found.stx_btime.tv_nsec : 0);
}

static size_t entries(int fd, char *out)
{
    size_t len = 0;
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;
    if (!dir)
        return 0;
    while ((entry = readdir(dir))) {
        char id[80];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        identity(again, entry->d_name, 0, id, sizeof id);
        if (id[0] != '0' && len + sizeof id + NAME_MAX + 5 < LISTING_MAX)
            len += sprintf(out + len, "%c-%s %s\n", entry->d_type == DT_DIR ? 'd' : 'f', id, entry->d_name);
    }
    closedir(dir);
    return len;
}

/* A folder that changes while it is read may show a renamed file twice or not at all: two looks must agree. */
static void copy_entries(int from, int to)
{
    char *old = malloc(LISTING_MAX), *new = malloc(LISTING_MAX), *swap;
    size_t old_len = entries(from, old), new_len = entries(from, new);
    while (old_len != new_len || memcmp(old, new, new_len)) {
        swap = old, old = new, new = swap;
        old_len = new_len, new_len = entries(from, new);
    }
    if (write(to, new, new_len) != (ssize_t)new_len)
        give_up("power cut: entries");
    free(old), free(new);
}

static void copy_bytes(int from, int to)
{
    char piece[1 << 16];
    ssize_t len;
    off_t at = 0;
    for (; (len = pread(from, piece, sizeof piece, at)) > 0; at += len)
        if (write(to, piece, len) != len)
            give_up("power cut: bytes");
    if (len < 0)
        give_up("power cut: read");
}

/* Takes down what the file is like now; 0 when it is none of ours. */
static int take(int fd, struct record *record)
{
    const char *disk = getenv("POWER_CUT_DISK"), *root = getenv("POWER_CUT_ROOT"), *lie = getenv("POWER_CUT_LIE");
    char link[64], path[PATH_MAX], id[80];
    struct stat stat;
    struct timespec now;
    if (!disk || !root)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0)
        return 0;
    path[len] = 0;
    if (strncmp(path, root, strlen(root)) || fstat(fd, &stat) || (lie && strstr(path, lie)))
        return 0;
    identity(fd, "", AT_EMPTY_PATH, id, sizeof id);
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long at = now.tv_sec * 1000000000LL + now.tv_nsec;
    int is_dir = S_ISDIR(stat.st_mode);
    snprintf(record->name, sizeof record->name, "%s/%c-%s-%020lld", disk, is_dir ? 'd' : 'f', id, at);
    snprintf(record->made, sizeof record->made, "%s/new-%d-%020lld-%s", disk, gettid(), at, id);
    int to = open(record->made, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (to < 0)
        give_up(record->made);
    (is_dir ? copy_entries : copy_bytes)(fd, to);
    close(to);
    return 1;
}

static void keep(const struct record *record)
{
    if (rename(record->made, record->name))
        give_up(record->name);
}

static int sync_with(const char *how, int fd)
{
    struct record record;
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, how);
    int is_ours = take(fd, &record);
    int failed = real(fd);
    if (is_ours && !failed)
        keep(&record);
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

static int take_and_keep(const char *path, const struct stat *stat, int kind, struct FTW *place)
{
    struct record record;
    (void)stat, (void)kind, (void)place;
    int fd = open(path, O_RDONLY | O_NOFOLLOW);
    if (fd >= 0 && take(fd, &record))
        keep(&record);
    if (fd >= 0)
        close(fd);
    return 0;
}

int syncfs(int fd)
{
    const char *root = getenv("POWER_CUT_ROOT");
    if (root)
        nftw(root, take_and_keep, 16, FTW_PHYS);
    return ((int (*)(int))dlsym(RTLD_NEXT, "syncfs"))(fd);
}

__attribute__((constructor)) static void begin(void)
{
    const char *disk = getenv("POWER_CUT_DISK"), *root = getenv("POWER_CUT_ROOT");
    char begun[PATH_MAX];
    if (!disk || !root)
        return;
    snprintf(begun, sizeof begun, "%s/begun", disk);
    if (access(begun, F_OK)) {
        nftw(root, take_and_keep, 16, FTW_PHYS);
        close(open(begun, O_WRONLY | O_CREAT, 0644));
    }
}

int open64(const char *path, int flags, ...)
{
    const char *boot = getenv("POWER_CUT_BOOT");
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    if (boot && !strcmp(path, "/proc/sys/kernel/random/boot_id"))
        path = boot;
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64"))(path, flags, mode);
}
