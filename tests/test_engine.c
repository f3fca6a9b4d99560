/* SPDX-License-Identifier: Apache-2.0 */
/* Continuous batching over a made-up backend whose next token is a hash of everything the slot
 * has seen, so that any wrong row, position or slot changes the answer. It also checks the rules
 * of struct jm_batch. */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "workloads/translate/engine.h"

enum { VOCAB = 97, STOP = 1, CONTEXT = 64, SLOTS = 32, REQUESTS = 100, MAX_OUT = CONTEXT + 1 };

struct jm_plan {
    struct jm_limits lim;
    uint32_t seen[SLOTS]; /* positions written */
    uint64_t hash[SLOTS];
    int32_t answer[SLOTS];
    uint32_t n_answers, max_rows_seen, executes;
    bool broken;   /* a rule of struct jm_batch was not kept */
    int32_t force; /* answer this when not 0 */
};

static jm_status fake_execute(jm_plan *p, const struct jm_batch *b, jm_err *err)
{
    bool left_behind[SLOTS] = { false };
    uint32_t g = 0;
    (void)err;
    p->executes++;
    p->broken |= b->n_rows == 0 || b->n_rows > p->lim.max_rows || b->n_gather > b->n_rows;
    for (uint32_t i = 0; i < b->n_rows && !p->broken; i++) {
        uint32_t s = b->slot[i];
        p->broken |= s >= p->lim.max_slots || b->pos[i] >= p->lim.max_context ||
                     b->token[i] >= VOCAB || left_behind[s];
        if (p->broken)
            break;
        if (b->pos[i] == 0)
            p->seen[s] = 0, p->hash[s] = 0;
        p->broken |= b->pos[i] != p->seen[s]++;
        jm_rng r = { .state = p->hash[s] + b->token[i] + 1 };
        p->hash[s] = jm_rng_u64(&r);
        if (g < b->n_gather && b->gather[g] == i)
            p->answer[g++] = p->force ? p->force : (int32_t)(1 + p->hash[s] % (VOCAB - 1) % 40);
        if (i + 1 < b->n_rows && b->slot[i + 1] != s)
            left_behind[s] = true;
    }
    p->broken |= g != b->n_gather;
    p->n_answers = g;
    p->max_rows_seen = b->n_rows > p->max_rows_seen ? b->n_rows : p->max_rows_seen;
    return JM_OK;
}

static jm_status fake_wait(jm_plan *p, jm_err *err)
{
    (void)p;
    (void)err;
    return JM_OK;
}

static jm_status fake_fetch(jm_plan *p, uint32_t out, uint32_t first, uint32_t n, void *dst,
                            jm_err *err)
{
    if (out != 0 || first + n > p->n_answers)
        return jm_fail(err, JM_EUSAGE, "fetch out of range");
    memcpy(dst, p->answer + first, n * sizeof *p->answer);
    return JM_OK;
}

static const struct jm_backend_ops fake = {
    .name = "fake", .execute = fake_execute, .wait = fake_wait, .fetch = fake_fetch
};

/* What came back. */
struct log {
    uint32_t n_out[REQUESTS], out[REQUESTS][MAX_OUT], firsts[REQUESTS], dones[REQUESTS];
    uint32_t told_in[REQUESTS], told_out[REQUESTS];
    jm_engine_end end[REQUESTS];
    uint32_t order[REQUESTS], n_first; /* ids in order of their first token */
};

static void on_first(void *user, uint32_t id)
{
    struct log *l = user;
    l->firsts[id]++;
    l->order[l->n_first++ % REQUESTS] = id;
}

static void on_token(void *user, uint32_t id, uint32_t token)
{
    struct log *l = user;
    if (l->n_out[id] < MAX_OUT)
        l->out[id][l->n_out[id]++] = token;
}

static void on_done(void *user, uint32_t id, uint32_t in, uint32_t out, jm_engine_end end)
{
    struct log *l = user;
    l->dones[id]++;
    l->told_in[id] = in;
    l->told_out[id] = out;
    l->end[id] = end;
}

