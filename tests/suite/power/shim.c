/* A disk with a cache that forgets: preloaded into `tongban serve`, it keeps a journal of everything
 * that is changed below one folder, and of every flush, so that the test can take back behind a kill
 * what had not been flushed (see journal.rs). Each change is written down before it is made, with the
 * bytes that were there before it; a flush is written down when it begins and, if it did well, when it
 * has ended: it covers what stands in the journal before its beginning. */
#include "preload.h"
#include <pthread.h>
#include <sys/sendfile.h>

/* All words are little-endian, as this machine has them. */
struct control {
    _Atomic uint32_t lies; /* 1: a flush does nothing and is said to have done well */
    uint32_t reserved;
    char below[1024];   /* the folder, without a last slash */
    char journal[1024]; /* appended to; outside the folder, as the next */
    char kept[1024];    /* a folder of the same disk, for files that lost their names */
    char about[1024];   /* how the names end of files about which is lied */
};

enum { WRITE = 1, LENGTH, FLUSH, FLUSHED, MADE, RENAMED, REMOVED, FOLDER_MADE, FOLDER_REMOVED };

/* Followed by the name or names, then by the bytes. */
struct record {
    uint32_t kind;
    uint32_t name;   /* octets of names, each with a zero behind it */
    uint64_t file;   /* inode */
    uint64_t number; /* of a flush; of a file among those kept, or 0 */
    uint64_t before; /* length of the file before */
    uint64_t at;     /* where is written; length afterwards */
    uint64_t size;   /* octets written */
    uint64_t old;    /* octets that follow: what stood there */
};

static struct control *control;
static int journal;
static _Atomic uint64_t numbers;
/* A change and its record are one step for everybody else who changes the same file, or a name. */
static pthread_mutex_t files[64], names;

__attribute__((constructor)) static void begin(void) {
    struct control *found = steering("TONGBAN_POWER", sizeof(struct control));
    if (!found) return;
    for (size_t at = 0; at < sizeof files / sizeof *files; at++) pthread_mutex_init(&files[at], NULL);
    pthread_mutex_init(&names, NULL);
    journal = open(found->journal, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (journal < 0) abort();
    numbers = (uint64_t)getpid() << 32;
    control = found;
}

static void write_down(struct record record, const char *name, const char *other, const void *old) {
    REAL(writev);
    size_t one = name ? strlen(name) + 1 : 0, two = other ? strlen(other) + 1 : 0;
    record.name = (uint32_t)(one + two);
    struct iovec parts[] = {{&record, sizeof record}, {(void *)name, one}, {(void *)other, two}, {(void *)old, record.old}};
    size_t whole = sizeof record + one + two + record.old;
    if (real(journal, parts, 4) != (ssize_t)whole) abort();
}

/* A file or folder below the folder that is watched? */
static int is_watched(int fd, struct stat *is, char path[PATH_MAX]) {
    if (!control || fstat(fd, is) || !(S_ISREG(is->st_mode) || S_ISDIR(is->st_mode))) return 0;
    return path_of(fd, path) && is_below(path, control->below);
}

static pthread_mutex_t *lock_of(const struct stat *is) {
    pthread_mutex_t *lock = &files[is->st_ino % (sizeof files / sizeof *files)];
    pthread_mutex_lock(lock);
    return lock;
}

/* Writes down what is about to be changed and returns the lock to be given back; NULL: not watched. */
static pthread_mutex_t *change(int fd, uint32_t kind, off_t at, size_t size) {
    struct stat is;
    char path[PATH_MAX];
    if (!is_watched(fd, &is, path)) return NULL;
    pthread_mutex_t *lock = lock_of(&is);
    if (fstat(fd, &is)) abort();
    uint64_t length = (uint64_t)is.st_size;
    if (at < 0) at = fcntl(fd, F_GETFL) & O_APPEND ? is.st_size : lseek(fd, 0, SEEK_CUR);
    uint64_t from = (uint64_t)at, upto = kind == LENGTH ? length : from + size;
    if (upto > length) upto = length;
    uint64_t old = upto > from ? upto - from : 0;
    char *bytes = old ? malloc(old) : NULL;
    for (uint64_t done = 0; done < old;) {
        ssize_t more = pread(fd, bytes + done, old - done, (off_t)(from + done));
        if (more <= 0) abort();
        done += (uint64_t)more;
    }
    write_down((struct record){.kind = kind, .file = is.st_ino, .before = length, .at = from, .size = size, .old = old}, NULL, NULL, bytes);
    free(bytes);
    return lock;
}

#define CHANGE(type, fd, kind, at, size, call) \
    do { \
        pthread_mutex_t *lock = change(fd, kind, at, size); \
        type done = call; \
        if (lock) pthread_mutex_unlock(lock); \
        return done; \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t size) { REAL(write); CHANGE(ssize_t, fd, WRITE, -1, size, real(fd, bytes, size)); }
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { REAL(pwrite); CHANGE(ssize_t, fd, WRITE, at, size, real(fd, bytes, size, at)); }
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) { REAL(pwrite64); CHANGE(ssize_t, fd, WRITE, at, size, real(fd, bytes, size, at)); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); CHANGE(int, fd, LENGTH, size, 0, real(fd, size)); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); CHANGE(int, fd, LENGTH, size, 0, real(fd, size)); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    size_t size = 0;
    for (int at = 0; at < count; at++) size += parts[at].iov_len;
    CHANGE(ssize_t, fd, WRITE, -1, size, real(fd, parts, count));
}

