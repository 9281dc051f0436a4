/* A disk that fails when it is told to: preloaded into `tongban serve`, it fails chosen calls of the
 * C library on files below one folder. SQLite and Rust's standard library go through these calls.
 * Steered by a small file that the test writes while the gateway runs (see shim.rs for its words). */
#include "preload.h"

enum { OPEN = 1, WRITE = 2, SYNC = 4, TRUNCATE = 8, RENAME = 16, UNLINK = 32, MKDIR = 64, READ = 128 };

/* All words are little-endian, as this machine has them. */
struct control {
    _Atomic uint32_t kinds;  /* calls that are counted; 0: none fails */
    _Atomic uint32_t error;  /* errno */
    _Atomic uint32_t first;  /* the first counted call that fails, from 1 */
    _Atomic uint32_t count;  /* how many fail */
    _Atomic uint32_t late;   /* 1: the call is done and fails all the same */
    _Atomic uint32_t seen;   /* counted calls */
    _Atomic uint32_t failed; /* calls that failed */
    uint32_t reserved;
    char below[1024]; /* the folder, without a last slash */
    char path[1024];  /* of the last call that failed */
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
    control = steering("TONGBAN_FAULTS", sizeof(struct control));
}

/* Does this call fail now? */
static int fails(uint32_t kind, int fd, const char *name) {
    if (!control || !(control->kinds & kind)) return 0;
    char buffer[PATH_MAX];
    const char *path = name ? name : path_of(fd, buffer);
    if (!path || !is_below(path, control->below)) return 0;
    uint32_t nth = atomic_fetch_add(&control->seen, 1) + 1, first = control->first;
    if (nth < first || nth - first >= control->count) return 0;
    atomic_fetch_add(&control->failed, 1);
    snprintf(control->path, sizeof control->path, "%.1000s", path);
    return 1;
}

static int fail(void) {
    errno = (int)control->error;
    return -1;
}

/* The call does nothing, or everything, and is said to have failed. */
#define FAIL_OR(kind, fd, name, call) \
    do { \
        if (!fails(kind, fd, name)) return call; \
        if (control->late) (void)!(call); \
        return fail(); \
    } while (0)

/* A write that fails has written half. */
#define WRITE_OR(fd, size, half, call) \
    do { \
        if (!fails(WRITE, fd, NULL)) return call; \
        if (control->late) (void)!(call); \
        else if ((size) > 1) (void)!(half); \
        return fail(); \
    } while (0)

static int opened(int fd) {
    if (fd >= 0) close(fd);
    return fail();
}

/* Opening to read is a call of its own only for folders and files that are there: it fails too. */
#define OPEN_OR(name, call) \
    do { \
        if (!fails(OPEN, -1, name)) return call; \
        return control->late ? opened(call) : fail(); \
    } while (0)

int open(const char *name, int flags, ...) { REAL(open); MODE(flags); OPEN_OR(name, real(name, flags, mode)); }
int open64(const char *name, int flags, ...) { REAL(open64); MODE(flags); OPEN_OR(name, real(name, flags, mode)); }
int openat(int at, const char *name, int flags, ...) { REAL(openat); MODE(flags); OPEN_OR(name, real(at, name, flags, mode)); }
int openat64(int at, const char *name, int flags, ...) { REAL(openat64); MODE(flags); OPEN_OR(name, real(at, name, flags, mode)); }

ssize_t write(int fd, const void *bytes, size_t size) { REAL(write); WRITE_OR(fd, size, real(fd, bytes, size / 2), real(fd, bytes, size)); }
ssize_t writev(int fd, const struct iovec *parts, int count) { REAL(writev); WRITE_OR(fd, 0, 0, real(fd, parts, count)); }
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { REAL(pwrite); WRITE_OR(fd, size, real(fd, bytes, size / 2, at), real(fd, bytes, size, at)); }
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) { REAL(pwrite64); WRITE_OR(fd, size, real(fd, bytes, size / 2, at), real(fd, bytes, size, at)); }

int fsync(int fd) { REAL(fsync); FAIL_OR(SYNC, fd, NULL, real(fd)); }
int fdatasync(int fd) { REAL(fdatasync); FAIL_OR(SYNC, fd, NULL, real(fd)); }
int sync_file_range(int fd, off64_t from, off64_t size, unsigned how) { REAL(sync_file_range); FAIL_OR(SYNC, fd, NULL, real(fd, from, size, how)); }

int ftruncate(int fd, off_t size) { REAL(ftruncate); FAIL_OR(TRUNCATE, fd, NULL, real(fd, size)); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); FAIL_OR(TRUNCATE, fd, NULL, real(fd, size)); }
int fallocate(int fd, int mode, off_t from, off_t size) { REAL(fallocate); FAIL_OR(TRUNCATE, fd, NULL, real(fd, mode, from, size)); }
int fallocate64(int fd, int mode, off64_t from, off64_t size) { REAL(fallocate64); FAIL_OR(TRUNCATE, fd, NULL, real(fd, mode, from, size)); }

int rename(const char *from, const char *to) { REAL(rename); FAIL_OR(RENAME, -1, from, real(from, to)); }
int renameat(int one, const char *from, int other, const char *to) { REAL(renameat); FAIL_OR(RENAME, -1, from, real(one, from, other, to)); }
int unlink(const char *name) { REAL(unlink); FAIL_OR(UNLINK, -1, name, real(name)); }
int unlinkat(int at, const char *name, int flags) { REAL(unlinkat); FAIL_OR(UNLINK, at, NULL, real(at, name, flags)); }
int mkdir(const char *name, mode_t mode) { REAL(mkdir); FAIL_OR(MKDIR, -1, name, real(name, mode)); }

ssize_t read(int fd, void *bytes, size_t size) { REAL(read); FAIL_OR(READ, fd, NULL, real(fd, bytes, size)); }
ssize_t pread(int fd, void *bytes, size_t size, off_t at) { REAL(pread); FAIL_OR(READ, fd, NULL, real(fd, bytes, size, at)); }
ssize_t pread64(int fd, void *bytes, size_t size, off64_t at) { REAL(pread64); FAIL_OR(READ, fd, NULL, real(fd, bytes, size, at)); }
