/* Loaded before the C library of a node's programs: sets their clock back and makes their disk fail, as the file named by
 * CHAOS_CONTROL says at that moment.
 *
 * Clock: CLOCK_REALTIME alone is shifted, as when somebody sets the clock; what counts time since boot is not.
 *
 * Disk: a failed fsync as Linux has it. The kernel drops the dirty pages it could not write and says so once: what a later read
 * finds is what was on disk before. Here every write to a write-ahead log is remembered while a failure is ordered, and the
 * fsync that fails takes them back, newest first. What was written before the order is kept, which a kernel may also do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The file, as src/control.rs writes it. */
struct control {
    int64_t clock_offset_ns;
    int32_t syncs_to_fail;
    int32_t syncs_failed;
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED)
        control = page;
}

/* The function that this one stands before. */
#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) \
        real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int result = real(clock, time);
    if (result == 0 && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t shifted = time->tv_sec * INT64_C(1000000000) + time->tv_nsec + control->clock_offset_ns;
        time->tv_sec = shifted / 1000000000;
        time->tv_nsec = shifted % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place)
        *place = now.tv_sec;
    return now.tv_sec;
}

/* What a write replaced. */
struct undo {
    struct undo *before;
    dev_t device;
    ino_t file;
    off_t offset, size;
    size_t length;
    unsigned char bytes[];
};

static struct undo *newest;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

static int armed(void) { return control && __atomic_load_n(&control->syncs_to_fail, __ATOMIC_ACQUIRE) > 0; }

static int is_log(int fd, struct stat *stat) {
    char link[64], path[4096];
    if (fd < 3 || fstat(fd, stat) != 0 || !S_ISREG(stat->st_mode))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    return length > 4 && memcmp(path + length - 4, "-wal", 4) == 0;
}

static void remember(int fd, off_t offset, size_t count) {
    struct stat stat;
    if (!is_log(fd, &stat))
        return;
    struct undo *undo = malloc(sizeof *undo + count);
    if (!undo)
        return;
    ssize_t held = pread(fd, undo->bytes, count, offset);
    *undo = (struct undo){.device = stat.st_dev, .file = stat.st_ino, .offset = offset, .size = stat.st_size};
    undo->length = held > 0 ? (size_t)held : 0;
    pthread_mutex_lock(&guard);
    undo->before = newest;
    newest = undo;
    pthread_mutex_unlock(&guard);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (armed())
        remember(fd, lseek(fd, 0, SEEK_CUR), count);
    return real(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    if (armed())
        remember(fd, offset, count);
    return real(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) { return pwrite(fd, bytes, count, offset); }

/* Takes back what is remembered of this file; how many writes that were. */
static int take_back(int fd, const struct stat *stat) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    int taken = 0;
    pthread_mutex_lock(&guard);
    for (struct undo **place = &newest; *place;) {
        struct undo *undo = *place;
        if (undo->device != stat->st_dev || undo->file != stat->st_ino) {
            place = &undo->before;
            continue;
        }
        if (real(fd, undo->bytes, undo->length, undo->offset) == (ssize_t)undo->length && ftruncate(fd, undo->size) == 0)
            taken++;
        *place = undo->before;
        free(undo);
    }
    pthread_mutex_unlock(&guard);
    return taken;
}

/* Whether this fsync is the one that fails. */
static int fails(int fd) {
    struct stat stat;
    if (!armed() || !is_log(fd, &stat) || take_back(fd, &stat) == 0)
        return 0;
    __atomic_fetch_sub(&control->syncs_to_fail, 1, __ATOMIC_ACQ_REL);
    __atomic_fetch_add(&control->syncs_failed, 1, __ATOMIC_ACQ_REL);
    errno = EIO;
    return 1;
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    return fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return fails(fd) ? -1 : real(fd);
}
