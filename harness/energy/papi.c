/* SPDX-License-Identifier: Apache-2.0 */
/* See papi.h. PAPI hands out raw integers; an event's units say what they are, and its name and
 * description whose energy it is. Its perf_event components are left out: in a virtual machine
 * their energy events open and read 0 for ever. */
#include "harness/energy/papi.h"

#include <papi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"

/* What an event measures, as far as its words tell. */
enum what { PACKAGE, DRAM, INSIDE, PLATFORM, OTHER };

struct event {
    struct jm_meter_domain d;
    enum what what;
    double scale; /* J or W a count */
    int code, component;
    long long last;
};

struct jm_meter {
    struct event event[JM_METER_DOMAINS];
    uint32_t n;
    int set; /* PAPI event set */
    bool started;
};

static const double settle_s = 1.0; /* a live counter moves in so long */

static bool has(const char *text, const char *word)
{
    return strcasestr(text, word) != NULL;
}

/* J or W a count; 0 for events that are neither. */
static double event_scale(const PAPI_event_info_t *e, enum jm_meter_kind *kind)
{
    static const struct {
        const char *units;
        double scale;
        enum jm_meter_kind kind;
    } table[] = {
        { "J", 1.0, JM_METER_COUNTER },   { "Joules", 1.0, JM_METER_COUNTER },
        { "mJ", 1e-3, JM_METER_COUNTER }, { "uJ", 1e-6, JM_METER_COUNTER },
        { "nJ", 1e-9, JM_METER_COUNTER }, { "W", 1.0, JM_METER_POWER },
        { "mW", 1e-3, JM_METER_POWER },   { "uW", 1e-6, JM_METER_POWER },
    };
    static const char *const setting[] = { "limit", "max", "min_", "_cap:", "range" };

    for (size_t i = 0; i < sizeof setting / sizeof setting[0]; i++)
        if (has(e->symbol, setting[i]))
            return 0.0;
    *kind = JM_METER_COUNTER;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(e->units, table[i].units) == 0) {
            *kind = table[i].kind;
            return table[i].scale;
        }
    }
    return has(e->symbol, "energy_uj") ? 1e-6 : 0.0; /* powercap leaves units empty */
}

/* powercap's zones carry their names only as descriptions of NAME events. */
static void event_words(const PAPI_event_info_t *e, char *words, size_t size)
{
    const char *zone = strcasestr(e->symbol, "ENERGY_UJ:");
    char name[PAPI_MAX_STR_LEN];
    PAPI_event_info_t info;
    int code;

    snprintf(words, size, "%s", e->symbol);
    if (!zone)
        return;
    snprintf(name, sizeof name, "powercap:::NAME:%s", zone + strlen("ENERGY_UJ:"));
    if (PAPI_event_name_to_code(name, &code) == PAPI_OK &&
        PAPI_get_event_info(code, &info) == PAPI_OK && info.long_descr[0])
        snprintf(words, size, "%.*s", (int)strcspn(info.long_descr, "\n"), info.long_descr);
}

static enum what event_what(const char *words)
{
    static const struct {
        const char *word;
        enum what what;
    } table[] = {
        { "psys", PLATFORM },
        { "platform", PLATFORM },
        { "dram", DRAM },
        { "pp0", INSIDE },
        { "pp1", INSIDE },
        { "core", INSIDE },
        { "uncore", INSIDE },
        { "subzone", INSIDE },
        { "package-", PACKAGE },
        { "package_energy", PACKAGE },
        { "energy_uj:zone", PACKAGE },
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (has(words, table[i].word))
            return table[i].what;
    return OTHER;
}

static bool is_gpu(const char *component)
{
    return has(component, "nvml") || has(component, "rocm") || has(component, "amd_smi");
}

static void component_scan(jm_meter *m, int cid, const char *component)
{
    int code = (int)PAPI_NATIVE_MASK;
    int rc = PAPI_enum_cmp_event(&code, PAPI_ENUM_FIRST, cid);

    for (; rc == PAPI_OK; rc = PAPI_enum_cmp_event(&code, PAPI_ENUM_EVENTS, cid)) {
        PAPI_event_info_t info;
        char words[PAPI_HUGE_STR_LEN];
        enum jm_meter_kind kind;
        if (m->n == JM_METER_DOMAINS || PAPI_get_event_info(code, &info) != PAPI_OK)
            continue;
        double scale = event_scale(&info, &kind);
        if (scale <= 0.0)
            continue;
        event_words(&info, words, sizeof words);
        struct event *e = &m->event[m->n++];
        *e = (struct event){
            .what = event_what(words), .scale = scale, .code = code, .component = cid
        };
        e->d = (struct jm_meter_domain){ .kind = kind,
                                         .parent = -1,
                                         .part = is_gpu(component) ? JM_PART_GPU : JM_PART_CPU };
        /* The hardware's own step, finer units or not. */
        e->d.step = kind == JM_METER_POWER || scale > 61e-6 ? scale : 61e-6;
        e->d.gap_s = kind == JM_METER_POWER ? 2.0 : 0.0;
        bool zone = strcmp(words, info.symbol) != 0;
        snprintf(e->d.name, sizeof e->d.name, "%.40s%s%.20s", info.symbol, zone ? " " : "",
                 zone ? words : "");
    }
}

static bool exists(const jm_meter *m, int component, enum what what, enum jm_meter_kind kind)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (m->event[i].component == component && m->event[i].what == what &&
            m->event[i].d.kind == kind)
            return true;
    return false;
}

