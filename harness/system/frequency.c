/* SPDX-License-Identifier: Apache-2.0 */
/* See frequency.h. */
#include "harness/system/frequency.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool read_number(const char *path, uint64_t *out)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool ok = fscanf(f, "%" SCNu64, out) == 1;
    if (!ok)
        errno = EINVAL;
    (void)fclose(f);
    return ok;
}

/* Sums cpuN/name over all cores; how many told. */
static uint64_t sum_cores(const char *root, const char *name, uint64_t *sum,
                          struct jm_frequency *out)
{
    long cores = sysconf(_SC_NPROCESSORS_CONF);
    uint64_t n = 0;

    *sum = 0;
    for (long i = 0; i < cores; i++) {
        char path[512];
        uint64_t v;
        (void)snprintf(path, sizeof path, "%.256s/sys/devices/system/cpu/cpu%ld/%s", root, i, name);
        if (read_number(path, &v)) {
            *sum += v;
            n++;
        } else if (n == 0 && !out->reason[0]) {
            (void)snprintf(out->reason, sizeof out->reason, "%.100s: %.50s", path, strerror(errno));
        }
    }
    return n;
}

void jm_frequency_read(const char *root, struct jm_frequency *out)
{
    uint64_t sum;

    *out = (struct jm_frequency){ 0 };
    uint64_t n = sum_cores(root, "cpufreq/scaling_cur_freq", &sum, out);
    out->known = n > 0;
    out->mean_khz = n > 0 ? sum / n : 0;
    out->throttle_known =
        sum_cores(root, "thermal_throttle/core_throttle_count", &out->throttles, out) > 0;
    if (out->known && out->throttle_known)
        out->reason[0] = 0;
}
