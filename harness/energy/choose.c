/* SPDX-License-Identifier: Apache-2.0 */
/* Which domains of several meters make the sum: see jm_energy_choose in session.h. */
#include "harness/energy/session.h"

enum { NO_METER = -1 };

/* The meter of the widest counted domain of a part. */
static int widest(const struct jm_meter_domain *d, const size_t *meter, size_t n,
                  enum jm_meter_part part)
{
    int best = NO_METER;
    enum jm_meter_scope scope = JM_SCOPE_CHIP;

    for (size_t i = 0; i < n; i++) {
        if (!d[i].counted || d[i].part != part)
            continue;
        if (best == NO_METER || d[i].scope > scope ||
            (d[i].scope == scope && (int)meter[i] < best)) {
            best = (int)meter[i];
            scope = d[i].scope;
        }
    }
    return best;
}

void jm_energy_choose(const struct jm_meter_domain *domain, const size_t *meter, size_t n,
                      bool *chosen)
{
    int all = widest(domain, meter, n, JM_PART_ALL);
    int cpu = all == NO_METER ? widest(domain, meter, n, JM_PART_CPU) : NO_METER;
    int gpu = all == NO_METER ? widest(domain, meter, n, JM_PART_GPU) : NO_METER;

    for (size_t i = 0; i < n; i++) {
        int of = domain[i].part == JM_PART_ALL ? all : domain[i].part == JM_PART_CPU ? cpu : gpu;
        chosen[i] = domain[i].counted && of == (int)meter[i];
    }
}