/* Energy before power; packages and memory, or else the platform, or else what has no such words;
 * one component a part: two would show the same joules twice. */
static void events_choose(jm_meter *m)
{
    int owner[] = { [JM_PART_CPU] = -1, [JM_PART_GPU] = -1 };

    for (uint32_t i = 0; i < m->n; i++) {
        struct event *e = &m->event[i];
        bool energy = false;
        for (uint32_t k = 0; k < m->n; k++)
            energy |=
                m->event[k].component == e->component && m->event[k].d.kind == JM_METER_COUNTER;
        bool package = exists(m, e->component, PACKAGE, e->d.kind);
        bool platform = exists(m, e->component, PLATFORM, e->d.kind);
        if (energy != (e->d.kind == JM_METER_COUNTER) || e->what == INSIDE)
            continue;
        bool wanted = package    ? e->what == PACKAGE || e->what == DRAM
                      : platform ? e->what == PLATFORM
                                 : e->what == OTHER;
        if (!wanted || (owner[e->d.part] >= 0 && owner[e->d.part] != e->component))
            continue;
        owner[e->d.part] = e->component;
        e->d.scope = e->what == PLATFORM ? JM_SCOPE_BOARD : JM_SCOPE_CHIP;
        e->d.counted = true;
    }
}

/* Only what is counted is read; nothing else can be told apart from it safely. */
static jm_status events_add(jm_meter *m, jm_err *err)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < m->n; i++) {
        if (!m->event[i].d.counted)
            continue;
        int rc = PAPI_add_event(m->set, m->event[i].code);
        if (rc != PAPI_OK)
            return jm_fail(err, JM_EIO, "PAPI: %s cannot be added: %s", m->event[i].d.name,
                           PAPI_strerror(rc));
        m->event[kept++] = m->event[i];
    }
    m->n = kept;
    return JM_OK;
}

static jm_status events_find(jm_meter *m, jm_err *err)
{
    char why[256] = "";
    int components = PAPI_num_components();

    for (int cid = 0; cid < components; cid++) {
        const PAPI_component_info_t *c = PAPI_get_component_info(cid);
        if (!c || strncmp(c->name, "perf_event", 10) == 0)
            continue;
        if (!c->disabled || c->disabled == PAPI_EDELAY_INIT) /* then asking starts it */
            component_scan(m, cid, c->name);
        else if (strcmp(c->name, "powercap") == 0 || strcmp(c->name, "rapl") == 0)
            snprintf(why, sizeof why, "; component %.20s: %.180s", c->name, c->disabled_reason);
    }
    events_choose(m);
    jm_status st = events_add(m, err);
    if (st == JM_OK && m->n == 0)
        st = jm_fail(err, JM_EUNSUPPORTED, "PAPI: none of its %d components counts energy here%s",
                     components, why);
    return st;
}

static void papi_close(jm_meter *m)
{
    long long v[JM_METER_DOMAINS];

    if (!m)
        return;
    if (m->started)
        PAPI_stop(m->set, v);
    if (m->set != PAPI_NULL) {
        PAPI_cleanup_eventset(m->set);
        PAPI_destroy_eventset(&m->set);
    }
    free(m);
}

