/* SPDX-License-Identifier: Apache-2.0 */
/* Measures the limits of a device, and runs a workload for some seconds with each operation timed.
 */
#ifndef JM_HARNESS_ROOFLINE_RUN_H
#define JM_HARNESS_ROOFLINE_RUN_H

#include "harness/roofline/spot.h"
#include "harness/suite.h"
#include "workloads/workload.h"

enum { JM_ROOFS = 192, JM_ROOFLINE_CLASSES = 8, JM_ROOFLINE_RUNS = 2 };

/* One scenario of a workload. */
struct jm_roofline_run {
    char scenario[32];
    uint32_t batch;
    double seconds; /* profiled */
    struct jm_model_info model;
    struct jm_spots class[JM_ROOFLINE_CLASSES]; /* [n_classes]; those without batches are left out
                                                 */
    size_t n_classes;
};

struct jm_roofline {
    struct jm_device_info device;
    char backend[32];
    struct jm_roof roof[JM_ROOFS]; /* for rising numbers of threads, the last: all */
    size_t n_roofs;
    struct jm_roofline_run run[JM_ROOFLINE_RUNS];
    size_t n_runs;
};

/* Of 1, 2, 4, … and all threads of the device: with up to eight threads, each number. Adds to
 * r->roof. JM_EUNSUPPORTED: the backend cannot tell. */
jm_status jm_roofline_roofs(const struct jm_backend_ops *ops, jm_device *dev, struct jm_roofline *r,
                            jm_err *err);

/* Measures those of all threads once more, after the runs, keeps the better of both, and places all
 * operations anew: what else a machine does may have slowed one of the measurements. */
jm_status jm_roofline_again(const struct jm_backend_ops *ops, jm_device *dev, struct jm_roofline *r,
                            jm_err *err);

/* What runs, and for how long: `single-stream` has one query under way, any other as many as make
 * full batches. */
struct jm_roofline_load {
    const struct jm_workload_ops *workload;
    struct jm_workload_config config;
    const char *scenario;
    uint64_t seed;
    double warmup_s, seconds;
};

/* Adds r->run; after jm_roofline_roofs. JM_EUNSUPPORTED: the backend cannot time its operations. */
jm_status jm_roofline_profile(const struct jm_roofline_load *load, struct jm_roofline *r,
                              jm_err *err);

void jm_roofline_free(struct jm_roofline *r);

#endif
