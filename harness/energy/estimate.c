/* SPDX-License-Identifier: Apache-2.0 */
/* See estimate.h. P = packages * (idle_w + (max_w - idle_w) * u), u the share of processor time
 * that /proc/stat says was not idle. The model file is INI: idle_w, max_w, and packages (1). */
#include "harness/energy/estimate.h"

#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"

struct jm_meter {
    char *stat; /* path, owned */
    double idle_w, max_w, packages, joules;
    uint64_t busy, total; /* ticks at the last reading */
    int64_t last_ns;
};

struct parse {
    jm_meter *m;
    const char *path;
    bool seen[3];
    jm_err *err;
    jm_status st;
};

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct parse *p = user;
    double *const field[] = { &p->m->idle_w, &p->m->max_w, &p->m->packages };
    static const char *const key[] = { "idle_w", "max_w", "packages" };

    (void)section;
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(name, key[i]) != 0)
            continue;
        if (p->seen[i] || !jm_number_real(value, 0.0, 1e5, field[i])) {
            p->st = jm_fail(p->err, JM_EINPUT, "%s: %s must be given once, a number from 0 to 1e5",
                            p->path, name);
            return 0;
        }
        p->seen[i] = true;
        return 1;
    }
    p->st = jm_fail(p->err, JM_EINPUT, "%s: unknown key '%.32s'; known: idle_w, max_w, packages",
                    p->path, name);
    return 0;
}

static jm_status model_read(jm_meter *m, const char *path, jm_err *err)
{
    struct parse p = { .m = m, .path = path, .err = err, .st = JM_OK };
    jm_map map;
    jm_status st = jm_map_open(path, &map, err);

    if (st != JM_OK)
        return st;
    m->packages = 1.0;
    char *text = strndup(map.bytes ? (const char *)map.data : "", map.bytes);
    int rc = text ? ini_parse_string(text, on_key, &p) : 0;
    free(text);
    jm_map_close(&map);
    if (!text)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    if (p.st != JM_OK)
        return p.st;
    if (rc != 0)
        return jm_fail(err, JM_EINPUT, "%s:%d: neither [section] nor key = value", path, rc);
    if (!p.seen[0] || !p.seen[1] || !(m->max_w > m->idle_w) || !(m->packages >= 1.0))
        return jm_fail(err, JM_EINPUT, "%s: needs idle_w and a higher max_w, packages from 1",
                       path);
    return JM_OK;
}

/* First line: "cpu" and ticks of user, nice, system, idle, iowait, irq, softirq, steal. */
static jm_status ticks(const jm_meter *m, uint64_t *busy, uint64_t *total, jm_err *err)
{
    unsigned long long t[8] = { 0 };
    FILE *f = fopen(m->stat, "re");
    int n = 0;

    if (f) {
        n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
                   &t[4], &t[5], &t[6], &t[7]);
        fclose(f);
    }
    if (n < 4)
        return jm_fail(err, JM_EIO, "%s: no processor times", m->stat);
    *total = 0;
    for (int i = 0; i < 8; i++)
        *total += t[i];
    *busy = *total - t[3] - t[4];
    return JM_OK;
}

static void estimate_close(jm_meter *m)
{
    if (!m)
        return;
    free(m->stat);
    free(m);
}

static jm_status estimate_open(const struct jm_meter_config *config, jm_meter **out, jm_err *err)
{
    *out = NULL;
    if (!config || !config->path)
        return jm_fail(err, JM_EUNSUPPORTED, "estimate: give a power model, as estimate=FILE.ini");
    jm_meter *m = calloc(1, sizeof *m);
    if (!m)
        return jm_fail(err, JM_ENOMEM, "estimate: no memory for a meter");
    m->stat = jm_asprintf("%s/proc/stat", config->root ? config->root : "");
    jm_status st = m->stat ? model_read(m, config->path, err)
                           : jm_fail(err, JM_ENOMEM, "estimate: no memory for a meter");
    if (st == JM_OK)
        st = ticks(m, &m->busy, &m->total, err);
    m->last_ns = jm_now_ns();
    if (st != JM_OK) {
        estimate_close(m);
        return st;
    }
    *out = m;
    return JM_OK;
}

static uint32_t estimate_count(const jm_meter *m)
{
    (void)m;
    return 1;
}

static void estimate_domain(const jm_meter *m, uint32_t i, struct jm_meter_domain *out)
{
    (void)i;
    /* A tick of one processor, 10 ms, at full power. */
    *out = (struct jm_meter_domain){ .name = "model",
                                     .kind = JM_METER_COUNTER,
                                     .parent = -1,
                                     .counted = true,
                                     .step = 0.01 * m->max_w * m->packages };
}

static jm_status estimate_read(jm_meter *m, double *value, uint32_t *wraps, jm_err *err)
{
    uint64_t busy, total;
    int64_t now_ns = jm_now_ns();
    jm_status st = ticks(m, &busy, &total, err);

    *wraps = 0;
    if (st != JM_OK)
        return st;
    if (total < m->total || busy < m->busy || busy - m->busy > total - m->total)
        return jm_fail(err, JM_EDEVICE, "%s: processor times went backwards", m->stat);
    if (total > m->total) { /* between ticks nothing is known: counted at the next */
        double u = (double)(busy - m->busy) / (double)(total - m->total);
        m->joules += m->packages * (m->idle_w + (m->max_w - m->idle_w) * u) *
                     (double)(now_ns - m->last_ns) * 1e-9;
        m->busy = busy;
        m->total = total;
        m->last_ns = now_ns;
    }
    *value = m->joules;
    return JM_OK;
}

const struct jm_meter_ops jm_estimate_ops = {
    .name = "estimate",
    .summary = "no meter: watts guessed from processor time and a model: estimate=FILE.ini",
    .update_s = 0.02,
    .takes_file = true,
    .estimated = true,
    .open = estimate_open,
    .close = estimate_close,
    .count = estimate_count,
    .domain = estimate_domain,
    .read = estimate_read,
};
