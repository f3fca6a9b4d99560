/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence that clocks held: what cores run at, and how often they were throttled. */
#ifndef JM_HARNESS_SYSTEM_FREQUENCY_H
#define JM_HARNESS_SYSTEM_FREQUENCY_H

#include <stdbool.h>
#include <stdint.h>

struct jm_frequency {
    bool known;          /* mean_khz is of one core at least */
    uint64_t mean_khz;   /* over all cores that tell */
    bool throttle_known; /* throttles is of one core at least */
    uint64_t throttles;  /* thermal events of all cores since boot */
    char reason[160];    /* of the first that is not known; "" when both are */
};

/* root: prefix of /sys, "" for this machine. */
void jm_frequency_read(const char *root, struct jm_frequency *out);

#endif
