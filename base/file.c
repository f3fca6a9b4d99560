/* SPDX-License-Identifier: Apache-2.0 */
/* See file.h. The order write, fsync, rename, fsync of the folder is what makes a file appear
 * whole after a crash (POSIX rename is atomic only among names, not contents). */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

char *jm_asprintf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return NULL;
    char *s = malloc((size_t)n + 1);
    if (!s)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

char *jm_beside_program(const char *rest)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0)
        return NULL;
    exe[n] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(exe, '/');
        if (!slash)
            return NULL;
        *slash = '\0';
    }
    return jm_asprintf("%s/%s", exe, rest);
}

jm_status jm_map_open(const char *path, jm_map *out, jm_err *err)
{
    jm_status st = JM_OK;
    *out = (jm_map){ 0 };
    /* Not blocking: a FIFO would be waited for until someone writes into it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return jm_fail(err, errno == ENOENT ? JM_ENOTFOUND : JM_EIO, "%s: %s", path,
                       strerror(errno));
    struct stat sb;
    if (fstat(fd, &sb) != 0) {
        st = jm_fail(err, JM_EIO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(sb.st_mode)) {
        st = jm_fail(err, JM_EIO, "%s: not a regular file", path);
    } else if (sb.st_size > 0) {
        void *p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            st = jm_fail(err, JM_EIO, "%s: cannot map: %s", path, strerror(errno));
        else
            *out = (jm_map){ .data = p, .bytes = (size_t)sb.st_size };
    }
    close(fd);
    return st;
}

void jm_map_close(jm_map *map)
{
    if (map && map->data)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    if (map)
        *map = (jm_map){ 0 };
}

/* The folder that path is in; malloc'd. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

/* A file without a name, which commit can give it one through /proc; NULL: there are none here. */
static FILE *open_unnamed(const char *path)
{
    char *dir = folder_of(path);
    int fd = dir && access("/proc/self/fd", X_OK) == 0
                 ? open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666)
                 : -1;
    free(dir);
    FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (fd >= 0 && !f)
        close(fd);
    return f;
}

/* False: errno says why. A file that a process with our number left is no reason to fail. */
static bool give_name(const jm_writer *w)
{
    char *fd = jm_asprintf("/proc/self/fd/%d", fileno(w->f));
    bool ok = fd && (unlink(w->tmp) == 0 || errno == ENOENT) &&
              linkat(AT_FDCWD, fd, AT_FDCWD, w->tmp, AT_SYMLINK_FOLLOW) == 0;
    int cause = errno;
    free(fd);
    errno = cause;
    return ok;
}

/* The file that path leads to, through links: renaming would replace a link itself. malloc'd. */
static char *end_of_links(const char *path)
{
    char *end = realpath(path, NULL);
    return end ? end : strdup(path);
}

jm_status jm_writer_open(const char *path, jm_writer *w, jm_err *err)
{
    struct stat sb;
    *w = (jm_writer){ 0 };
    /* Renaming would replace a device or a FIFO by a file. */
    if (stat(path, &sb) == 0 && !S_ISREG(sb.st_mode))
        return jm_fail(err, JM_EIO, "%s: not a regular file", path);
    w->path = end_of_links(path);
    w->tmp = w->path ? jm_asprintf("%s.tmp-%ld", w->path, (long)getpid()) : NULL;
    if (!w->tmp) {
        jm_writer_abort(w);
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    }
    w->f = open_unnamed(w->path);
    if (!w->f) {
        w->f = fopen(w->tmp, "wbe");
        w->named = w->f != NULL;
    }
    if (!w->f) {
        int e = errno;
        jm_writer_abort(w);
        return jm_fail(err, JM_EIO, "%s: cannot write: %s", path, strerror(e));
    }
    return JM_OK;
}

/* Makes the rename itself durable. Some file systems refuse fsync on a folder; the file's data
 * are safe by then, so that is not a failure. */
static void sync_folder_of(const char *path)
{
    char *dir = folder_of(path);
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(dir);
}

int jm_lock_beside(const char *path)
{
    char *end = end_of_links(path);
    char *dir = end ? folder_of(end) : NULL;
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(dir);
    free(end);
    while (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            close(fd);
            fd = -1;
        }
    }
    return fd;
}

size_t jm_byte_order_mark(const void *text, size_t bytes)
{
    return bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

jm_status jm_writer_commit(jm_writer *w, jm_err *err)
{
    errno = 0;
    /* Flushed first: where an earlier write failed, this one says why. */
    bool ok = fflush(w->f) == 0 && !ferror(w->f) && fsync(fileno(w->f)) == 0;
    if (ok && !w->named)
        ok = w->named = give_name(w);
    int cause = errno;
    if (fclose(w->f) != 0 && ok) {
        ok = false;
        cause = errno;
    }
    w->f = NULL;
    if (ok && rename(w->tmp, w->path) != 0) {
        ok = false;
        cause = errno;
    }
    if (!ok) {
        jm_status st = jm_fail(err, JM_EIO, "%s: cannot write: %s", w->path,
                               cause ? strerror(cause) : "is the disk full?");
        jm_writer_abort(w);
        return st;
    }
    sync_folder_of(w->path);
    w->named = false; /* renamed away: not to be unlinked */
    jm_writer_abort(w);
    return JM_OK;
}

void jm_writer_abort(jm_writer *w)
{
    if (w->f)
        fclose(w->f);
    if (w->named)
        unlink(w->tmp);
    free(w->tmp);
    free(w->path);
    *w = (jm_writer){ 0 };
}

jm_status jm_write_file(const char *path, const void *data, size_t bytes, jm_err *err)
{
    jm_writer w;
    jm_status st = jm_writer_open(path, &w, err);
    if (st != JM_OK)
        return st;
    fwrite(data, 1, bytes, w.f);
    return jm_writer_commit(&w, err);
}

jm_status jm_make_dirs(const char *path, jm_err *err)
{
    char *p = strdup(path);
    if (!p)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    jm_status st = JM_OK;
    for (char *s = p + 1; st == JM_OK; s++) {
        if (*s != '/' && *s != '\0')
            continue;
        char c = *s;
        *s = '\0';
        struct stat sb;
        if (mkdir(p, 0777) != 0 && errno != EEXIST)
            st = jm_fail(err, JM_EIO, "%s: cannot create folder: %s", p, strerror(errno));
        else if (stat(p, &sb) == 0 && !S_ISDIR(sb.st_mode))
            st = jm_fail(err, JM_EIO, "%s: exists and is not a folder", p);
        *s = c;
        if (c == '\0')
            break;
    }
    free(p);
    return st;
}

void jm_remove_folder(const char *path)
{
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
        (void)unlinkat(dirfd(d), e->d_name, 0); /* refuses "." and ".." */
    if (d)
        (void)closedir(d);
    (void)rmdir(path);
}
