/* SPDX-License-Identifier: Apache-2.0 */
/* See powercap.h. Zones are known by the text in their name file, never by number; counters are
 * microjoules that wrap at max_energy_range_uj (Linux Documentation/power/powercap). */
#include "harness/energy/powercap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

static const char default_root[] = "/sys/class/powercap";
static const char default_cpuinfo[] = "/proc/cpuinfo";

struct zone {
    char *path; /* of energy_uj, owned */
    char name[64];
    bool counted;
    uint64_t range_uj, last_uj;
    double joules;
};

struct jm_meter {
    struct zone zone[JM_METER_DOMAINS];
    uint32_t n, wraps;
};

/* A small text file without its final newline. Returns 0 or an errno. */
static int text_read(const char *path, char *buf, size_t size)
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

static bool number_parse(const char *text, uint64_t *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    *out = v;
    return errno == 0 && *end == '\0';
}

static jm_status number_read(const char *path, uint64_t *out, jm_err *err)
{
    char text[64];
    int e = text_read(path, text, sizeof text);

    if (e == EACCES || e == EPERM)
        return jm_fail(err, JM_EIO,
                       "%s: no permission; run as root, or allow it with: chmod a+r %s", path,
                       path);
    if (e != 0)
        return jm_fail(err, JM_EIO, "%s: %s", path, strerror(e));
    if (!number_parse(text, out))
        return jm_fail(err, JM_EINPUT, "%s: '%.20s' is not a number", path, text);
    return JM_OK;
}

/* Text of ROOT/DIR/FILE; empty when there is none. */
static void zone_text(const char *root, const char *dir, const char *file, char *buf, size_t size)
{
    char *path = jm_asprintf("%s/%s/%s", root, dir, file);

    buf[0] = '\0';
    if (path && text_read(path, buf, size) != 0)
        buf[0] = '\0';
    free(path);
}

/* "package-0", or "package-0/dram" for a zone inside another. False without a name. */
static bool zone_name(const char *root, const char *dir, char *out, size_t size)
{
    char own[32], parent[28] = "", up[64];
    const char *first = strchr(dir, ':'), *last = strrchr(dir, ':');

    zone_text(root, dir, "name", own, sizeof own);
    if (own[0] == '\0')
        return false;
    if (first && last != first && (size_t)(last - dir) < sizeof up) {
        memcpy(up, dir, (size_t)(last - dir));
        up[last - dir] = '\0';
        zone_text(root, up, "name", parent, sizeof parent);
    }
    snprintf(out, size, "%s%s%s", parent, parent[0] ? "/" : "", own);
    return true;
}

static bool zone_known(const jm_meter *m, const char *name)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (strcmp(m->zone[i].name, name) == 0)
            return true;
    return false;
}

static jm_status zone_add(jm_meter *m, const char *root, const char *dir, jm_err *err)
{
    char name[64], range[64];

    /* The memory-mapped interface shows the same domains again. */
    if (!zone_name(root, dir, name, sizeof name) || zone_known(m, name))
        return JM_OK;
    if (m->n == JM_METER_DOMAINS)
        return jm_fail(err, JM_EUNSUPPORTED, "%s: more than %d zones", root, JM_METER_DOMAINS);
    struct zone *z = &m->zone[m->n];
    snprintf(z->name, sizeof z->name, "%s", name);
    zone_text(root, dir, "max_energy_range_uj", range, sizeof range);
    if (!number_parse(range, &z->range_uj))
        z->range_uj = 0;
    z->path = jm_asprintf("%s/%s/energy_uj", root, dir);
    if (!z->path)
        return jm_fail(err, JM_ENOMEM, "no memory for the zones of %s", root);
    m->n++;
    return JM_OK;
}

static int keep_rapl(const struct dirent *d)
{
    return strncmp(d->d_name, "intel-rapl", 10) == 0 && strchr(d->d_name, ':') != NULL;
}

/* All zones, those of the MSR interface first. */
static jm_status zones_find(jm_meter *m, const char *root, jm_err *err)
{
    struct dirent **list;
    int n = scandir(root, &list, keep_rapl, alphasort);
    jm_status st = JM_OK;

    if (n < 0)
        return JM_OK; /* no folder: no zones, the caller says so */
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n && st == JM_OK; i++)
            if ((strncmp(list[i]->d_name, "intel-rapl:", 11) == 0) == (pass == 0))
                st = zone_add(m, root, list[i]->d_name, err);
    for (int i = 0; i < n; i++)
        free(list[i]);
    free(list);
    return st;
}

