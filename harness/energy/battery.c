/* SPDX-License-Identifier: Apache-2.0 */
/* See battery.h. energy_now (uWh) is a counter that falls; without it power_now (uW), or
 * current_now (uA) times voltage_now (uV), is sampled. Units: Linux include/linux/power_supply.h.
 * The whole device is covered: screen and radios too. */
#include "harness/energy/battery.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "harness/energy/sysfs.h"

static const double j_per_uwh = 3.6e-3;
static const double gauge_step_j = 36.0; /* 10 mWh, what gauges commonly show */

struct battery {
    struct jm_meter_domain d;
    char *status, *value, *volts; /* paths, owned; volts: value is a current */
    bool counts;
    uint64_t first, last;
};

enum { BATTERIES = 8 };

struct jm_meter {
    struct battery battery[BATTERIES];
    uint32_t n;
};

static jm_status discharging(const struct battery *b, jm_err *err)
{
    char text[32];
    int e = jm_sysfs_text(b->status, text, sizeof text);

    if (e != 0)
        return jm_fail(err, JM_EIO, "%s: %s", b->status, strerror(e));
    if (strcmp(text, "Discharging") == 0)
        return JM_OK;
    return jm_fail(err, JM_EUNSUPPORTED,
                   "battery %s is not discharging ('%s'): unplug the power supply, or it does not "
                   "see what the machine takes",
                   b->d.name, text);
}

/* A current is negative while discharging with some drivers. */
static jm_status power_w(const struct battery *b, double *out, jm_err *err)
{
    int64_t a, volts = 0;
    jm_status st = jm_sysfs_i64(b->value, &a, err);

    if (st == JM_OK && b->volts)
        st = jm_sysfs_i64(b->volts, &volts, err);
    if (st != JM_OK)
        return st;
    double v = (double)(a < 0 ? -a : a) * 1e-6;
    *out = b->volts ? v * (double)volts * 1e-6 : v;
    return JM_OK;
}

static jm_status battery_value(struct battery *b, double *out, jm_err *err)
{
    uint64_t v;
    jm_status st = discharging(b, err);

    if (st == JM_OK && !b->counts)
        return power_w(b, out, err);
    if (st == JM_OK)
        st = jm_sysfs_u64(b->value, &v, err);
    if (st != JM_OK)
        return st;
    if (v > b->last)
        return jm_fail(err, JM_EDEVICE, "%s: the energy left rose while discharging", b->value);
    b->last = v;
    *out = (double)(b->first - v) * j_per_uwh;
    return JM_OK;
}

static char *file_of(const char *dir, const char *file)
{
    char *path = jm_asprintf("%s/%s", dir, file), text[32];

    if (path && jm_sysfs_text(path, text, sizeof text) == 0 && text[0])
        return path;
    free(path);
    return NULL;
}

static void battery_free(struct battery *b)
{
    free(b->status);
    free(b->value);
    free(b->volts);
}

/* Takes in a battery of the machine itself; a mouse's says "Device". */
static void battery_add(jm_meter *m, const char *dir, const char *name)
{
    char type[32], scope[32];

    jm_sysfs_text_in(dir, "type", type, sizeof type);
    jm_sysfs_text_in(dir, "scope", scope, sizeof scope);
    if (strcmp(type, "Battery") != 0 || strcmp(scope, "Device") == 0 || m->n == BATTERIES)
        return;
    struct battery *b = &m->battery[m->n];
    *b = (struct battery){ .status = file_of(dir, "status"), .value = file_of(dir, "energy_now") };
    b->counts = b->value != NULL;
    if (!b->value)
        b->value = file_of(dir, "power_now");
    if (!b->value && (b->value = file_of(dir, "current_now")))
        b->volts = file_of(dir, "voltage_now");
    bool current_only = !b->counts && b->value && strstr(b->value, "/current_now") && !b->volts;
    if (!b->status || !b->value || current_only) {
        battery_free(b);
        return;
    }
    b->d = (struct jm_meter_domain){ .scope = JM_SCOPE_NODE,
                                     .part = JM_PART_ALL,
                                     .kind = b->counts ? JM_METER_COUNTER : JM_METER_POWER,
                                     .parent = -1,
                                     .counted = true,
                                     .step = b->counts ? gauge_step_j : 0.01 };
    snprintf(b->d.name, sizeof b->d.name, "%.40s", name);
    m->n++;
}

static jm_status batteries_start(jm_meter *m, jm_err *err)
{
    for (uint32_t i = 0; i < m->n; i++) {
        struct battery *b = &m->battery[i];
        double w;
        jm_status st = discharging(b, err);
        if (st == JM_OK)
            st = b->counts ? jm_sysfs_u64(b->value, &b->first, err) : power_w(b, &w, err);
        if (st != JM_OK)
            return st;
        b->last = b->first;
    }
    return JM_OK;
}

static void battery_close(jm_meter *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n; i++)
        battery_free(&m->battery[i]);
    free(m);
}

static void batteries_find(jm_meter *m, const char *root)
{
    struct dirent **list;
    int n = scandir(root, &list, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        char *dir = jm_asprintf("%s/%s", root, list[i]->d_name);
        if (dir && list[i]->d_name[0] != '.')
            battery_add(m, dir, list[i]->d_name);
        free(dir);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

static jm_status battery_open(const struct jm_meter_config *config, jm_meter **out, jm_err *err)
{
    char *root =
        jm_asprintf("%s/sys/class/power_supply", config && config->root ? config->root : "");
    jm_meter *m = calloc(1, sizeof *m);

    *out = NULL;
    jm_status st = m && root ? JM_OK : jm_fail(err, JM_ENOMEM, "battery: no memory for a meter");
    if (st == JM_OK)
        batteries_find(m, root);
    if (st == JM_OK && m->n == 0)
        st = jm_fail(err, JM_EUNSUPPORTED, "%s: no battery that shows energy or power", root);
    if (st == JM_OK)
        st = batteries_start(m, err);
    free(root);
    if (st != JM_OK) {
        battery_close(m);
        return st;
    }
    *out = m;
    return JM_OK;
}

static uint32_t battery_count(const jm_meter *m)
{
    return m->n;
}

static void battery_domain(const jm_meter *m, uint32_t i, struct jm_meter_domain *out)
{
    *out = m->battery[i].d;
}

static jm_status battery_read(jm_meter *m, double *value, uint32_t *wraps, jm_err *err)
{
    jm_status st = JM_OK;

    *wraps = 0;
    for (uint32_t i = 0; i < m->n && st == JM_OK; i++)
        st = battery_value(&m->battery[i], &value[i], err);
    return st;
}

const struct jm_meter_ops jm_battery_ops = {
    .name = "battery",
    .summary = "a laptop's or phone's battery, while discharging; for runs of many minutes",
    .update_s = 30.0,
    .interval_s = 0.5,
    .open = battery_open,
    .close = battery_close,
    .count = battery_count,
    .domain = battery_domain,
    .read = battery_read,
};
