/* Kills the process at its n-th durable call: fsync, fdatasync, rename, unlink, truncate, and
 * writes to regular files (among them every commit of SQLite, which is a write and an fsync), by
 * io_submit too.
 *
 * LD_PRELOADed by tests/crash/harness.py:
 *   KILLPOINT_FILE   a shared 64-byte file: [0] = calls so far, [1] = number to die at (0 = never),
 *                    [2] = counting is on, [3] = what the fatal call was,
 *                    [4] = microseconds that a sync takes longer: a slow disk,
 *                    [5] = the only kind of call that counts (0 = all)
 * The death is SIGKILL, before the call is carried out; what was done before it stays.
 *
 * With KILLPOINT_DURABLE, a folder, it also keeps what a power cut would leave: copies of the files
 * of the index as they were at their last sync, and the names of all files that were synced, or when
 * all were, and which write is submitted and not collected. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FSYNC = 1, RENAME, UNLINK, WRITE, TRUNCATE, CREATE };

#define REAL(name, type, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

static _Atomic uint64_t *shared;
static const char *durable;
static pthread_mutex_t keeping = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("KILLPOINT_FILE");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    shared = mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED) abort();
    durable = getenv("KILLPOINT_DURABLE");
}

static void point(uint64_t kind) {
    if (!shared || !atomic_load(&shared[2])) return;
    uint64_t only = atomic_load(&shared[5]);
    if (only && only != kind) return;
    uint64_t number = atomic_fetch_add(&shared[0], 1) + 1;
    if (number == atomic_load(&shared[1])) {
        atomic_store(&shared[3], kind);
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

static int is_file(int fd) {
    struct stat state;
    return fstat(fd, &state) == 0 && S_ISREG(state.st_mode);
}

static void wait_for_disk(void) {
    if (shared) usleep((useconds_t)atomic_load(&shared[4]));
}

/* The name of a file of the index in a path, else NULL. */
static const char *of_index(const char *path) {
    const char *name = strrchr(path, '/');
    return name && strncmp(name, "/wherry.db", 10) == 0 ? name + 1 : NULL;
}

/* One line for the list of what was synced. */
static void list(const char *line, int size) {
    char target[4200];
    snprintf(target, sizeof target, "%s/synced", durable);
    int file = open(target, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 ||
        REAL("write", ssize_t, int, const void *, size_t)(file, line, (size_t)size) < 0)
        abort();
    close(file);
}

/* A file was synced: keep a copy of it, if it is of the index, and its name. */
static int kept(int fd, int result) {
    if (!durable || result != 0) return result;
    char link[64], path[4096], target[4200], new[4300];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 2);
    if (length < 0) abort();
    path[length] = 0;
    pthread_mutex_lock(&keeping);
    const char *name = of_index(path);
    if (name) {
        snprintf(target, sizeof target, "%s/%s", durable, name);
        snprintf(new, sizeof new, "%s.new", target);
        struct stat state;
        int from = open(path, O_RDONLY | O_CLOEXEC);
        int to = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (from < 0 || to < 0 || fstat(from, &state) != 0) abort();
        for (off_t left = state.st_size; left > 0;) {
            ssize_t copied = sendfile(to, from, NULL, (size_t)left);
            if (copied <= 0) break;
            left -= copied;
        }
        close(to);
        /* With any descriptor of the database, the locks of the process on it would go. */
        if (strstr(name, "-wal")) close(from);
        if (REAL("rename", int, const char *, const char *)(new, target) != 0) abort();
    } else {
        path[length] = '\n';
        list(path, (int)length + 1);
    }
    pthread_mutex_unlock(&keeping);
    return result;
}

/* Everything that is there was synced. */
int syncfs(int fd) {
    wait_for_disk();
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    int result = REAL("syncfs", int, int)(fd);
    if (!durable || result != 0) return result;
    char line[64];
    list(line, snprintf(line, sizeof line, "*%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec));
    return result;
}

/* A write is under way (one at a time), or, if NULL, it is over: a power cut may take it. */
static void submitted(const struct iocb *write) {
    char target[4200], new[4300], link[64], path[4096], line[4300];
    if (!durable) return;
    snprintf(target, sizeof target, "%s/submitted", durable);
    if (!write) {
        REAL("unlink", int, const char *)(target);
        return;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", (int)write->aio_fildes);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) abort();
    path[length] = 0;
    snprintf(new, sizeof new, "%s.new", target);
    int size = snprintf(line, sizeof line, "%lld %llu %s", (long long)write->aio_offset,
                        (unsigned long long)write->aio_nbytes, path);
    int file = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || REAL("write", ssize_t, int, const void *, size_t)(file, line, size) < 0) abort();
    close(file);
    if (REAL("rename", int, const char *, const char *)(new, target) != 0) abort();
}

static void forget(const char *path) {
    const char *name = durable ? of_index(path) : NULL;
    char target[4200];
    if (!name) return;
    snprintf(target, sizeof target, "%s/%s", durable, name);
    REAL("unlink", int, const char *)(target);
}

int fsync(int fd) {
    wait_for_disk();
    point(FSYNC);
    return kept(fd, REAL("fsync", int, int)(fd));
}
int fdatasync(int fd) {
    wait_for_disk();
    point(FSYNC);
    return kept(fd, REAL("fdatasync", int, int)(fd));
}
int rename(const char *a, const char *b) {
    point(RENAME);
    int result = REAL("rename", int, const char *, const char *)(a, b);
    if (durable && result == 0) {
        char line[8300];
        list(line, snprintf(line, sizeof line, ">%s\t%s\n", a, b));
    }
    return result;
}
int renameat(int ad, const char *a, int bd, const char *b) {
    point(RENAME);
    return REAL("renameat", int, int, const char *, int, const char *)(ad, a, bd, b);
}
int unlink(const char *path) {
    point(UNLINK);
    forget(path);
    return REAL("unlink", int, const char *)(path);
}
int unlinkat(int dir, const char *path, int flags) {
    point(UNLINK);
    return REAL("unlinkat", int, int, const char *, int)(dir, path, flags);
}
int ftruncate(int fd, off_t size) {
    point(TRUNCATE);
    return REAL("ftruncate", int, int, off_t)(fd, size);
}
int ftruncate64(int fd, off_t size) {
    point(TRUNCATE);
    return REAL("ftruncate64", int, int, off_t)(fd, size);
}
ssize_t write(int fd, const void *data, size_t size) {
    if (is_file(fd)) point(WRITE);
    return REAL("write", ssize_t, int, const void *, size_t)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    if (is_file(fd)) point(WRITE);
    return REAL("pwrite", ssize_t, int, const void *, size_t, off_t)(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
    if (is_file(fd)) point(WRITE);
    return REAL("pwrite64", ssize_t, int, const void *, size_t, off_t)(fd, data, size, offset);
}
int mkdir(const char *path, mode_t mode) {
    point(CREATE);
    return REAL("mkdir", int, const char *, mode_t)(path, mode);
}
long syscall(long number, ...) {
    va_list given;
    va_start(given, number);
    long a[6];
    for (int i = 0; i < 6; i++) a[i] = va_arg(given, long);
    va_end(given);
    if (number == SYS_io_submit) {
        point(WRITE);
        submitted(((struct iocb **)a[2])[0]);
    }
    long result = REAL("syscall", long, long, ...)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (number == SYS_io_getevents && result == 1) submitted(NULL);
    return result;
}
