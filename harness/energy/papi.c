/* SPDX-License-Identifier: Apache-2.0 */
/* See papi.h. PAPI hands out raw integers; an event's units say what they are. Its perf_event
 * components are left out: in a virtual machine their energy events open and read 0 for ever. */
#include "harness/energy/papi.h"

#include <papi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct jm_meter {
    struct jm_meter_domain domain[JM_METER_DOMAINS];
    double scale_j[JM_METER_DOMAINS]; /* joules a count */
    long long last[JM_METER_DOMAINS];
    int events; /* PAPI event set */
    bool started;
    uint32_t n;
};

/* Joules a count, 0 for events that are not energy. */
static double event_scale(const PAPI_event_info_t *e)
{
    static const struct {
        const char *units;
        double scale;
    } table[] = { { "J", 1.0 }, { "mJ", 1e-3 }, { "uJ", 1e-6 }, { "nJ", 1e-9 } };

    if (strstr(e->symbol, "MAX_ENERGY"))
        return 0.0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(e->units, table[i].units) == 0)
            return table[i].scale;
    return strstr(e->symbol, "ENERGY_UJ") ? 1e-6 : 0.0; /* powercap leaves units empty */
}

/* powercap's zones carry their names only as descriptions of NAME events. */
static bool zone_is_dram(const char *symbol)
{
    const char *zone = strstr(symbol, "ENERGY_UJ:");
    char name[PAPI_MAX_STR_LEN];
    PAPI_event_info_t info;
    int code;

    if (!zone)
        return false;
    snprintf(name, sizeof name, "powercap:::NAME:%s", zone + strlen("ENERGY_UJ:"));
    return PAPI_event_name_to_code(name, &code) == PAPI_OK &&
           PAPI_get_event_info(code, &info) == PAPI_OK && strstr(info.long_descr, "dram") != NULL;
}

static bool event_counted(const char *symbol)
{
    if (strstr(symbol, "PACKAGE_ENERGY:") || strstr(symbol, "DRAM_ENERGY:"))
        return true;
    const char *zone = strstr(symbol, "ENERGY_UJ:ZONE");
    return zone && (!strstr(zone, "_SUBZONE") || zone_is_dram(symbol));
}

static void component_scan(jm_meter *m, int cid)
{
    int code = (int)PAPI_NATIVE_MASK;
    int rc = PAPI_enum_cmp_event(&code, PAPI_ENUM_FIRST, cid);

    for (; rc == PAPI_OK; rc = PAPI_enum_cmp_event(&code, PAPI_ENUM_EVENTS, cid)) {
        PAPI_event_info_t info;
        if (m->n == JM_METER_DOMAINS || PAPI_get_event_info(code, &info) != PAPI_OK)
            continue;
        double scale = event_scale(&info);
        if (scale <= 0.0 || !event_counted(info.symbol) ||
            PAPI_add_event(m->events, code) != PAPI_OK)
            continue;
        struct jm_meter_domain *d = &m->domain[m->n];
        *d = (struct jm_meter_domain){ .counted = true };
        snprintf(d->name, sizeof d->name, "%.63s", info.symbol);
        m->scale_j[m->n++] = scale;
    }
}

/* The first component with energy: two components would show the same joules twice. */
static jm_status events_find(jm_meter *m, jm_err *err)
{
    char why[256] = "";
    int components = PAPI_num_components();

    for (int cid = 0; cid < components && m->n == 0; cid++) {
        const PAPI_component_info_t *c = PAPI_get_component_info(cid);
        if (!c || strncmp(c->name, "perf_event", 10) == 0)
            continue;
        if (!c->disabled)
            component_scan(m, cid);
        else if (strcmp(c->name, "powercap") == 0 || strcmp(c->name, "rapl") == 0)
            snprintf(why, sizeof why, "; component %.20s: %.180s", c->name, c->disabled_reason);
    }
    if (m->n > 0)
        return JM_OK;
    return jm_fail(err, JM_EUNSUPPORTED, "PAPI: none of its %d components counts energy here%s",
                   components, why);
}

static void papi_close(jm_meter *m)
{
    long long v[JM_METER_DOMAINS];

    if (!m)
        return;
    if (m->started)
        PAPI_stop(m->events, v);
    if (m->events != PAPI_NULL) {
        PAPI_cleanup_eventset(m->events);
        PAPI_destroy_eventset(&m->events);
    }
    free(m);
}

static jm_status papi_start(jm_meter *m, jm_err *err)
{
    int rc = PAPI_library_init(PAPI_VER_CURRENT);

    if (rc != PAPI_VER_CURRENT)
        return jm_fail(err, JM_EUNSUPPORTED, "PAPI: the library does not start (code %d)", rc);
    PAPI_set_debug(PAPI_QUIET);
    rc = PAPI_create_eventset(&m->events);
    if (rc != PAPI_OK)
        return jm_fail(err, JM_EUNSUPPORTED, "PAPI: no event set: %s", PAPI_strerror(rc));
    jm_status st = events_find(m, err);
    if (st != JM_OK)
        return st;
    rc = PAPI_start(m->events);
    if (rc != PAPI_OK)
        return jm_fail(err, JM_EIO, "PAPI: %s does not start: %s; run as root", m->domain[0].name,
                       PAPI_strerror(rc));
    m->started = true;
    return JM_OK;
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
    m->events = PAPI_NULL;
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
    *out = m->domain[i];
}

/* Where nothing moved since the start, PAPI's powercap component answers with the whole counter;
 * the fall back to a small number afterwards gives it away. */
static jm_status papi_read(jm_meter *m, double *joules, uint32_t *wraps, jm_err *err)
{
    long long v[JM_METER_DOMAINS] = { 0 };
    int rc = PAPI_read(m->events, v);

    *wraps = 0;
    if (rc != PAPI_OK)
        return jm_fail(err, JM_EDEVICE, "PAPI: %s: %s", m->domain[0].name, PAPI_strerror(rc));
    for (uint32_t i = 0; i < m->n; i++) {
        if (v[i] < m->last[i])
            return jm_fail(err, JM_EDEVICE, "PAPI: %s went backwards", m->domain[i].name);
        m->last[i] = v[i];
        joules[i] = (double)v[i] * m->scale_j[i];
    }
    return JM_OK;
}

static double papi_resolution(const jm_meter *m)
{
    double least = m->scale_j[0];

    for (uint32_t i = 1; i < m->n; i++)
        least = m->scale_j[i] < least ? m->scale_j[i] : least;
    return least > 61e-6 ? least : 61e-6; /* the hardware's step, finer units or not */
}

const struct jm_meter_ops jm_papi_ops = {
    .name = "papi",
    .summary = "energy events of the installed PAPI",
    .scope = "chip",
    .update_s = 0.001,
    .open = papi_open,
    .close = papi_close,
    .count = papi_count,
    .domain = papi_domain,
    .read = papi_read,
    .resolution_j = papi_resolution,
};