static bool name_ends(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

/* Packages and their memory; without a package the whole platform. Core and uncore lie inside a
 * package, and the platform counter covers all of it. */
static bool zones_choose(jm_meter *m)
{
    bool package = false, any = false;

    for (uint32_t i = 0; i < m->n; i++)
        package |= strncmp(m->zone[i].name, "package-", 8) == 0;
    for (uint32_t i = 0; i < m->n; i++) {
        struct zone *z = &m->zone[i];
        bool nested = strchr(z->name, '/') != NULL;
        if (package)
            z->counted = (!nested && strncmp(z->name, "package-", 8) == 0) ||
                         strcmp(z->name, "dram") == 0 || name_ends(z->name, "/dram");
        else
            z->counted = strcmp(z->name, "psys") == 0;
        any |= z->counted;
    }
    return any;
}

/* First readings. A zone outside the sum that cannot be read is dropped. */
static jm_status zones_start(jm_meter *m, jm_err *err)
{
    for (uint32_t i = 0; i < m->n;) {
        struct zone *z = &m->zone[i];
        jm_status st = number_read(z->path, &z->last_uj, z->counted ? err : NULL);
        if (st == JM_OK) {
            i++;
        } else if (z->counted) {
            return st;
        } else {
            free(z->path);
            memmove(z, z + 1, (m->n - i - 1) * sizeof *z);
            m->n--;
        }
    }
    return JM_OK;
}

static bool is_virtual(const char *cpuinfo)
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

static void powercap_close(jm_meter *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n; i++)
        free(m->zone[i].path);
    free(m);
}

static jm_status powercap_open(const struct jm_meter_config *config, jm_meter **out, jm_err *err)
{
    const char *root = config && config->root ? config->root : default_root;
    const char *cpuinfo = config && config->cpuinfo ? config->cpuinfo : default_cpuinfo;
    jm_meter *m = calloc(1, sizeof *m);

    *out = NULL;
    if (!m)
        return jm_fail(err, JM_ENOMEM, "no memory for an energy meter");
    jm_status st = zones_find(m, root, err);
    if (st == JM_OK && m->n == 0)
        st = jm_fail(err, JM_EUNSUPPORTED, "%s: no RAPL zones (%s)", root,
                     is_virtual(cpuinfo) ? "virtual machine"
                                         : "no such counter, or kernel module intel_rapl_msr "
                                           "is not loaded");
    if (st == JM_OK && !zones_choose(m))
        st = jm_fail(err, JM_EUNSUPPORTED, "%s: neither a package nor a psys zone", root);
    if (st == JM_OK)
        st = zones_start(m, err);
    if (st != JM_OK) {
        powercap_close(m);
        return st;
    }
    *out = m;
    return JM_OK;
}

static uint32_t powercap_count(const jm_meter *m)
{
    return m->n;
}

static void powercap_domain(const jm_meter *m, uint32_t i, struct jm_meter_domain *out)
{
    const struct zone *z = &m->zone[i];

    *out = (struct jm_meter_domain){ .counted = z->counted, .range_j = (double)z->range_uj * 1e-6 };
    snprintf(out->name, sizeof out->name, "%s", z->name);
}

static jm_status zone_step(jm_meter *m, struct zone *z, jm_err *err)
{
    uint64_t now_uj;
    jm_status st = number_read(z->path, &now_uj, err);

    if (st != JM_OK)
        return st;
    if (z->range_uj != 0 && now_uj > z->range_uj)
        return jm_fail(err, JM_EDEVICE, "%s: the counter is above its range", z->path);
    uint64_t d = now_uj - z->last_uj;
    if (now_uj < z->last_uj) {
        if (z->range_uj == 0)
            return jm_fail(err, JM_EDEVICE, "%s: the counter went backwards", z->path);
        d = z->range_uj - z->last_uj + now_uj;
        m->wraps++;
    }
    z->last_uj = now_uj;
    z->joules += (double)d * 1e-6;
    return JM_OK;
}

static jm_status powercap_read(jm_meter *m, double *joules, uint32_t *wraps, jm_err *err)
{
    jm_status first = JM_OK;

    for (uint32_t i = 0; i < m->n; i++) {
        struct zone *z = &m->zone[i];
        jm_status st = zone_step(m, z, z->counted ? err : NULL);
        if (st != JM_OK && z->counted && first == JM_OK)
            first = st;
        joules[i] = z->joules;
    }
    *wraps = m->wraps;
    return first;
}

/* The files count microjoules; the hardware's own step, 15 to 61 of them, is hidden. */
static double powercap_resolution(const jm_meter *m)
{
    (void)m;
    return 61e-6;
}

const struct jm_meter_ops jm_powercap_ops = {
    .name = "powercap",
    .summary = "RAPL counters of the processor through /sys/class/powercap",
    .scope = "chip",
    .update_s = 0.001,
    .open = powercap_open,
    .close = powercap_close,
    .count = powercap_count,
    .domain = powercap_domain,
    .read = powercap_read,
    .resolution_j = powercap_resolution,
};
