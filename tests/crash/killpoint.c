/* Kills the process at its n-th durable call: fsync, fdatasync, rename, unlink, truncate, and
 * writes to regular files (among them every commit of SQLite, which is a write and an fsync).
 *
 * LD_PRELOADed by tests/crash/harness.py:
 *   KILLPOINT_FILE   a shared 64-byte file: [0] = calls so far, [1] = number to die at (0 = never),
 *                    [2] = counting is on, [3] = what the fatal call was,
 *                    [4] = microseconds that a sync takes longer: a slow disk,
 *                    [5] = the only kind of call that counts (0 = all)
 * The death is SIGKILL, before the call is carried out; what was done before it stays. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FSYNC = 1, RENAME, UNLINK, WRITE, TRUNCATE, CREATE };

static _Atomic uint64_t *shared;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("KILLPOINT_FILE");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    shared = mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED) abort();
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

#define REAL(name, type, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

static void wait_for_disk(void) {
    if (shared) usleep((useconds_t)atomic_load(&shared[4]));
}

int fsync(int fd) {
    wait_for_disk();
    point(FSYNC);
    return REAL("fsync", int, int)(fd);
}
int fdatasync(int fd) {
    wait_for_disk();
    point(FSYNC);
    return REAL("fdatasync", int, int)(fd);
}
int rename(const char *a, const char *b) {
    point(RENAME);
    return REAL("rename", int, const char *, const char *)(a, b);
}
int renameat(int ad, const char *a, int bd, const char *b) {
    point(RENAME);
    return REAL("renameat", int, int, const char *, int, const char *)(ad, a, bd, b);
}
int unlink(const char *path) { point(UNLINK); return REAL("unlink", int, const char *)(path); }
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
