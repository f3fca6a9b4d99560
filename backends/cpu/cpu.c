/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu backend's door: one device, this machine's processor. JM_CPU_ISA forces a kernel set
 * (those of joulemark list --kernels); an unknown or missing set is an error, never a silent
 * fallback. */
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/peak.h"
#include "backends/cpu/plan.h"
#include "backends/cpu/profile.h"

enum { MAX_THREADS = 1024 };

static jm_status count(uint32_t *n, jm_err *err)
{
    (void)err;
    *n = 1;
    return JM_OK;
}

/* Physical cores this process may use; 1 when hwloc cannot tell. */
static uint32_t core_count(void)
{
    hwloc_topology_t t;
    int n = 0;
    if (hwloc_topology_init(&t) != 0)
        return 1;
    if (hwloc_topology_load(t) == 0)
        n = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
    hwloc_topology_destroy(t);
    return n > 0 ? (uint32_t)n : 1;
}

static void close_device(jm_device *dev)
{
    if (dev)
        jm_team_close(dev->team);
    free(dev);
}

static jm_status open_device(uint32_t index, const struct jm_device_options *opt, jm_device **out,
                             jm_err *err)
{
    *out = NULL;
    if (index != 0)
        return jm_fail(err, JM_ENOTFOUND, "cpu: device %u does not exist; there is only 0", index);
    const char *isa = opt->isa && *opt->isa ? opt->isa : jm_cpu_forced_set();
    const struct jm_cpu_kernels *k = jm_cpu_kernels_for(isa);
    if (!k)
        return jm_fail(err, JM_EUNSUPPORTED,
                       "cpu: this machine cannot run the instruction set '%s'; see joulemark "
                       "list --kernels",
                       isa);
    uint32_t threads = opt->threads ? opt->threads : core_count();
    if (threads > MAX_THREADS)
        return jm_fail(err, JM_EUSAGE, "cpu: %u threads asked for, at most %d make sense", threads,
                       MAX_THREADS);
    jm_device *dev = calloc(1, sizeof *dev);
    if (!dev)
        return jm_fail(err, JM_ENOMEM, "cpu: out of memory");
    dev->kernels = k;
    jm_status st = jm_team_open(threads, &dev->team, err);
    if (st != JM_OK) {
        close_device(dev);
        return st;
    }
    *out = dev;
    return JM_OK;
}

static void info(const jm_device *dev, struct jm_device_info *out)
{
    *out = (struct jm_device_info){ .threads = jm_team_size(dev->team) };
    snprintf(out->isa, sizeof out->isa, "%s", dev->kernels->isa);
    snprintf(out->name, sizeof out->name, "unknown CPU");
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(out->name, sizeof out->name, "%.120s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

static bool supports(const jm_device *dev, const struct jm_node *op)
{
    (void)dev;
    return (unsigned)op->op < JM_OP_COUNT && (unsigned)op->w.format < JM_FORMAT_COUNT;
}

static void plan_memory(const jm_plan *p, struct jm_plan_memory *out)
{
    *out = jm_cpu_plan_memory(p);
}

/* jm_cpu_execute runs to the end: there is nothing left to wait for. */
static jm_status wait_plan(jm_plan *p, jm_err *err)
{
    (void)p;
    (void)err;
    return JM_OK;
}

static jm_status measure_roofs(jm_device *dev, uint32_t threads, struct jm_roof out[JM_MAX_ROOFS],
                               uint32_t *n, jm_err *err)
{
    *n = 0;
    if (threads == 0 || threads > jm_team_size(dev->team))
        return jm_fail(err, JM_EUSAGE, "cpu: limits of %u threads; the device was opened with %u",
                       threads, jm_team_size(dev->team));
    return jm_cpu_roofs(dev->kernels->isa, threads, out, n, err);
}

static const struct jm_backend_ops ops = {
    .abi = JM_BACKEND_ABI,
    .name = "cpu",
    .summary = "this machine's processor (scalar reference, AVX2, AVX-VNNI, AVX-512, NEON)",
    .count = count,
    .open = open_device,
    .close = close_device,
    .info = info,
    .supports = supports,
    .compile = jm_cpu_compile,
    .plan_close = jm_cpu_plan_close,
    .plan_memory = plan_memory,
    .execute = jm_cpu_execute,
    .wait = wait_plan,
    .fetch = jm_cpu_fetch,
    .kernel_set = jm_cpu_kernel_set,
    .roofs = measure_roofs,
    .profile = jm_cpu_profile,
    .profile_batches = jm_cpu_profile_batches,
    .profile_op = jm_cpu_profile_op,
};

const struct jm_backend_ops *jm_backend_entry(void)
{
    return &ops;
}
