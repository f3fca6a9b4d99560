/* SPDX-License-Identifier: Apache-2.0 */
/* A claim that can be run: "this gives at least 1.8 times the tokens per second of that, at 97%
 * quality", as a small INI file. */
#ifndef JM_HARNESS_RECORD_CLAIM_H
#define JM_HARNESS_RECORD_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sha256.h"
#include "base/status.h"
#include "harness/suite.h"

enum jm_relation { JM_AT_LEAST, JM_AT_MOST, JM_EQUAL };

/* A setting of the claim and the files it is about. */
struct jm_claim_side {
    struct jm_run_config run;
    char model_sha256[JM_SHA256_HEX]; /* of the model file as given, before any format; "": any */
    char data_sha256[JM_SHA256_HEX];  /* "": any */
};

struct jm_claim {
    char text[256];  /* in words */
    char metric[64]; /* a column of the results */
    enum jm_relation relation;
    double value;       /* of the ratio subject / other, or of the metric itself when no other */
    double tolerance;   /* 0.03: 3% to either side of value still agree */
    double min_quality; /* subject's quality_ratio at least; NAN: no condition */
    uint32_t repeats;   /* runs of each side */
    bool has_other;
    struct jm_claim_side subject, other;
};

/**
 * Reads a claim:
 *
 *     [claim]
 *     text = …            what is claimed, in words
 *     metric = tokens_out_per_s
 *     relation = at-least (or at-most, equal)
 *     value = 1.8
 *     tolerance = 3%      (3%)
 *     min-quality = 97%   (no condition)
 *     repeats = 9         (9; 5 to 1000)
 *     [subject]           any options of 'joulemark run', and model-sha256, data-sha256
 *     [other]             likewise; without this section value is of the metric itself
 *
 * JM_ENOTFOUND, JM_EIO; JM_EINPUT: over 64 KiB, a NUL byte, a line over 190 bytes, a section or key
 * unknown or given twice, a value out of bounds, no metric, value, relation or subject.
 */
jm_status jm_claim_load(const char *path, struct jm_claim *out, jm_err *err);

/* ---- what runs say of a claim ---- */

enum jm_claim_verdict { JM_CLAIM_REPRODUCED, JM_CLAIM_REFUTED, JM_CLAIM_UNDERPOWERED };

/* ratio: measured over claimed value, with its interval (NAN: too few runs). *more: repeats that
 * would decide, at least 1, when underpowered; the interval shrinks with the root of n. */
enum jm_claim_verdict jm_claim_judge(enum jm_relation relation, double tolerance, double ratio,
                                     double low, double high, uint32_t n, double *more);

#endif
