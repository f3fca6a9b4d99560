/* SPDX-License-Identifier: Apache-2.0 */
/* Two sides of results compared metric by metric, with a verdict for each. */
#ifndef JM_HARNESS_COMPARE_REPORT_H
#define JM_HARNESS_COMPARE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "harness/compare/metric.h"
#include "harness/compare/pair.h"
#include "harness/stats/compare.h"

enum jm_verdict {
    JM_VERDICT_NONE,    /* not measured on both sides; why says so */
    JM_VERDICT_FEW,     /* too few runs for an interval: the ratio only */
    JM_VERDICT_BETTER,  /* corrected p < 0.05 and the interval leaves out 1 */
    JM_VERDICT_WORSE,   /* likewise */
    JM_VERDICT_SAME,    /* the interval lies within 1 -+ resolve */
    JM_VERDICT_UNKNOWN, /* no difference detectable; `more` runs a side may show one */
};

struct jm_report_how {
    double resolve;     /* the relative difference that matters: 0.03 */
    uint32_t resamples; /* of the bootstrap */
    uint64_t seed;
    /* The metrics to compare for a pair; NULL: all. */
    bool (*wanted)(const struct jm_metric *m, const struct jm_pair *p);
};

/* 3%, 5000 resamples, seed 1. */
extern const struct jm_report_how jm_report_default;

struct jm_finding {
    const struct jm_metric *metric;
    enum jm_verdict verdict;
    bool estimated;         /* energy from a model, not from a meter */
    struct jm_comparison c; /* unless JM_VERDICT_NONE */
    double p_holm;          /* c.p corrected over all findings of the report */
    double more;            /* runs a side; NAN unless JM_VERDICT_UNKNOWN or _FEW */
    char why[160];          /* one clause for _NONE */
};

/* The findings about one pair with both sides; metrics that neither side has are left out. */
struct jm_section {
    const struct jm_pair *pair;
    struct jm_finding *finding; /* [n] */
    size_t n;
};

struct jm_report {
    struct jm_section *section; /* [n] pairs with both sides */
    size_t n;
    struct jm_finding *findings; /* storage */
};

/* Compares every pair that has both sides. Keeps pointers into p; end with jm_report_free. */
jm_status jm_report_build(const struct jm_pairing *p, const struct jm_report_how *how,
                          struct jm_report *out, jm_err *err);
void jm_report_free(struct jm_report *r);

/* The verdict as a clause: "3.1% worse", "no difference detectable: needs about 7 more repeats". */
void jm_verdict_text(const struct jm_finding *f, const struct jm_report_how *how, char out[160]);

/* "better", "few", …: one word, for machines. */
const char *jm_verdict_name(enum jm_verdict v);

#endif
