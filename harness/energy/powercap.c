/* SPDX-License-Identifier: Apache-2.0 */
/* See powercap.h. Zones are known by the text in their name file, never by number; counters are
 * microjoules that wrap at max_energy_range_uj (Linux Documentation/power/powercap). */
#include "harness/energy/powercap.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "harness/energy/sysfs.h"

struct zone {
    char *path; /* of energy_uj, owned */
    struct jm_meter_domain d;
    uint64_t range_uj, last_uj;
    double joules;
};

struct jm_meter {
    struct zone zone[JM_METER_DOMAINS];
    uint32_t n, wraps;
};

/* "package-0", or "package-0/dram" for a zone inside another. False without a name. */
static bool zone_name(const char *root, const char *dir, char *out, size_t size)
{
    char own[32], parent[28] = "", up[64], *path = jm_asprintf("%s/%s", root, dir);
    const char *first = strchr(dir, ':'), *last = strrchr(dir, ':');

    own[0] = '\0';
    if (path)
        jm_sysfs_text_in(path, "name", own, sizeof own);
    free(path);
    if (own[0] == '\0')
        return false;
    if (first && last != first && (size_t)(last - dir) < sizeof up) {
        memcpy(up, dir, (size_t)(last - dir));
        up[last - dir] = '\0';
        path = jm_asprintf("%s/%s", root, up);
        if (path)
            jm_sysfs_text_in(path, "name", parent, sizeof parent);
        free(path);
    }
    snprintf(out, size, "%s%s%s", parent, parent[0] ? "/" : "", own);
    return true;
}

static int zone_find(const jm_meter *m, const char *name)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (strcmp(m->zone[i].d.name, name) == 0)
            return (int)i;
    return -1;
}

static jm_status zone_add(jm_meter *m, const char *root, const char *dir, jm_err *err)
{
    char name[64], range[64];

    /* The memory-mapped interface shows the same domains again. */
    if (!zone_name(root, dir, name, sizeof name) || zone_find(m, name) >= 0)
        return JM_OK;
    if (m->n == JM_METER_DOMAINS)
        return jm_fail(err, JM_EUNSUPPORTED, "%s: more than %d zones", root, JM_METER_DOMAINS);
    struct zone *z = &m->zone[m->n];
    /* The files count microjoules; the hardware's own step, 15 to 61 of them, is hidden. */
    z->d = (struct jm_meter_domain){ .kind = JM_METER_COUNTER, .parent = -1, .step = 61e-6 };
    snprintf(z->d.name, sizeof z->d.name, "%s", name);
    z->path = jm_asprintf("%s/%s/energy_uj", root, dir);
    char *folder = jm_asprintf("%s/%s", root, dir);
    if (!z->path || !folder) {
        free(z->path);
        free(folder);
        return jm_fail(err, JM_ENOMEM, "no memory for the zones of %s", root);
    }
    jm_sysfs_text_in(folder, "max_energy_range_uj", range, sizeof range);
    if (!jm_number_u64(range, 0, UINT64_MAX, &z->range_uj))
        z->range_uj = 0;
    z->d.range_j = (double)z->range_uj * 1e-6;
    free(folder);
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

static bool zone_is(const struct zone *z, const char *word)
{
    const char *own = strrchr(z->d.name, '/');
    return strcmp(own ? own + 1 : z->d.name, word) == 0;
}

static bool zone_is_package(const struct zone *z)
{
    return strncmp(z->d.name, "package-", 8) == 0 && strchr(z->d.name, '/') == NULL;
}

/* Packages and their memory are counted; without a package the whole platform. Core and uncore lie
 * inside a package, memory beside it; the platform counter, psys, covers all of them. */
static bool zones_choose(jm_meter *m)
{
    bool package = false, any = false;
    int psys = zone_find(m, "psys");

    for (uint32_t i = 0; i < m->n; i++)
        package |= zone_is_package(&m->zone[i]);
    for (uint32_t i = 0; i < m->n; i++) {
        struct zone *z = &m->zone[i];
        const char *slash = strchr(z->d.name, '/');
        char up[sizeof z->d.name];
        bool dram = zone_is(z, "dram"), is_psys = (int)i == psys;
        snprintf(up, sizeof up, "%.*s", slash ? (int)(slash - z->d.name) : 0, z->d.name);
        z->d.parent = is_psys ? -1 : (slash && !dram) ? zone_find(m, up) : psys;
        z->d.scope = is_psys ? JM_SCOPE_BOARD : JM_SCOPE_CHIP;
        z->d.counted = package ? zone_is_package(z) || dram : is_psys;
        any |= z->d.counted;
    }
    return any;
}

/* Takes zone i out; what it contained is then contained in what contained it. */
static void zone_drop(jm_meter *m, uint32_t i)
{
    int up = m->zone[i].d.parent;

    free(m->zone[i].path);
    memmove(&m->zone[i], &m->zone[i + 1], (m->n - i - 1) * sizeof m->zone[0]);
    m->n--;
    for (uint32_t k = 0; k < m->n; k++) {
        int *parent = &m->zone[k].d.parent;
        *parent = *parent == (int)i ? up : *parent;
        *parent -= *parent > (int)i;
    }
}

/* First readings. A zone outside the sum that cannot be read is dropped. */
static jm_status zones_start(jm_meter *m, jm_err *err)
{
    for (uint32_t i = 0; i < m->n;) {
        struct zone *z = &m->zone[i];
        jm_status st = jm_sysfs_u64(z->path, &z->last_uj, z->d.counted ? err : NULL);
        if (st == JM_OK)
            i++;
        else if (z->d.counted)
            return st;
        else
            zone_drop(m, i);
    }
    return JM_OK;
}

static void powercap_close(jm_meter *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n; i++)
        free(m->zone[i].path);
    free(m);
}

