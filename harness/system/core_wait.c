/* SPDX-License-Identifier: Apache-2.0 */
/* See core_wait.h. */
#include "harness/system/core_wait.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/clock.h"

struct jm_core_wait jm_core_wait_read(void)
{
    struct jm_core_wait w = { .wait_ns = -1 };
    int64_t ran_ns, wait_ns;
    FILE *f = fopen("/proc/thread-self/schedstat", "re");

    if (f && fscanf(f, "%" SCNd64 " %" SCNd64, &ran_ns, &wait_ns) == 2 && wait_ns >= 0)
        w.wait_ns = wait_ns;
    if (f)
        (void)fclose(f);
    w.at_ns = jm_now_ns();
    return w;
}

double jm_core_wait_share(struct jm_core_wait a, struct jm_core_wait b)
{
    if (a.wait_ns < 0 || b.wait_ns < a.wait_ns || b.at_ns <= a.at_ns)
        return (double)NAN;
    return (double)(b.wait_ns - a.wait_ns) / (double)(b.at_ns - a.at_ns);
}