/* As long as a counter has not moved since the start, PAPI's powercap component answers with the
 * whole counter instead of 0: waits until each has changed, after which all are differences. */
static jm_status settle(jm_meter *m, jm_err *err)
{
    long long first[JM_METER_DOMAINS] = { 0 }, v[JM_METER_DOMAINS] = { 0 };
    int64_t start_ns = jm_now_ns();
    int rc = PAPI_read(m->set, first);

    for (uint32_t i = 0; rc == PAPI_OK && i < m->n;) {
        rc = PAPI_read(m->set, v);
        if (rc != PAPI_OK)
            break;
        if (v[i] != first[i] || m->event[i].d.kind == JM_METER_POWER) {
            i++;
            continue;
        }
        if ((double)(jm_now_ns() - start_ns) * 1e-9 > settle_s)
            return jm_fail(err, JM_EUNSUPPORTED, "PAPI: %s stands still: no such counter here",
                           m->event[i].d.name);
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
    }
    if (rc == PAPI_OK)
        rc = PAPI_read(m->set, v);
    if (rc != PAPI_OK)
        return jm_fail(err, JM_EIO, "PAPI: %s: %s", m->event[0].d.name, PAPI_strerror(rc));
    for (uint32_t i = 0; i < m->n; i++)
        m->event[i].last = v[i];
    return JM_OK;
}

static jm_status papi_start(jm_meter *m, jm_err *err)
{
    int rc = PAPI_library_init(PAPI_VER_CURRENT);

    if (rc != PAPI_VER_CURRENT)
        return jm_fail(err, JM_EUNSUPPORTED, "PAPI: the library does not start (code %d)", rc);
    PAPI_set_debug(PAPI_QUIET);
    rc = PAPI_create_eventset(&m->set);
    if (rc != PAPI_OK)
        return jm_fail(err, JM_EUNSUPPORTED, "PAPI: no event set: %s", PAPI_strerror(rc));
    jm_status st = events_find(m, err);
    if (st != JM_OK)
        return st;
    rc = PAPI_start(m->set);
    if (rc != PAPI_OK)
        return jm_fail(err, JM_EIO, "PAPI: %s does not start: %s; run as root", m->event[0].d.name,
                       PAPI_strerror(rc));
    m->started = true;
    return settle(m, err);
}

/* A root override asks for a recorded tree, which PAPI cannot look at. */
static jm_status papi_open(const struct jm_meter_config *config, jm_meter **out, jm_err *err)
{
    *out = NULL;
    if (config && config->root)
        return jm_fail(err, JM_EUNSUPPORTED, "PAPI: reads this machine only, not %s", config->root);
    jm_meter *m = calloc(1, sizeof *m);
    if (!m)
        return jm_fail(err, JM_ENOMEM, "no memory for an energy meter");
    m->set = PAPI_NULL;
    jm_status st = papi_start(m, err);
    if (st != JM_OK) {
        papi_close(m);
        return st;
    }
    *out = m;
    return JM_OK;
}

static uint32_t papi_count(const jm_meter *m)
{
    return m->n;
}

static void papi_domain(const jm_meter *m, uint32_t i, struct jm_meter_domain *out)
{
    *out = m->event[i].d;
}

static jm_status papi_read(jm_meter *m, double *value, uint32_t *wraps, jm_err *err)
{
    long long v[JM_METER_DOMAINS] = { 0 };
    int rc = PAPI_read(m->set, v);

    *wraps = 0; /* PAPI undoes one and does not say so */
    if (rc != PAPI_OK)
        return jm_fail(err, JM_EDEVICE, "PAPI: %s: %s", m->event[0].d.name, PAPI_strerror(rc));
    for (uint32_t i = 0; i < m->n; i++) {
        struct event *e = &m->event[i];
        if (e->d.kind == JM_METER_COUNTER && v[i] < e->last)
            return jm_fail(err, JM_EDEVICE, "PAPI: %s went backwards", e->d.name);
        e->last = v[i];
        value[i] = (double)v[i] * e->scale;
    }
    return JM_OK;
}

const struct jm_meter_ops jm_papi_ops = {
    .name = "papi",
    .summary = "energy events of the installed PAPI",
    .update_s = 0.001,
    .open = papi_open,
    .close = papi_close,
    .count = papi_count,
    .domain = papi_domain,
    .read = papi_read,
};