static jm_status no_zones(const char *root, const char *dir, jm_err *err)
{
    char *cpuinfo = jm_asprintf("%s/proc/cpuinfo", root);
    bool virtual = cpuinfo && jm_sysfs_is_virtual(cpuinfo);

    free(cpuinfo);
    return jm_fail(err, JM_EUNSUPPORTED, "%s: no RAPL zones (%s)", dir,
                   virtual ? "virtual machine"
                           : "no such counter, or kernel module intel_rapl_msr is not loaded");
}

static jm_status powercap_open(const struct jm_meter_config *config, jm_meter **out, jm_err *err)
{
    const char *root = config && config->root ? config->root : "";
    char *dir = jm_asprintf("%s/sys/class/powercap", root);
    jm_meter *m = calloc(1, sizeof *m);

    *out = NULL;
    jm_status st =
        m && dir ? JM_OK : jm_fail(err, JM_ENOMEM, "powercap: no memory for an energy meter");
    if (st == JM_OK)
        st = zones_find(m, dir, err);
    if (st == JM_OK && m->n == 0)
        st = no_zones(root, dir, err);
    if (st == JM_OK && !zones_choose(m))
        st = jm_fail(err, JM_EUNSUPPORTED, "%s: neither a package nor a psys zone", dir);
    if (st == JM_OK)
        st = zones_start(m, err);
    free(dir);
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
    *out = m->zone[i].d;
}

static jm_status zone_step(jm_meter *m, struct zone *z, jm_err *err)
{
    uint64_t now_uj;
    jm_status st = jm_sysfs_u64(z->path, &now_uj, err);

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

static jm_status powercap_read(jm_meter *m, double *value, uint32_t *wraps, jm_err *err)
{
    jm_status first = JM_OK;

    for (uint32_t i = 0; i < m->n; i++) {
        struct zone *z = &m->zone[i];
        jm_status st = zone_step(m, z, z->d.counted ? err : NULL);
        if (st != JM_OK && z->d.counted && first == JM_OK)
            first = st;
        value[i] = z->joules;
    }
    *wraps = m->wraps;
    return first;
}

const struct jm_meter_ops jm_powercap_ops = {
    .name = "powercap",
    .summary = "RAPL counters of the processor through /sys/class/powercap",
    .update_s = 0.001,
    .open = powercap_open,
    .close = powercap_close,
    .count = powercap_count,
    .domain = powercap_domain,
    .read = powercap_read,
};
