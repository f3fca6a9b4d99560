/* SPDX-License-Identifier: Apache-2.0 */
/* The load generator: issues shuffled whole copies of the data set to a system under test and
 * keeps the times of every answer. */
#ifndef JM_HARNESS_LOAD_LOAD_H
#define JM_HARNESS_LOAD_LOAD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "harness/load/scenario.h"
#include "harness/sut.h"

/* fraction: 0..1 of the measured window. Called between answers, at most every 0.2 s. */
typedef void jm_load_progress_fn(double fraction, void *user);

/* Called outside the clock: open == true right before the measured window begins, after warm-up
 * and all allocation; open == false right after it ended, also when it ended with an error. An
 * energy meter starts and stops here. A failure of the opening call ends the run. */
typedef jm_status jm_load_window_fn(bool open, void *user, jm_err *err);

struct jm_load_config {
    enum jm_scenario scenario;
    uint64_t seed;
    double warmup_s;            /* >= 0; at least one sample is run */
    double min_duration_s;      /* >= 0; of the measured window */
    uint64_t min_queries;       /* samples; rounded up to whole copies of the data set */
    uint32_t max_ids;           /* samples in the window at most: what memory may be taken for */
    uint32_t samples_per_query; /* multi-stream */
    double target_qps;          /* server: mean arrivals a second, > 0 */
    /* Server: bounds that 99 % of queries must keep, one at least; 0: none. */
    double latency_s; /* scheduled arrival to the end of the answer */
    double ttft_s;    /* scheduled arrival to the first token; to the end where none is reported */
    double tpot_s;    /* a token after the first */
    bool steady; /* server: what waits may not grow, see jm_load_judge: a system answers all that
                    comes */
    /* Server: a probe for a search. It has any number of samples, a hundred or more, and is no
     * longer than min_duration_s and one bound. */
    bool probe;
    double stall_s; /* steps without any answer for so long are an error; 0: 60 s */
    const volatile sig_atomic_t *stop; /* may be NULL; non-zero: stop soon */
    jm_load_progress_fn *progress;     /* may be NULL */
    jm_load_window_fn *window;         /* may be NULL */
    void *user;                        /* for both */
};

struct jm_load_result {
    struct jm_timing *timings;    /* [issued] by sample id; owned. done_ns == 0: not answered */
    uint32_t issued;              /* samples given to the system */
    uint32_t n;                   /* answers; == issued unless interrupted, failed or overloaded */
    int64_t t_start_ns, t_end_ns; /* first scheduled arrival, last completion */
    double warmup_s;              /* as it was */
    double warmup_rate;           /* answers a second in warm-up */
    uint64_t copies;              /* whole copies of the data set that were answered */
    bool capped;     /* max_ids ended the window before minimum duration or queries were met */
    bool misjudged;  /* room for samples, taken by the warm-up's rate, ended it: capped as well */
    bool overloaded; /* server: ended early, as the bounds could no longer be kept */
    char overload[160]; /* what was seen then */
};

/**
 * Runs warm-up and one measured window. out is always valid afterwards and takes
 * jm_load_result_free. Single-stream: out->timings 0..n-1 are answered, whatever the status.
 *
 * The seed alone decides the order of samples and the arrivals. Offline takes as many copies as
 * the rate seen in warm-up asks for to fill min_duration_s; the window can turn out shorter. A
 * query of multi-stream never spans two copies: the last of a copy may have fewer samples. Server
 * issues at least as many samples as a 99th percentile with one exception takes, 662, and for ten
 * times the longest bound on the whole answer or its first token: a backlog needs time to show.
 *
 * JM_EUSAGE: senseless settings, or max_ids below one copy. JM_EDEVICE: no answer for stall_s and
 * 65,536 steps (a long answer takes long, but not that many steps), or answers that do not match
 * the samples: each id must be answered exactly once. JM_EINTERRUPTED: *stop was set; what was
 * answered until then is kept. An overloaded server run returns JM_OK.
 */
jm_status jm_load_run(const struct jm_sut *sut, const struct jm_load_config *cfg,
                      struct jm_load_result *out, jm_err *err);

/* Runs the warm-up only, with batches full where the scenario fills them: answers a second. */
jm_status jm_load_warmup_rate(const struct jm_sut *sut, const struct jm_load_config *cfg,
                              double *rate, jm_err *err);

/* Length of a server window as it is planned, seconds. */
double jm_load_server_s(const struct jm_load_config *cfg);

/* Memory that a sample costs the load generator, and its statistics afterwards. */
size_t jm_load_bytes_per_sample(void);

void jm_load_result_free(struct jm_load_result *r);

#endif