/* Ways to change a file that this journal does not know: whoever has another way takes that; whoever
 * does not shall be seen. */
static int is_unknown(int fd) {
    struct stat is;
    char path[PATH_MAX];
    return is_watched(fd, &is, path) && S_ISREG(is.st_mode);
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned how) {
    REAL(copy_file_range);
    if (!is_unknown(to)) return real(from, at, to, there, size, how);
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    REAL(sendfile64);
    if (!is_unknown(to)) return real(to, from, at, size);
    errno = EINVAL;
    return -1;
}

int fallocate64(int fd, int mode, off64_t from, off64_t size) {
    REAL(fallocate64);
    if (!is_unknown(fd)) return real(fd, mode, from, size);
    errno = EOPNOTSUPP;
    return -1;
}

static int ends_with(const char *path, const char *end) {
    size_t length = strlen(path), last = strlen(end);
    return length >= last && !strcmp(path + length - last, end);
}

/* The index of a WAL is a cache that whoever opens it first makes anew. */
void *mmap(void *where, size_t size, int may, int flags, int fd, off_t at) {
    REAL(mmap);
    struct stat is;
    char path[PATH_MAX];
    if (fd >= 0 && (flags & MAP_SHARED) && (may & PROT_WRITE) && is_watched(fd, &is, path) && !ends_with(path, "-shm")) abort();
    return real(where, size, may, flags, fd, at);
}

static int flush(int fd, int (*real)(int)) {
    struct stat is;
    char path[PATH_MAX];
    if (!is_watched(fd, &is, path)) return real(fd);
    struct record record = {.kind = FLUSH, .file = is.st_ino, .number = atomic_fetch_add(&numbers, 1) + 1};
    pthread_mutex_t *lock = S_ISDIR(is.st_mode) ? &names : lock_of(&is);
    if (lock == &names) pthread_mutex_lock(lock);
    write_down(record, path, NULL, NULL);
    pthread_mutex_unlock(lock);
    if (control->lies && ends_with(path, control->about)) return 0;
    int flushed = real(fd);
    record.kind = FLUSHED;
    if (!flushed) write_down(record, path, NULL, NULL);
    return flushed;
}

int fsync(int fd) { REAL(fsync); return flush(fd, real); }
int fdatasync(int fd) { REAL(fdatasync); return flush(fd, real); }

