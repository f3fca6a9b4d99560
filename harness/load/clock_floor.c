/* SPDX-License-Identifier: Apache-2.0 */
/* See clock_floor.h. */
#include "harness/load/clock_floor.h"

#include <math.h>
#include <stdint.h>

#include "base/clock.h"

enum { GAPS = 1 << 16, STEPS = 60 };    /* after so many gaps the loop ends */
static const int64_t shortest_ns = 500; /* what is shorter is the loop itself */

double jm_clock_floor_of(const double *gap_s, size_t n, double total_s)
{
    double low = 0.0, high = total_s;
    for (int i = 0; i < STEPS; i++) {
        double x = (low + high) / 2.0, late_s = 0.0;
        for (size_t k = 0; k < n; k++)
            late_s += fmax(gap_s[k] - x, 0.0);
        if (late_s > 0.01 * total_s)
            low = x;
        else
            high = x;
    }
    return high < 1e-12 ? 0.0 : high;
}

double jm_clock_floor_s(double seconds)
{
    static double gap_s[GAPS];
    size_t n = 0;
    const int64_t start_ns = jm_now_ns(), end_ns = start_ns + (int64_t)(seconds * 1e9);
    int64_t last_ns = start_ns, now_ns = start_ns;
    for (; now_ns < end_ns && n < GAPS; last_ns = now_ns) {
        now_ns = jm_now_ns();
        if (now_ns - last_ns >= shortest_ns)
            gap_s[n++] = (double)(now_ns - last_ns) * 1e-9;
    }
    return jm_clock_floor_of(gap_s, n, (double)(now_ns - start_ns) * 1e-9);
}