static jm_engine *make(jm_plan *p, struct log *l, uint32_t rows, uint32_t slots)
{
    jm_engine *e = NULL;
    struct jm_limits lim = { .max_rows = rows, .max_slots = slots, .max_context = CONTEXT };
    *p = (jm_plan){ .lim = lim };
    memset(l, 0, sizeof *l);
    struct jm_engine_config cfg = {
        .ops = &fake,
        .plan = p,
        .limits = lim,
        .vocab = VOCAB,
        .max_queue = REQUESTS,
        .stop = { STOP },
        .n_stop = 1,
        .events = { .user = l, .first = on_first, .token = on_token, .done = on_done }
    };
    CU_ASSERT_EQUAL_FATAL(jm_engine_open(&cfg, &e, NULL), JM_OK);
    return e;
}

static uint32_t prompts[REQUESTS][CONTEXT], lengths[REQUESTS];

static void make_prompts(void)
{
    jm_rng r = { .state = 7 };
    for (uint32_t i = 0; i < REQUESTS; i++) {
        lengths[i] = 1 + (uint32_t)jm_rng_below(&r, i % 10 == 0 ? CONTEXT : 12);
        for (uint32_t k = 0; k < lengths[i]; k++)
            prompts[i][k] = (uint32_t)jm_rng_below(&r, VOCAB);
    }
}

static void submit(jm_engine *e, uint32_t i, uint32_t max_new)
{
    struct jm_engine_request r = {
        .id = i, .prompt = prompts[i], .n_prompt = lengths[i], .max_new = max_new
    };
    CU_ASSERT_EQUAL(jm_engine_submit(e, &r, NULL), JM_OK);
}

static void drain(jm_engine *e, const jm_plan *p)
{
    for (uint32_t i = 0; i < 100000 && jm_engine_pending(e); i++)
        CU_ASSERT_EQUAL_FATAL(jm_engine_step(e, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_engine_pending(e), 0);
    CU_ASSERT_FALSE(p->broken);
}

static struct log alone, many; /* too large for a stack */

static void run_alone(void)
{
    static struct log one;
    jm_plan p;
    memset(&alone, 0, sizeof alone);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        jm_engine *e = make(&p, &one, CONTEXT, 1);
        submit(e, i, 40);
        drain(e, &p);
        alone.n_out[i] = one.n_out[i];
        alone.end[i] = one.end[i];
        memcpy(alone.out[i], one.out[i], sizeof one.out[i]);
        jm_engine_close(e);
    }
}

static void compare_all(void)
{
    for (uint32_t i = 0; i < REQUESTS; i++) {
        CU_ASSERT_EQUAL(many.dones[i], 1);
        CU_ASSERT_EQUAL(many.firsts[i], 1);
        CU_ASSERT_EQUAL(many.n_out[i], alone.n_out[i]);
        CU_ASSERT_EQUAL(many.told_out[i], many.n_out[i]);
        CU_ASSERT_EQUAL(many.told_in[i], lengths[i]);
        CU_ASSERT_EQUAL(many.end[i], alone.end[i]);
        CU_ASSERT_EQUAL(memcmp(many.out[i], alone.out[i], sizeof alone.out[i]), 0);
    }
}

/* Alone or among 31 others, prompts whole or in pieces, few slots or many: the same answers. */
static void test_batch_invariance(void)
{
    static const struct {
        uint32_t rows, slots;
    } cases[] = { { 256, 32 }, { 32, 32 }, { 33, 32 }, { 2, 2 }, { 5, 3 }, { 1, 1 }, { 64, 7 } };
    run_alone();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        jm_plan p;
        jm_engine *e = make(&p, &many, cases[c].rows, cases[c].slots);
        for (uint32_t i = 0; i < REQUESTS; i++)
            submit(e, i, 40);
        drain(e, &p);
        compare_all();
        CU_ASSERT(p.max_rows_seen <= cases[c].rows);
        CU_ASSERT(p.max_rows_seen > cases[c].rows / 2); /* the budget is used */
        jm_engine_close(e);
    }
}