/* A name in this folder: absolute, as everything below the folder is named. */
static const char *name_in(int at, const char *name, char buffer[PATH_MAX]) {
    if (!control) return NULL;
    if (*name != '/') {
        char folder[PATH_MAX];
        if (at == AT_FDCWD || !path_of(at, folder)) return NULL;
        if (snprintf(buffer, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX) abort();
        name = buffer;
    }
    return is_below(name, control->below) ? name : NULL;
}

static int open_at(int at, const char *name, int flags, mode_t mode) {
    REAL(openat);
    char buffer[PATH_MAX];
    const char *path = flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR) ? name_in(at, name, buffer) : NULL;
    if (!path) return real(at, name, flags, mode);
    /* The bytes before a write are read through the same descriptor: one of our own, once closed,
     * would take every lock of this process on the file along. */
    if ((flags & O_ACCMODE) == O_WRONLY) flags = (flags & ~O_ACCMODE) | O_RDWR;
    struct stat is;
    pthread_mutex_lock(&names);
    int was_there = !stat(path, &is);
    int fd = real(at, name, flags & ~O_TRUNC, mode);
    if (fd >= 0 && !was_there) {
        if (fstat(fd, &is)) abort();
        write_down((struct record){.kind = MADE, .file = is.st_ino}, path, NULL, NULL);
    }
    pthread_mutex_unlock(&names);
    if (fd >= 0 && was_there && (flags & O_TRUNC) && ftruncate(fd, 0)) abort();
    return fd;
}

int open(const char *name, int flags, ...) { MODE(flags); return open_at(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags); return open_at(AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE(flags); return open_at(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE(flags); return open_at(at, name, flags, mode); }

/* A file that is about to lose its name gets another, outside. */
static uint64_t keep(const char *path) {
    struct stat is;
    char other[PATH_MAX];
    if (lstat(path, &is) || S_ISDIR(is.st_mode)) return 0;
    uint64_t number = atomic_fetch_add(&numbers, 1) + 1;
    snprintf(other, sizeof other, "%s/%llu", control->kept, (unsigned long long)number);
    if (link(path, other)) abort();
    return number;
}

#define NAMED(kind_of, one, other, number_of, call) \
    do { \
        pthread_mutex_lock(&names); \
        write_down((struct record){.kind = kind_of, .number = number_of}, one, other, NULL); \
        int done = call; \
        pthread_mutex_unlock(&names); \
        return done; \
    } while (0)

int renameat(int one, const char *from, int other, const char *to) {
    REAL(renameat);
    char buffers[2][PATH_MAX];
    const char *old = name_in(one, from, buffers[0]), *new = name_in(other, to, buffers[1]);
    if (!old && !new) return real(one, from, other, to);
    if (!old || !new) abort();
    NAMED(RENAMED, old, new, keep(new), real(one, from, other, to));
}

int renameat2(int one, const char *from, int other, const char *to, unsigned flags) {
    if (control && (flags & RENAME_EXCHANGE)) abort();
    struct stat is;
    if ((flags & RENAME_NOREPLACE) && !fstatat(other, to, &is, AT_SYMLINK_NOFOLLOW)) {
        errno = EEXIST;
        return -1;
    }
    return renameat(one, from, other, to);
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int at, const char *name, int flags) {
    REAL(unlinkat);
    char buffer[PATH_MAX];
    const char *path = name_in(at, name, buffer);
    struct stat is;
    if (!path || lstat(path, &is)) return real(at, name, flags);
    NAMED(flags & AT_REMOVEDIR ? FOLDER_REMOVED : REMOVED, path, NULL, keep(path), real(at, name, flags));
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdir(const char *name, mode_t mode) {
    REAL(mkdir);
    struct stat is;
    char buffer[PATH_MAX];
    const char *path = name_in(AT_FDCWD, name, buffer);
    if (!path || !lstat(path, &is)) return real(name, mode);
    NAMED(FOLDER_MADE, path, NULL, 0, real(name, mode));
}

int linkat(int one, const char *from, int other, const char *to, int flags) {
    REAL(linkat);
    char buffer[PATH_MAX];
    if (name_in(other, to, buffer)) abort();
    return real(one, from, other, to, flags);
}
