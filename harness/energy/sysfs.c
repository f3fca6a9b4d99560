/* SPDX-License-Identifier: Apache-2.0 */
/* See sysfs.h. */
#include "harness/energy/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/number.h"

int jm_sysfs_text(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), e = 0;

    buf[0] = '\0';
    if (fd < 0)
        return errno;
    ssize_t n = read(fd, buf, size - 1);
    if (n < 0) {
        e = errno;
        n = 0;
    }
    close(fd);
    buf[n] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    return e;
}

void jm_sysfs_text_in(const char *dir, const char *file, char *buf, size_t size)
{
    char *path = jm_asprintf("%s/%s", dir, file);

    buf[0] = '\0';
    if (path && jm_sysfs_text(path, buf, size) != 0)
        buf[0] = '\0';
    free(path);
}

static jm_status line_read(const char *path, char *text, size_t size, jm_err *err)
{
    int e = jm_sysfs_text(path, text, size);

    if (e == EACCES || e == EPERM)
        return jm_fail(err, JM_EIO,
                       "%s: no permission; run as root, or allow it until the next start of the "
                       "system with: sudo chmod a+r %s",
                       path, path);
    if (e != 0)
        return jm_fail(err, JM_EIO, "%s: %s", path, strerror(e));
    return JM_OK;
}

jm_status jm_sysfs_u64(const char *path, uint64_t *out, jm_err *err)
{
    char text[64];
    jm_status st = line_read(path, text, sizeof text, err);

    if (st == JM_OK && !jm_number_u64(text, 0, UINT64_MAX, out))
        st = jm_fail(err, JM_EINPUT, "%s: '%.20s' is not a number", path, text);
    return st;
}

jm_status jm_sysfs_i64(const char *path, int64_t *out, jm_err *err)
{
    char text[64];
    jm_status st = line_read(path, text, sizeof text, err);

    if (st == JM_OK && !jm_number_i64(text, INT64_MIN, INT64_MAX, out))
        st = jm_fail(err, JM_EINPUT, "%s: '%.20s' is not a number", path, text);
    return st;
}

bool jm_sysfs_is_virtual(const char *cpuinfo)
{
    char line[8192];
    bool found = false;
    FILE *f = fopen(cpuinfo, "re");

    if (!f)
        return false;
    while (!found && fgets(line, sizeof line, f))
        found = strncmp(line, "flags", 5) == 0 && strstr(line, " hypervisor") != NULL;
    fclose(f);
    return found;
}
