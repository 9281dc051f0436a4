/* What the libraries have in common that are preloaded into `tongban serve` (see preload.rs). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The call of the C library behind ours. */
#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* The third argument of `open`, which is there only when a file may be made. */
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

/* The steering file that this variable names, written by the test while the gateway runs; NULL for
 * a process that was given none. */
static void *steering(const char *variable, size_t size) {
    const char *file = getenv(variable);
    if (!file) return NULL;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) abort();
    close(fd);
    return map;
}

/* The path of an open file, or NULL. */
static const char *path_of(int fd, char buffer[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0) return NULL;
    buffer[length] = 0;
    return buffer;
}

/* `folder` without a last slash. */
static int is_below(const char *path, const char *folder) {
    size_t prefix = strlen(folder);
    return !strncmp(path, folder, prefix) && (path[prefix] == '/' || !path[prefix]);
}
