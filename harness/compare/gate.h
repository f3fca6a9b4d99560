/* SPDX-License-Identifier: Apache-2.0 */
/* Whether new results may pass: no slower, no hungrier, no worse than a baseline beyond stated
 * limits. What cannot be judged never passes. */
#ifndef JM_HARNESS_COMPARE_GATE_H
#define JM_HARNESS_COMPARE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/status.h"
#include "harness/compare/report.h"

struct jm_gate_limits {
    double slowdown, energy; /* 0.03: 3% more time or joules */
    double quality;          /* 0.99: of the baseline's */
    bool energy_required;    /* false: energy that neither side has is not judged */
    uint32_t repeats;        /* a side at least */
};

/* 3%, 3%, 99%, not required, 9 (see CONTRIBUTING.md for the error rates at these). */
extern const struct jm_gate_limits jm_gate_default;

enum jm_gate_outcome {
    JM_GATE_PASS,
    JM_GATE_SKIPPED,      /* not judged, and need not be */
    JM_GATE_REGRESSION,   /* worse, or the new run is invalid */
    JM_GATE_INCOMPARABLE, /* cannot be judged */
};

struct jm_gate_check {
    enum jm_gate_outcome outcome;
    char setting[JM_PAIR_TEXT]; /* which runs */
    char subject[32];           /* metric, "status", … */
    char text[JM_PAIR_TEXT + 256];
};

struct jm_gate {
    struct jm_gate_check *check; /* [n] */
    size_t n, room;
    enum jm_gate_outcome outcome; /* a regression, else what is incomparable, else pass */
};

/* Judges rows fresh [n_fresh] against base [n_base]. End with jm_gate_free, also after a failure.
 * JM_ENOMEM. */
jm_status jm_gate_judge(const struct jm_record *base, size_t n_base, const struct jm_record *fresh,
                        size_t n_fresh, const struct jm_gate_limits *limits, struct jm_gate *out,
                        jm_err *err);
void jm_gate_free(struct jm_gate *g);

/* One check about the files as a whole, for what is wrong before rows can be judged. */
jm_status jm_gate_add(struct jm_gate *g, enum jm_gate_outcome outcome, const char *setting,
                      const char *subject, const char *text, jm_err *err);

/* Two-sided p below which a difference counts. Half of it, 1%, bounds false alarms of unchanged
 * results whatever the noise, if the runs of both sides are alike or interleaved. */
extern const double jm_gate_alpha;

/* The rule: corrected p below jm_gate_alpha and the whole 95% interval beyond 1 + limit on the bad
 * side. False where there is no interval. */
bool jm_gate_is_regression(const struct jm_ratio *r, double p, bool higher_is_better, double limit);

/* Lines for people; workflow commands that GitHub shows beside a change; a JUnit file. */
void jm_gate_print(FILE *f, const struct jm_gate *g);
void jm_gate_print_github(FILE *f, const struct jm_gate *g);
void jm_gate_print_junit(FILE *f, const struct jm_gate *g);

#endif