static void test_fifo(void)
{
    jm_plan p;
    jm_engine *e = make(&p, &many, 1, 1);
    for (uint32_t i = 0; i < 20; i++)
        submit(e, i, 3);
    drain(e, &p);
    for (uint32_t i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(many.order[i], i);
    jm_engine_close(e);
}

static void test_limits(void)
{
    jm_plan p;
    jm_engine *e = make(&p, &many, 16, 4);
    p.force = 5; /* never stops by itself */
    lengths[0] = CONTEXT;
    lengths[1] = 10;
    lengths[2] = 10;
    submit(e, 0, 1000);
    submit(e, 1, 1000);
    submit(e, 2, 7);
    submit(e, 3, 0);
    drain(e, &p);
    CU_ASSERT_EQUAL(many.n_out[0], 1);
    CU_ASSERT_EQUAL(many.n_out[1], CONTEXT - 10 + 1);
    CU_ASSERT_EQUAL(many.n_out[2], 7);
    CU_ASSERT_EQUAL(many.n_out[3], 0);
    for (uint32_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(many.end[i], JM_ENGINE_LENGTH);
    p.force = VOCAB; /* a backend gone wrong */
    submit(e, 4, 5);
    jm_err err = { 0 };
    jm_status st = JM_OK;
    for (int i = 0; i < 5 && st == JM_OK; i++)
        st = jm_engine_step(e, &err);
    CU_ASSERT_EQUAL(st, JM_EDEVICE);
    jm_engine_close(e);
    make_prompts();
}

static void test_refusals(void)
{
    jm_plan p;
    jm_err err = { 0 };
    jm_engine *e = make(&p, &many, 16, 4);
    uint32_t long_prompt[CONTEXT + 1] = { 0 }, bad = VOCAB;
    struct jm_engine_request empty = { .id = 1, .max_new = 1 };
    struct jm_engine_request too_long = {
        .id = 2, .prompt = long_prompt, .n_prompt = CONTEXT + 1, .max_new = 1
    };
    struct jm_engine_request outside = { .id = 3, .prompt = &bad, .n_prompt = 1, .max_new = 1 };
    CU_ASSERT_EQUAL(jm_engine_submit(e, &empty, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_engine_submit(e, &too_long, &err), JM_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "65 tokens"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "64"));
    CU_ASSERT_EQUAL(jm_engine_submit(e, &outside, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_engine_step(e, NULL), JM_OK); /* nothing pending: nothing runs */
    CU_ASSERT_EQUAL(p.executes, 0);
    for (uint32_t i = 0; i < REQUESTS; i++)
        submit(e, i, 1);
    struct jm_engine_request full = { .id = 0, .prompt = prompts[0], .n_prompt = 1, .max_new = 1 };
    CU_ASSERT_EQUAL(jm_engine_submit(e, &full, NULL), JM_EUSAGE);
    jm_engine_clear(e);
    CU_ASSERT_EQUAL(jm_engine_pending(e), 0);
    jm_engine_close(e);
    jm_engine_close(NULL);
    struct jm_engine_config cfg = { .ops = &fake,
                                    .plan = &p,
                                    .vocab = VOCAB,
                                    .max_queue = 1,
                                    .limits = { .max_rows = 3, .max_slots = 4, .max_context = 8 } };
    CU_ASSERT_EQUAL(jm_engine_open(&cfg, &e, NULL), JM_EUSAGE);
    CU_ASSERT_PTR_NULL(e);
}

/* Queued and running requests go away; the others do not notice. */
static void test_cancel(void)
{
    jm_plan p;
    run_alone();
    jm_engine *e = make(&p, &many, 16, 4);
    for (uint32_t i = 0; i < 30; i++)
        submit(e, i, 40);
    CU_ASSERT_EQUAL(jm_engine_step(e, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_engine_cancel(e, 0, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_engine_cancel(e, 20, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_engine_cancel(e, 20, NULL), JM_ENOTFOUND);
    CU_ASSERT_EQUAL(jm_engine_cancel(e, 99, NULL), JM_ENOTFOUND);
    drain(e, &p);
    for (uint32_t i = 0; i < 30; i++) {
        bool gone = i == 0 || i == 20;
        CU_ASSERT_EQUAL(many.dones[i], 1);
        CU_ASSERT_EQUAL(many.end[i], gone ? JM_ENGINE_CANCELLED : alone.end[i]);
        if (!gone)
            CU_ASSERT_EQUAL(memcmp(many.out[i], alone.out[i], sizeof alone.out[i]), 0);
    }
    jm_engine_close(e);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("engine", NULL, NULL);
    make_prompts();
    CU_add_test(s, "batch invariance", test_batch_invariance);
    CU_add_test(s, "first in, first out", test_fifo);
    CU_add_test(s, "limits", test_limits);
    CU_add_test(s, "refusals", test_refusals);
    CU_add_test(s, "cancel", test_cancel);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
