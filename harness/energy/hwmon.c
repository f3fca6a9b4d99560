/* SPDX-License-Identifier: Apache-2.0 */
/* See hwmon.h. Of each device the first kind it has: energyN_input (uJ), powerN (uW), or inN (mV)
 * times currN (mA). Units: Linux Documentation/hwmon/sysfs-interface. */
#include "harness/energy/hwmon.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "harness/energy/sysfs.h"

enum { CHANNELS = 32 };

enum form { ENERGY, POWER, PRODUCT };

struct sensor {
    struct jm_meter_domain d;
    enum form form;
    char *path, *path2; /* owned; path2: the current of a product */
    int64_t first_uj, last_uj;
    bool whole; /* by its label the input of the whole board */
};

struct jm_meter {
    struct sensor sensor[JM_METER_DOMAINS];
    uint32_t n;
};

static bool any_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcasestr(text, *words))
            return true;
    return false;
}

/* Whose energy a chip's driver shows; a board's unless its name is known. */
static void chip_covers(const char *chip, struct jm_meter_domain *d)
{
    static const char *const gpu[] = { "amdgpu", "nouveau", "i915", "xe", NULL };
    static const char *const node[] = { "power_meter", "psu", NULL };
    static const char *const cpu[] = { "amd_energy", "zenergy", NULL };

    bool is_gpu = false;
    for (size_t i = 0; gpu[i]; i++)
        is_gpu |= strcmp(chip, gpu[i]) == 0;
    d->part = is_gpu ? JM_PART_GPU : any_of(chip, cpu) ? JM_PART_CPU : JM_PART_ALL;
    d->scope = d->part != JM_PART_ALL ? JM_SCOPE_CHIP
               : any_of(chip, node)   ? JM_SCOPE_NODE
                                      : JM_SCOPE_BOARD;
}

/* Values in the sensor's own unit: uJ, uW; a product in nW. */
static jm_status sensor_value(const struct sensor *s, int64_t *out, jm_err *err)
{
    int64_t a, b = 1;
    jm_status st = jm_sysfs_i64(s->path, &a, err);

    if (st == JM_OK && s->path2)
        st = jm_sysfs_i64(s->path2, &b, err);
    if (st != JM_OK)
        return st;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, out))
        return jm_fail(err, JM_EDEVICE, "%s: %lld is no energy or power that can be counted",
                       s->path, (long long)(a < 0 ? a : b));
    return JM_OK;
}

static bool exists(const char *path)
{
    char text[8];
    int e = jm_sysfs_text(path, text, sizeof text);
    return e == 0 || e == 13; /* EACCES: there, but not for us */
}

struct device {
    const char *dir;
    char chip[24];
    double update_s;
};

static jm_status sensor_add(jm_meter *m, const struct device *dev, enum form form, int k,
                            char *path, char *path2, const char *label_of, jm_err *err)
{
    static const char *const whole[] = { "_in", "system", "total", NULL };
    static const double unit[] = { 1e-6, 1e-3, 1e-3 }; /* the steps shown, hidden ones are larger */
    char file[32], label[32];

    snprintf(file, sizeof file, "%s%d_label", label_of, k);
    jm_sysfs_text_in(dev->dir, file, label, sizeof label);
    if (m->n == JM_METER_DOMAINS || strncmp(label, "Ecore", 5) == 0) { /* inside Esocket */
        free(path);
        free(path2);
        return m->n < JM_METER_DOMAINS
                   ? JM_OK
                   : jm_fail(err, JM_EUNSUPPORTED, "hwmon: more than %d sensors", JM_METER_DOMAINS);
    }
    struct sensor *s = &m->sensor[m->n++];
    *s = (struct sensor){
        .form = form, .path = path, .path2 = path2, .whole = any_of(label, whole)
    };
    s->d = (struct jm_meter_domain){ .kind = form == ENERGY ? JM_METER_COUNTER : JM_METER_POWER,
                                     .parent = -1,
                                     .counted = true,
                                     .step = unit[form],
                                     .gap_s = form == ENERGY ? 0.0 : 2.0,
                                     .update_s = dev->update_s };
    chip_covers(dev->chip, &s->d);
    if (label[0])
        snprintf(s->d.name, sizeof s->d.name, "%s/%s", dev->chip, label);
    else
        snprintf(s->d.name, sizeof s->d.name, "%s/%s%d", dev->chip, label_of, k);
    return JM_OK;
}

/* PREFIX N SUFFIX of the device, or NULL when there is no such file. */
static char *file_of(const struct device *dev, const char *prefix, int k, const char *suffix)
{
    char *path = jm_asprintf("%s/%s%d%s", dev->dir, prefix, k, suffix);

    if (path && exists(path))
        return path;
    free(path);
    return NULL;
}

static jm_status device_form(jm_meter *m, const struct device *dev, enum form form, jm_err *err)
{
    static const char *const prefix[] = { "energy", "power", "in" };
    jm_status st = JM_OK;

    for (int k = 0; k < CHANNELS && st == JM_OK; k++) {
        char *path = file_of(dev, prefix[form], k, "_input"), *path2 = NULL;
        if (!path && form == POWER)
            path = file_of(dev, "power", k, "_average");
        if (path && form == PRODUCT && !(path2 = file_of(dev, "curr", k, "_input"))) {
            free(path);
            path = NULL;
        }
        if (path)
            st = sensor_add(m, dev, form, k, path, path2, prefix[form], err);
    }
    return st;
}

