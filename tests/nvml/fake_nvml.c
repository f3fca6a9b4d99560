/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for NVIDIA's libnvidia-ml.so.1 with two GPUs at 40 and 10 W; the environment variable
 * JM_FAKE_NVML says how they behave. The counters advance every 20 ms. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define EXPORT __attribute__((visibility("default")))

enum { SUCCESS = 0, NOT_SUPPORTED = 3, GPU_IS_LOST = 15 };

static int gpu[2] = { 0, 1 };

static int is(const char *how)
{
    const char *s = getenv("JM_FAKE_NVML");
    return s && strcmp(s, how) == 0;
}

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlShutdown(void);
EXPORT const char *nvmlErrorString(int rc);
EXPORT int nvmlDeviceGetCount_v2(unsigned *n);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned i, int **out);
EXPORT int nvmlDeviceGetName(int *g, char *name, unsigned size);
EXPORT int nvmlDeviceGetTotalEnergyConsumption(int *g, unsigned long long *mj);
EXPORT int nvmlDeviceGetPowerUsage(int *g, unsigned *mw);

int nvmlInit_v2(void)
{
    return is("no driver") ? 9 : SUCCESS;
}

int nvmlShutdown(void)
{
    return SUCCESS;
}

const char *nvmlErrorString(int rc)
{
    return rc == GPU_IS_LOST ? "GPU is lost" : rc == 9 ? "Driver Not Loaded" : "Not Supported";
}

int nvmlDeviceGetCount_v2(unsigned *n)
{
    *n = is("no gpu") ? 0 : 2;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, int **out)
{
    *out = &gpu[i];
    return SUCCESS;
}

int nvmlDeviceGetName(int *g, char *name, unsigned size)
{
    snprintf(name, size, "Fake \"%d\"", *g);
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(int *g, unsigned long long *mj)
{
    if (is("power"))
        return NOT_SUPPORTED;
    if (is("lost") && *g == 1)
        return GPU_IS_LOST;
    if (is("back") && *g == 1) {
        *mj = 1;
        return SUCCESS;
    }
    *mj = 1000000 + (unsigned long long)(jm_now_ns() / 20000000) * 20 * (*g ? 10 : 40);
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(int *g, unsigned *mw)
{
    if (is("neither"))
        return NOT_SUPPORTED;
    *mw = *g ? 10000 : 40000;
    return SUCCESS;
}
