/* SPDX-License-Identifier: Apache-2.0 */
/* See order.h. */
#include "harness/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static const struct preset {
    const char *name;
    double warmup_s, min_duration_s;
    uint64_t offline_queries, queries; /* queries: of the other scenarios */
    uint32_t repeats;
} presets[] = {
    { .name = "quick",
      .warmup_s = 0.5,
      .min_duration_s = 3,
      .offline_queries = 64,
      .queries = 64,
      .repeats = 1 },
    /* 662 queries bound a 99th percentile; nine repeats a side are what a rank test needs. */
    { .name = "standard",
      .warmup_s = 2,
      .min_duration_s = 20,
      .offline_queries = 662,
      .queries = 662,
      .repeats = 9 },
    { .name = "submission",
      .warmup_s = 10,
      .min_duration_s = 600,
      .offline_queries = 24576,
      .queries = 662,
      .repeats = 1 },
};

jm_status jm_preset_apply(struct jm_run_config *c, jm_err *err)
{
    const struct preset *p = NULL;

    if (!c->preset[0])
        return JM_OK;
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        if (strcmp(presets[i].name, c->preset) == 0)
            p = &presets[i];
    if (!p)
        return jm_fail(err, JM_EUSAGE, "no preset '%s'; choose quick, standard or submission",
                       c->preset);
    if (!jm_option_given(c, "warmup-s"))
        c->warmup_s = p->warmup_s;
    if (!jm_option_given(c, "min-duration-s"))
        c->min_duration_s = p->min_duration_s;
    if (!jm_option_given(c, "min-queries"))
        c->min_queries = strcmp(c->scenario, "offline") == 0 ? p->offline_queries : p->queries;
    if (!jm_option_given(c, "repeats"))
        c->repeats = p->repeats;
    return JM_OK;
}

static void shuffle(struct jm_run_config *runs, size_t n, jm_rng *rng)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)jm_rng_below(rng, i);
        struct jm_run_config t = runs[i - 1];
        runs[i - 1] = runs[j];
        runs[j] = t;
    }
}

/* all [total] is filled round by round. */
static void lay_out(const struct jm_run_config *runs, size_t n, struct jm_run_config *all,
                    size_t total)
{
    jm_rng rng = { .state = runs[0].seed };
    bool random = false;
    size_t at = 0;

    for (size_t i = 0; i < n; i++)
        random |= runs[i].shuffle != 0;
    for (uint32_t round = 1; at < total; round++) {
        size_t first = at;
        for (size_t i = 0; i < n; i++) {
            all[at] = runs[i];
            (void)jm_preset_apply(&all[at], NULL);
            all[at].repeat = round;
            at += all[at].repeats >= round; /* else the next overwrites it */
            if (at == total)
                break;
        }
        if (random)
            shuffle(all + first, at - first, &rng);
    }
}

jm_status jm_order_runs(const struct jm_run_config *runs, size_t n, struct jm_run_config **out,
                        size_t *n_out, jm_err *err)
{
    size_t total = 0;

    *out = NULL;
    *n_out = 0;
    for (size_t i = 0; i < n; i++) {
        struct jm_run_config c = runs[i];
        jm_status st = jm_preset_apply(&c, err);
        if (st != JM_OK)
            return st;
        total += c.repeats;
    }
    if (total == 0 || total > JM_MAX_LAID_OUT)
        return jm_fail(err, JM_EUSAGE, "%zu runs, repeats counted; 1 to %d are possible", total,
                       JM_MAX_LAID_OUT);
    struct jm_run_config *all = calloc(total, sizeof *all);
    if (!all)
        return jm_fail(err, JM_ENOMEM, "no memory for %zu runs", total);
    lay_out(runs, n, all, total);
    *out = all;
    *n_out = total;
    return JM_OK;
}
