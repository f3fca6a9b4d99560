/* SPDX-License-Identifier: Apache-2.0 */
/* The door to energy counters: a table of functions a meter, and the list of all meters. */
#ifndef JM_HARNESS_ENERGY_METER_H
#define JM_HARNESS_ENERGY_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { JM_METER_DOMAINS = 64 }; /* domains a meter has at most */

typedef struct jm_meter jm_meter; /* opaque, of the meter that opened it */

/* Where a meter looks; a test points it at a recorded tree. NULL: the system's own place. */
struct jm_meter_config {
    const char *root;    /* "/sys/class/powercap" */
    const char *cpuinfo; /* "/proc/cpuinfo" */
};

struct jm_meter_domain {
    char name[64];  /* "package-0/dram" */
    bool counted;   /* in the sum. Nested domains are never counted twice */
    double range_j; /* the counter wraps here; 0: unknown or never */
};

struct jm_meter_ops {
    const char *name;    /* "powercap" */
    const char *summary; /* one line */
    const char *scope;   /* what the joules cover: "chip" */
    double update_s;     /* the counter may be so old */
    /* JM_EUNSUPPORTED: no such counters here, the text says why. JM_EIO: there are, but they
     * cannot be read; the text says what to do. *out is NULL unless JM_OK. config may be NULL. */
    jm_status (*open)(const struct jm_meter_config *config, jm_meter **out, jm_err *err);
    void (*close)(jm_meter *m);           /* takes NULL */
    uint32_t (*count)(const jm_meter *m); /* 1..JM_METER_DOMAINS, at least one counted */
    void (*domain)(const jm_meter *m, uint32_t i, struct jm_meter_domain *out);
    /* joules [count] since open, wrap-arounds undone; *wraps: how many since open. One thread at a
     * time, and oftener than any counter wraps. After a failure the meter may be read again, but
     * joules between are not trustworthy: the window is void. */
    jm_status (*read)(jm_meter *m, double *joules, uint32_t *wraps, jm_err *err);
    double (*resolution_j)(const jm_meter *m); /* one count of the finest counted domain */
};

/* All meters, the preferred first; *n of them. */
const struct jm_meter_ops *const *jm_meters(size_t *n);

/* Opens the first meter that works. Otherwise *ops and *out are NULL and err says why: a missing
 * permission (JM_EIO) before a missing counter (JM_EUNSUPPORTED). config may be NULL. */
jm_status jm_meter_best(const struct jm_meter_config *config, const struct jm_meter_ops **ops,
                        jm_meter **out, jm_err *err);

#endif
