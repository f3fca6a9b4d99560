/* SPDX-License-Identifier: Apache-2.0 */
/* The door to energy meters: a table of functions a meter, and the list of all meters. */
#ifndef JM_HARNESS_ENERGY_METER_H
#define JM_HARNESS_ENERGY_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { JM_METER_DOMAINS = 64 }; /* domains a meter has at most */

typedef struct jm_meter jm_meter; /* opaque, of the meter that opened it */

/* How much of the machine a domain covers; a later one contains the earlier. */
enum jm_meter_scope { JM_SCOPE_CHIP, JM_SCOPE_BOARD, JM_SCOPE_NODE, JM_SCOPE_WALL };

/* Whose energy it is. What covers all contains every processor and device; a GPU's own counter is
 * inside no counter of the CPU. */
enum jm_meter_part { JM_PART_CPU, JM_PART_GPU, JM_PART_ALL };

enum jm_meter_kind {
    JM_METER_COUNTER, /* joules since open */
    JM_METER_POWER    /* watts at the time of the reading */
};

/* What a meter needs to know. NULL and 0: the system's own place, the default. */
struct jm_meter_config {
    const char *root; /* prefix of /sys and /proc, so that a test can use a recorded tree */
    const char *path; /* the file of a meter that has one: powerlog, estimate */
    double offset_s;  /* powerlog: added to its times to get this machine's */
    double gap_s;     /* powerlog: longest time without a line; 0: 3 s */
    enum jm_meter_scope scope; /* powerlog: what the outside meter covers */
};

struct jm_meter_domain {
    char name[64]; /* "package-0/dram" */
    enum jm_meter_scope scope;
    enum jm_meter_part part;
    enum jm_meter_kind kind;
    int parent;      /* the domain of this meter that contains this one, -1: none */
    bool counted;    /* in the meter's sum; never together with a domain that contains it */
    double range_j;  /* a counter wraps here; 0: unknown or never */
    double step;     /* least difference shown, in J (counter) or W (power) */
    double update_s; /* a value may be so old; 0: as the meter's */
    double gap_s;    /* readings farther apart void the window; 0: any distance will do */
};

/* One reading with its own time (jm_now_ns), value: [count]. */
typedef void jm_meter_sample_fn(int64_t t_ns, const double *value, void *user);

struct jm_meter_ops {
    const char *name;    /* "powercap" */
    const char *summary; /* one line */
    double update_s;     /* a value may be so old, where it cannot be seen changing */
    double interval_s;   /* between readings; 0: the default */
    bool estimated;      /* no measurement: every output says so, and only asking opens it */
    bool takes_file;     /* config->path is needed; otherwise it is unused */
    bool slow;           /* a reading takes long: none is made at the edges of a window */
    /* JM_EUNSUPPORTED: no such counters here, the text says why. JM_EIO: there are, but they
     * cannot be read; the text says what to do. *out is NULL unless JM_OK. config may be NULL. */
    jm_status (*open)(const struct jm_meter_config *config, jm_meter **out, jm_err *err);
    void (*close)(jm_meter *m);           /* takes NULL */
    uint32_t (*count)(const jm_meter *m); /* 1..JM_METER_DOMAINS, at least one counted */
    void (*domain)(const jm_meter *m, uint32_t i, struct jm_meter_domain *out);
    /* value [count]: J or W by kind, wrap-arounds undone; *wraps: how many since open. One thread
     * at a time, and oftener than any counter wraps. After a failure the meter may be read again,
     * but joules between are not trustworthy: the window is void. */
    jm_status (*read)(jm_meter *m, double *value, uint32_t *wraps, jm_err *err);
    /* Instead of read (which is NULL then), for samples that carry their own times: hands over all
     * that have arrived, times rising. */
    jm_status (*drain)(jm_meter *m, jm_meter_sample_fn *sink, void *user, jm_err *err);
};

/* All meters, the preferred first; *n of them. */
const struct jm_meter_ops *const *jm_meters(size_t *n);

/* NULL: no such meter. */
const struct jm_meter_ops *jm_meter_find(const char *name);

/* "chip", "board", "node" or "wall". */
const char *jm_meter_scope_name(enum jm_meter_scope scope);

/* False: no such scope; *out is untouched. */
bool jm_meter_scope_find(const char *name, enum jm_meter_scope *out);

#endif
