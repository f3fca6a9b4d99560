/* SPDX-License-Identifier: Apache-2.0 */
/* The scenarios of the load generator and their names. */
#ifndef JM_HARNESS_LOAD_SCENARIO_H
#define JM_HARNESS_LOAD_SCENARIO_H

#include <stddef.h>

#include "base/status.h"

enum jm_scenario {
    JM_SINGLE_STREAM, /* the next sample is issued when the last is done */
    JM_MULTI_STREAM,  /* the same with a query of several samples */
    JM_SERVER,        /* samples arrive at random moments, at a given rate */
    JM_OFFLINE,       /* all samples are issued at once */
};

struct jm_scenario_info {
    enum jm_scenario scenario;
    const char *name;    /* the word after --scenario */
    const char *summary; /* one line */
};

/* All scenarios; *n of them. */
const struct jm_scenario_info *jm_scenarios(size_t *n);

/* JM_EUSAGE on any other name; the text lists those there are. */
jm_status jm_scenario_find(const char *name, enum jm_scenario *out, jm_err *err);

/* Never NULL; "unknown" for a value outside the table. */
const char *jm_scenario_name(enum jm_scenario scenario);

#endif