/* Batteries and power adapters show up as sensors as well; they have a meter of their own. */
static bool is_supply(const char *dir)
{
    static const char *const types[] = { "Battery", "Mains", "USB", "UPS", "Wireless", NULL };
    char type[32];

    jm_sysfs_text_in(dir, "device/type", type, sizeof type);
    return any_of(type, types);
}

static jm_status device_add(jm_meter *m, const char *dir, jm_err *err)
{
    struct device dev = { .dir = dir };
    char text[32];
    uint64_t ms;
    uint32_t before = m->n;
    jm_status st = JM_OK;

    jm_sysfs_text_in(dir, "name", dev.chip, sizeof dev.chip);
    if (!dev.chip[0] || is_supply(dir))
        return JM_OK;
    jm_sysfs_text_in(dir, "update_interval", text, sizeof text);
    if (jm_number_u64(text, 1, 3599999, &ms))
        dev.update_s = (double)ms * 1e-3;
    for (int form = ENERGY; form <= PRODUCT && st == JM_OK && m->n == before; form++)
        st = device_form(m, &dev, (enum form)form, err);
    return st;
}

/* What is labelled as the input of the board contains the board's other rails. */
static void rails_nest(jm_meter *m)
{
    int whole = -1;

    for (uint32_t i = 0; i < m->n && whole < 0; i++)
        if (m->sensor[i].whole && m->sensor[i].d.scope == JM_SCOPE_BOARD)
            whole = (int)i;
    for (uint32_t i = 0; i < m->n && whole >= 0; i++) {
        struct jm_meter_domain *d = &m->sensor[i].d;
        if ((int)i == whole || d->scope != JM_SCOPE_BOARD)
            continue;
        d->parent = whole;
        d->counted = false;
    }
}

static void hwmon_close(jm_meter *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n; i++) {
        free(m->sensor[i].path);
        free(m->sensor[i].path2);
    }
    free(m);
}

static int keep_hwmon(const struct dirent *d)
{
    return strncmp(d->d_name, "hwmon", 5) == 0;
}

static jm_status devices_find(jm_meter *m, const char *root, jm_err *err)
{
    struct dirent **list;
    int n = scandir(root, &list, keep_hwmon, versionsort);
    jm_status st = JM_OK;

    for (int i = 0; i < n; i++) {
        char *dir = jm_asprintf("%s/%s", root, list[i]->d_name);
        if (st == JM_OK)
            st = dir ? device_add(m, dir, err) : jm_fail(err, JM_ENOMEM, "hwmon: out of memory");
        free(dir);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    if (st == JM_OK && m->n == 0)
        st = jm_fail(err, JM_EUNSUPPORTED, "%s: no sensor of energy or power", root);
    return st;
}

static jm_status sensors_start(jm_meter *m, jm_err *err)
{
    for (uint32_t i = 0; i < m->n; i++) {
        struct sensor *s = &m->sensor[i];
        jm_status st = sensor_value(s, &s->first_uj, err);
        if (st != JM_OK)
            return st;
        s->last_uj = s->first_uj;
    }
    return JM_OK;
}

static jm_status hwmon_open(const struct jm_meter_config *config, jm_meter **out, jm_err *err)
{
    char *root = jm_asprintf("%s/sys/class/hwmon", config && config->root ? config->root : "");
    jm_meter *m = calloc(1, sizeof *m);

    *out = NULL;
    jm_status st = m && root ? JM_OK : jm_fail(err, JM_ENOMEM, "hwmon: no memory for a meter");
    if (st == JM_OK)
        st = devices_find(m, root, err);
    free(root);
    if (st == JM_OK) {
        rails_nest(m);
        st = sensors_start(m, err);
    }
    if (st != JM_OK) {
        hwmon_close(m);
        return st;
    }
    *out = m;
    return JM_OK;
}

static uint32_t hwmon_count(const jm_meter *m)
{
    return m->n;
}

static void hwmon_domain(const jm_meter *m, uint32_t i, struct jm_meter_domain *out)
{
    *out = m->sensor[i].d;
}

static jm_status hwmon_read(jm_meter *m, double *value, uint32_t *wraps, jm_err *err)
{
    static const double scale[] = { 1e-6, 1e-6, 1e-6 }; /* uJ, uW, mV * mA */
    jm_status first = JM_OK;

    *wraps = 0; /* these counters have 64 bits */
    for (uint32_t i = 0; i < m->n; i++) {
        struct sensor *s = &m->sensor[i];
        int64_t v = 0;
        jm_status st = sensor_value(s, &v, s->d.counted ? err : NULL);
        if (st == JM_OK && s->form == ENERGY && v < s->last_uj)
            st = jm_fail(s->d.counted ? err : NULL, JM_EDEVICE, "%s: the counter went backwards",
                         s->path);
        if (st != JM_OK && s->d.counted && first == JM_OK)
            first = st;
        s->last_uj = v;
        value[i] = (double)(s->form == ENERGY ? v - s->first_uj : v) * scale[s->form];
    }
    return first;
}

const struct jm_meter_ops jm_hwmon_ops = {
    .name = "hwmon",
    .summary = "sensors of boards and GPUs (INA and others) through /sys/class/hwmon",
    .update_s = 0.1,
    .open = hwmon_open,
    .close = hwmon_close,
    .count = hwmon_count,
    .domain = hwmon_domain,
    .read = hwmon_read,
};
