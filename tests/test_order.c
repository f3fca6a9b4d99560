/* SPDX-License-Identifier: Apache-2.0 */
/* Presets, repeats and the order of runs. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/order.h"

static struct jm_run_config named(const char *name, uint32_t repeats)
{
    struct jm_run_config c;
    jm_run_config_init(&c);
    (void)snprintf(c.name, sizeof c.name, "%s", name);
    c.repeats = repeats;
    return c;
}

/* "a1 b1 a2 …" of a layout. */
static void describe(const struct jm_run_config *runs, size_t n, char *out, size_t room)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < n && at < room; i++)
        at += (size_t)snprintf(out + at, room - at, "%s%s%u", i ? " " : "", runs[i].name,
                               runs[i].repeat);
}

static void test_rounds(void)
{
    struct jm_run_config in[3] = { named("a", 2), named("b", 3), named("c", 1) }, *out;
    size_t n;
    char text[256];
    CU_ASSERT_EQUAL_FATAL(jm_order_runs(in, 3, &out, &n, NULL), JM_OK);
    describe(out, n, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "a1 b1 c1 a2 b2 b3");
    free(out);
    in[0].repeats = 1000;
    in[1].repeats = JM_MAX_LAID_OUT;
    CU_ASSERT_EQUAL(jm_order_runs(in, 3, &out, &n, NULL), JM_EUSAGE);
    CU_ASSERT_PTR_NULL(out);
}

static void test_shuffle(void)
{
    enum { RUNS = 8, ROUNDS = 50 };
    struct jm_run_config in[RUNS], *a, *b;
    uint32_t first[RUNS] = { 0 };
    size_t n, m;
    for (int i = 0; i < RUNS; i++) {
        char name[2] = { (char)('a' + i), 0 };
        in[i] = named(name, ROUNDS);
    }
    in[3].shuffle = 1;
    CU_ASSERT_EQUAL_FATAL(jm_order_runs(in, RUNS, &a, &n, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_order_runs(in, RUNS, &b, &m, NULL), JM_OK);
    CU_ASSERT(n == RUNS * ROUNDS && m == n && memcmp(a, b, n * sizeof *a) == 0);
    for (int r = 0; r < ROUNDS; r++) { /* each round has each run once */
        uint32_t seen = 0;
        for (int i = 0; i < RUNS; i++) {
            const struct jm_run_config *c = &a[r * RUNS + i];
            CU_ASSERT_EQUAL(c->repeat, (uint32_t)r + 1);
            seen |= 1u << (c->name[0] - 'a');
        }
        CU_ASSERT_EQUAL(seen, (1u << RUNS) - 1);
        first[a[r * RUNS].name[0] - 'a']++;
    }
    for (int i = 0; i < RUNS; i++) /* 50 / 8 expected, deviation 2.3 */
        CU_ASSERT(first[i] >= 1 && first[i] <= 17);
    free(b);
    in[0].seed = 2;
    CU_ASSERT_EQUAL_FATAL(jm_order_runs(in, RUNS, &b, &m, NULL), JM_OK);
    bool differs = false;
    for (size_t i = 0; i < n; i++)
        differs |= strcmp(a[i].name, b[i].name) != 0;
    CU_ASSERT(differs);
    free(a);
    free(b);
}

static void test_presets(void)
{
    struct jm_run_config c = named("a", 1);
    jm_err err = { .status = JM_OK };
    CU_ASSERT_EQUAL(jm_preset_apply(&c, NULL), JM_OK); /* none: nothing changes */
    CU_ASSERT(c.min_duration_s == 10 && c.repeats == 1);
    CU_ASSERT_EQUAL(jm_option_set(&c, "min-duration-s", "7", "test", NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_option_set(&c, "preset", "submission", "test", NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_preset_apply(&c, NULL), JM_OK);
    CU_ASSERT(c.min_duration_s == 7 && c.min_queries == 24576 && c.warmup_s == 10);
    (void)snprintf(c.scenario, sizeof c.scenario, "server");
    CU_ASSERT_EQUAL(jm_preset_apply(&c, NULL), JM_OK);
    CU_ASSERT_EQUAL(c.min_queries, 662);
    struct jm_run_config d = named("b", 1);
    CU_ASSERT_EQUAL(jm_option_set(&d, "preset", "submission", "test", NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_preset_apply(&d, NULL), JM_OK);
    CU_ASSERT_EQUAL(d.min_duration_s, 600);
    (void)snprintf(d.preset, sizeof d.preset, "standard");
    struct jm_run_config *out;
    size_t n;
    CU_ASSERT_EQUAL_FATAL(jm_order_runs(&d, 1, &out, &n, NULL), JM_OK);
    CU_ASSERT(n == 9 && out[8].repeat == 9 && out[0].min_duration_s == 20);
    free(out);
    (void)snprintf(d.preset, sizeof d.preset, "slow");
    CU_ASSERT_EQUAL(jm_order_runs(&d, 1, &out, &n, &err), JM_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "quick, standard or submission"));
}

/* What may stand beside --suite, and what it changes there. */
static void test_override(void)
{
    struct jm_run_config line, run = named("a", 1);
    jm_run_config_init(&line);
    CU_ASSERT(jm_options_suit_suite(&line));
    CU_ASSERT_EQUAL(jm_option_set(&line, "repeats", "4", "test", NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_option_set(&line, "shuffle", "yes", "test", NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_option_set(&line, "cooldown-s", "0.5", "test", NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_option_set(&line, "preset", "quick", "test", NULL), JM_OK);
    CU_ASSERT(jm_options_suit_suite(&line));
    run.seed = 77;
    jm_options_override(&run, &line);
    CU_ASSERT(run.repeats == 4 && run.shuffle == 1 && run.cooldown_s == 0.5 && run.seed == 77);
    CU_ASSERT_STRING_EQUAL(run.preset, "quick");
    CU_ASSERT(jm_option_given(&run, "repeats") && !jm_option_given(&run, "seed"));
    CU_ASSERT_EQUAL(jm_option_set(&line, "threads", "1", "test", NULL), JM_OK);
    CU_ASSERT(!jm_options_suit_suite(&line));
    CU_ASSERT_EQUAL(jm_option_set(&line, "shuffle", "1", "test", NULL), JM_EUSAGE);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("order", NULL, NULL);
    CU_add_test(s, "rounds", test_rounds);
    CU_add_test(s, "shuffle", test_shuffle);
    CU_add_test(s, "presets", test_presets);
    CU_add_test(s, "override", test_override);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
