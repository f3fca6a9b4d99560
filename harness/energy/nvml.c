/* SPDX-License-Identifier: Apache-2.0 */
/* See nvml.h. The total energy counter (mJ, Volta and newer) of each GPU, otherwise its sampled
 * power (mW). What is declared here is NVML's documented interface; no header is needed. */
#include "harness/energy/nvml.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { GPUS = 32, OK = 0 };

typedef struct nvmlDevice_st *gpu_handle;

struct library {
    void *handle;
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error)(int);
    int (*count)(unsigned *);
    int (*device)(unsigned, gpu_handle *);
    int (*name)(gpu_handle, char *, unsigned);
    int (*energy)(gpu_handle, unsigned long long *); /* NULL in old libraries */
    int (*power)(gpu_handle, unsigned *);
};

struct gpu {
    gpu_handle handle;
    struct jm_meter_domain d;
    unsigned long long first_mj, last_mj;
};

struct jm_meter {
    struct library lib;
    bool initialised;
    struct gpu gpu[GPUS];
    uint32_t n;
};

static bool load(struct library *l)
{
    const struct {
        const char *name;
        void *into;
        bool needed;
    } symbol[] = {
        { "nvmlInit_v2", &l->init, true },
        { "nvmlShutdown", &l->shutdown, true },
        { "nvmlErrorString", &l->error, true },
        { "nvmlDeviceGetCount_v2", &l->count, true },
        { "nvmlDeviceGetHandleByIndex_v2", &l->device, true },
        { "nvmlDeviceGetName", &l->name, true },
        { "nvmlDeviceGetTotalEnergyConsumption", &l->energy, false },
        { "nvmlDeviceGetPowerUsage", &l->power, true },
    };

    l->handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; l->handle && i < sizeof symbol / sizeof symbol[0]; i++) {
        void *address = dlsym(l->handle, symbol[i].name);
        if (!address && symbol[i].needed)
            return false;
        *(void **)symbol[i].into = address;
    }
    return l->handle != NULL;
}

static jm_status gpu_start(jm_meter *m, unsigned index, jm_err *err)
{
    struct gpu *g = &m->gpu[index];
    char name[40] = "";
    unsigned mw;
    int rc = m->lib.device(index, &g->handle);

    if (rc != OK)
        return jm_fail(err, JM_EIO, "NVML: GPU %u: %s", index, m->lib.error(rc));
    if (m->lib.name(g->handle, name, sizeof name) != OK)
        name[0] = '\0';
    name[sizeof name - 1] = '\0';
    g->d = (struct jm_meter_domain){
        .part = JM_PART_GPU, .parent = -1, .counted = true, .step = 1e-3
    };
    snprintf(g->d.name, sizeof g->d.name, "gpu%u %.39s", index, name);
    if (m->lib.energy && m->lib.energy(g->handle, &g->first_mj) == OK) {
        g->d.kind = JM_METER_COUNTER;
        g->last_mj = g->first_mj;
        return JM_OK;
    }
    g->d.kind = JM_METER_POWER;
    g->d.update_s = 1.0; /* from Ampere on a mean of one second */
    g->d.gap_s = 2.0;
    rc = m->lib.power(g->handle, &mw);
    if (rc != OK)
        return jm_fail(err, JM_EUNSUPPORTED, "NVML: %s: neither energy nor power: %s", g->d.name,
                       m->lib.error(rc));
    return JM_OK;
}

static jm_status gpus_start(jm_meter *m, jm_err *err)
{
    unsigned n = 0;
    int rc = m->lib.init();

    if (rc != OK)
        return jm_fail(err, JM_EUNSUPPORTED, "NVML: %s", m->lib.error(rc));
    m->initialised = true;
    rc = m->lib.count(&n);
    if (rc != OK || n == 0 || n > GPUS)
        return jm_fail(err, JM_EUNSUPPORTED, "NVML: %s",
                       rc != OK ? m->lib.error(rc)
                       : n      ? "too many GPUs"
                                : "no GPU");
    m->n = n;
    jm_status st = JM_OK;
    for (unsigned i = 0; i < n && st == JM_OK; i++)
        st = gpu_start(m, i, err);
    return st;
}

static void nvml_close(jm_meter *m)
{
    if (!m)
        return;
    if (m->initialised)
        m->lib.shutdown();
    if (m->lib.handle)
        dlclose(m->lib.handle);
    free(m);
}

static jm_status nvml_open(const struct jm_meter_config *config, jm_meter **out, jm_err *err)
{
    *out = NULL;
    if (config && config->root)
        return jm_fail(err, JM_EUNSUPPORTED, "NVML: reads this machine only, not %s", config->root);
    jm_meter *m = calloc(1, sizeof *m);
    if (!m)
        return jm_fail(err, JM_ENOMEM, "NVML: no memory for a meter");
    jm_status st = load(&m->lib) ? gpus_start(m, err)
                   : m->lib.handle
                       ? jm_fail(err, JM_EUNSUPPORTED, "NVML: the library lacks functions")
                       : jm_fail(err, JM_EUNSUPPORTED,
                                 "NVML: no libnvidia-ml.so.1, which comes with NVIDIA's driver");
    if (st != JM_OK) {
        nvml_close(m);
        return st;
    }
    *out = m;
    return JM_OK;
}

static uint32_t nvml_count(const jm_meter *m)
{
    return m->n;
}

static void nvml_domain(const jm_meter *m, uint32_t i, struct jm_meter_domain *out)
{
    *out = m->gpu[i].d;
}

static jm_status nvml_read(jm_meter *m, double *value, uint32_t *wraps, jm_err *err)
{
    *wraps = 0; /* 64 bits of mJ */
    for (uint32_t i = 0; i < m->n; i++) {
        struct gpu *g = &m->gpu[i];
        unsigned long long mj = 0;
        unsigned mw = 0;
        bool counter = g->d.kind == JM_METER_COUNTER;
        int rc = counter ? m->lib.energy(g->handle, &mj) : m->lib.power(g->handle, &mw);
        if (rc != OK)
            return jm_fail(err, JM_EDEVICE, "NVML: %s: %s", g->d.name, m->lib.error(rc));
        if (counter && mj < g->last_mj)
            return jm_fail(err, JM_EDEVICE, "NVML: %s: the counter went backwards", g->d.name);
        g->last_mj = mj;
        value[i] = counter ? (double)(mj - g->first_mj) * 1e-3 : (double)mw * 1e-3;
    }
    return JM_OK;
}

const struct jm_meter_ops jm_nvml_ops = {
    .name = "nvml",
    .summary = "energy of NVIDIA GPUs through their driver's library",
    .update_s = 0.1,
    .open = nvml_open,
    .close = nvml_close,
    .count = nvml_count,
    .domain = nvml_domain,
    .read = nvml_read,
};
