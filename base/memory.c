/* SPDX-License-Identifier: Apache-2.0 */
/* See memory.h. */
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/number.h"

/* How a version of cgroups calls its files. */
struct group_files {
    const char *below, *limit, *use, *files;
};

static const struct group_files version1 = { .below = "/memory",
                                             .limit = "memory.limit_in_bytes",
                                             .use = "memory.usage_in_bytes",
                                             .files = "total_cache" };
static const struct group_files version2 = {
    .below = "", .limit = "memory.max", .use = "memory.current", .files = "file"
};

static FILE *open_at(const char *root, const char *dir, const char *name)
{
    char *path = jm_asprintf("%s%s/%s", root, dir, name);
    FILE *f = path ? fopen(path, "re") : NULL;
    free(path);
    return f;
}

/* "   123 kB" */
static bool number_in(const char *s, uint64_t *out)
{
    const char *end;
    return jm_number_begins_u64(s + strspn(s, " \t"), out, &end);
}

/* The number behind key and a space or colon at the beginning of a line; key "": the file's first
 * line. false: it is not there, or is no number, as "max". */
static bool read_number(const char *root, const char *dir, const char *name, const char *key,
                        uint64_t *out)
{
    FILE *f = open_at(root, dir, name);
    char line[256];
    bool found = false;
    size_t n = strlen(key);
    while (f && !found && fgets(line, sizeof line, f)) {
        if (n == 0 || (strncmp(line, key, n) == 0 && (line[n] == ' ' || line[n] == ':')))
            found = number_in(line + n + (n > 0), out);
        if (n == 0)
            break;
    }
    if (f)
        fclose(f);
    return found;
}

static void lower(struct jm_memory_room *room, bool *known, uint64_t bytes, const char *limit)
{
    if (!*known || bytes < room->bytes)
        *room = (struct jm_memory_room){ .bytes = bytes, .limit = limit };
    *known = true;
}

/* One group and all around it. path: its own, from the top, "/a/b"; changed. */
static void ask_groups(const char *root, char *path, const struct group_files *v,
                       struct jm_memory_room *room, bool *known)
{
    for (;;) {
        char *dir = jm_asprintf("/sys/fs/cgroup%s%s", v->below, path);
        uint64_t limit, use, files = 0;
        if (dir && read_number(root, dir, v->limit, "", &limit) &&
            read_number(root, dir, v->use, "", &use)) {
            (void)read_number(root, dir, "memory.stat", v->files, &files);
            use -= files < use ? files : use;
            lower(room, known, limit > use ? limit - use : 0, "cgroup");
        }
        free(dir);
        char *slash = strrchr(path, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* Lines are NUMBER:CONTROLLERS:PATH; in version 2 there are no controllers. */
static void ask_cgroups(const char *root, struct jm_memory_room *room, bool *known)
{
    FILE *f = open_at(root, "/proc/self", "cgroup");
    char line[4096];
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'),
             *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        if (strcmp(controllers, ":") == 0)
            ask_groups(root, path, &version2, room, known);
        else if (strstr(controllers, "memory"))
            ask_groups(root, path, &version1, room, known);
    }
    if (f)
        fclose(f);
}

bool jm_memory_room(const char *root, struct jm_memory_room *out)
{
    uint64_t kb, pages = 0;
    struct rlimit space;
    bool known = false;
    *out = (struct jm_memory_room){ 0 };
    if (read_number(root, "/proc", "meminfo", "MemAvailable", &kb) && kb <= UINT64_MAX / 1024)
        lower(out, &known, kb * 1024, "MemAvailable");
    ask_cgroups(root, out, &known);
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
        (void)read_number("", "/proc/self", "statm", "", &pages);
        uint64_t used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
        lower(out, &known, space.rlim_cur > used ? space.rlim_cur - used : 0,
              "address space (ulimit -v)");
    }
    return known;
}
