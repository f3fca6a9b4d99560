/* SPDX-License-Identifier: Apache-2.0 */
/* The bundled translator against a PyTorch run of the same files (tests/fixtures/tiny-mt-*.json):
 * greedy token ids, and the five best logits of the first steps. Backend: JM_TEST_BACKEND (cpu);
 * instruction set: JM_TEST_ISA or the first argument, otherwise all that the device opens with. */
#include <CUnit/Basic.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "base/file.h"
#include "workloads/model/hunyuan_dense.h"
#include "workloads/translate/engine.h"

enum { ROWS = 64, SLOTS = 32, CASES = 64, CONTEXT = 128, MAX_OUT = 64, TOP = 5, EOS = 1 };

static jm_backend backend;
static const char *only_isa;

/* One model on one device. */
struct rig {
    jm_map map;
    jm_gguf *file;
    jm_graph *graph;
    struct jm_hunyuan params;
    jm_device *device;
    jm_plan *plan;
    cJSON *golden;
    float *logits;    /* [vocab] */
    double tolerance; /* on a logit */
};

static const struct jm_limits limits = { .max_rows = ROWS,
                                         .max_slots = SLOTS,
                                         .max_context = CONTEXT };

static void rig_close(struct rig *r)
{
    backend.ops->plan_close(r->plan);
    backend.ops->close(r->device);
    jm_graph_free(r->graph);
    jm_gguf_close(r->file);
    cJSON_Delete(r->golden);
    jm_map_close(&r->map);
    free(r->logits);
    *r = (struct rig){ 0 };
}

static bool rig_load(struct rig *r, const char *name, const char *isa, jm_err *err)
{
    char path[512];
    struct jm_device_options opt = { .threads = 1, .isa = isa };
    if (backend.ops->open(0, &opt, &r->device, err) != JM_OK)
        return false;
    snprintf(path, sizeof path, "%s/%s.gguf", JM_DATA, name);
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(path, &r->file, err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_hunyuan_build(r->file, &r->graph, &r->params, err), JM_OK);
    CU_ASSERT_PTR_NULL(jm_backend_missing(backend.ops, r->device, r->graph));
    CU_ASSERT_EQUAL_FATAL(backend.ops->compile(r->device, r->graph, &limits, &r->plan, err), JM_OK);
    snprintf(path, sizeof path, "%s/%s.json", JM_FIXTURES, name);
    CU_ASSERT_EQUAL_FATAL(jm_map_open(path, &r->map, err), JM_OK);
    r->golden = cJSON_ParseWithLength((const char *)r->map.data, r->map.bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r->golden);
    r->logits = calloc(r->params.vocab, sizeof *r->logits);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r->logits);
    return true;
}

/* How far a logit may be from the f32 reference. Scalar kernels sum in f64 and keep f32 between
 * operations: 1e-3. Vector kernels on F16 also round activations or partial sums in f32: 5e-3.
 * Vector kernels on STQ1_0 may round activations to 8 bits: an error of at most 1/254 of a block's
 * largest value, about 1% of a value's RMS, in each of 42 matrices; independent, they add up to
 * sqrt(42) * 1% / sqrt(3) = 4% of a residual, and a logit of 10 moves by 0.4. */
static double tolerance(const char *name, const char *isa)
{
    if (isa && strcmp(isa, "scalar") == 0)
        return 1e-3;
    return strstr(name, "f16") ? 5e-3 : 0.4;
}

static void feed(struct rig *r, const uint32_t *token, uint32_t first, uint32_t n)
{
    uint32_t slot[CONTEXT] = { 0 }, pos[CONTEXT], gather = n - 1;
    for (uint32_t i = 0; i < n; i++)
        pos[i] = first + i;
    struct jm_batch b = {
        .n_rows = n, .token = token, .slot = slot, .pos = pos, .n_gather = 1, .gather = &gather
    };
    CU_ASSERT_EQUAL_FATAL(backend.ops->execute(r->plan, &b, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(backend.ops->wait(r->plan, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(backend.ops->fetch(r->plan, JM_HUNYUAN_LOGITS, 0, 1, r->logits, NULL),
                          JM_OK);
}

static uint32_t ids_of(const cJSON *c, const char *key, uint32_t *out, uint32_t max)
{
    const cJSON *v;
    uint32_t n = 0;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, key)) if (n < max) out[n++] =
        (uint32_t)v->valueint;
    return n;
}

static double number(const cJSON *o, const char *key, int i)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItem(o, key), i)->valuedouble;
}

static void check_step(const struct rig *r, const cJSON *step)
{
    double sum = 0, sq = 0, n = r->params.vocab;
    for (uint32_t i = 0; i < r->params.vocab; i++)
        sum += r->logits[i], sq += (double)r->logits[i] * r->logits[i];
    double mean = sum / n, std = sqrt(sq / n - mean * mean);
    /* The file's std may divide by n or n - 1: 1e-4 of it lies between them. */
    CU_ASSERT(fabs(mean - cJSON_GetObjectItem(step, "logit_mean")->valuedouble) <= r->tolerance);
    CU_ASSERT(fabs(std - cJSON_GetObjectItem(step, "logit_std")->valuedouble) <=
              r->tolerance + 1e-4 * std);
    for (int i = 0; i < TOP; i++) {
        uint32_t id = (uint32_t)number(step, "top_ids", i);
        CU_ASSERT_FATAL(id < r->params.vocab);
        CU_ASSERT(fabs(r->logits[id] - number(step, "top_logits", i)) <= r->tolerance);
    }
}

/* Logits of the first steps, fed with the reference's own tokens. */
static void check_logits(struct rig *r, const cJSON *c)
{
    uint32_t prompt[CONTEXT], want[MAX_OUT], at = ids_of(c, "prompt_ids", prompt, CONTEXT), t = 0;
    uint32_t n_want = ids_of(c, "output_ids", want, MAX_OUT);
    const cJSON *step;
    feed(r, prompt, 0, at);
    cJSON_ArrayForEach(step, cJSON_GetObjectItem(c, "first_steps"))
    {
        check_step(r, step);
        if (t == n_want)
            break;
        feed(r, &want[t++], at++, 1);
    }
}

/* Greedy decoding by the engine; a flip at a near tie (twice the tolerance) ends the comparison. */
struct answer {
    uint32_t n, ids[MAX_OUT];
};
static struct answer answers[CASES];

static void on_token(void *user, uint32_t id, uint32_t token)
{
    (void)user;
    if (answers[id].n < MAX_OUT)
        answers[id].ids[answers[id].n++] = token;
}

static jm_engine *engine(const struct rig *r, uint32_t rows)
{
    jm_engine *e;
    struct jm_engine_config cfg = { .ops = backend.ops,
                                    .plan = r->plan,
                                    .limits = limits,
                                    .vocab = r->params.vocab,
                                    .max_queue = CASES,
                                    .stop = { EOS },
                                    .n_stop = 1,
                                    .events = { .token = on_token } };
    cfg.limits.max_rows = rows;
    memset(answers, 0, sizeof answers);
    CU_ASSERT_EQUAL_FATAL(jm_engine_open(&cfg, &e, NULL), JM_OK);
    return e;
}

static void drain(jm_engine *e)
{
    while (jm_engine_pending(e))
        CU_ASSERT_EQUAL_FATAL(jm_engine_step(e, NULL), JM_OK);
    jm_engine_close(e);
}

/* Whether the reference's token was a near tie with got, by our own logits at that step. */
static bool near_tie(struct rig *r, const cJSON *c, const uint32_t *want, uint32_t t, uint32_t got)
{
    uint32_t prompt[CONTEXT], n = ids_of(c, "prompt_ids", prompt, CONTEXT);
    double gap = 2 * r->tolerance > 1e-3 ? 2 * r->tolerance : 1e-3;
    feed(r, prompt, 0, n);
    for (uint32_t i = 0; i < t; i++)
        feed(r, &want[i], n + i, 1);
    return fabs(r->logits[got] - r->logits[want[t]]) <= gap;
}

static void check_answers(struct rig *r)
{
    const cJSON *cases = cJSON_GetObjectItem(r->golden, "cases"), *c;
    uint32_t id = 0;
    cJSON_ArrayForEach(c, cases)
    {
        uint32_t want[MAX_OUT], n = ids_of(c, "output_ids", want, MAX_OUT - 1), t = 0;
        const struct answer *a = &answers[id++];
        want[n] = EOS; /* what ends the reference's answer */
        while (t < n && t < a->n && a->ids[t] == want[t])
            t++;
        if (t == n && a->n == n)
            continue;
        CU_ASSERT(near_tie(r, c, want, t, t < a->n ? a->ids[t] : EOS));
    }
}

static uint32_t submit_all(const struct rig *r, jm_engine *e, uint32_t prompts[][CONTEXT])
{
    const cJSON *c;
    uint32_t id = 0;
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(r->golden, "cases"))
    {
        if (id == CASES)
            break;
        struct jm_engine_request q = { .id = id,
                                       .prompt = prompts[id],
                                       .max_new = MAX_OUT,
                                       .n_prompt = ids_of(c, "prompt_ids", prompts[id], CONTEXT) };
        CU_ASSERT_EQUAL(jm_engine_submit(e, &q, NULL), JM_OK);
        id++;
    }
    return id;
}

/* 32 rows for up to 32 sequences: prompts come in pieces, and must give the same. */
static void check_pieces(const struct rig *r, uint32_t prompts[][CONTEXT],
                         const struct answer *together)
{
    jm_engine *e = engine(r, SLOTS);
    submit_all(r, e, prompts);
    drain(e);
    CU_ASSERT_EQUAL(memcmp(together, answers, sizeof answers), 0);
}

static void check_engine(struct rig *r, bool pieces)
{
    static uint32_t prompts[CASES][CONTEXT];
    static struct answer together[CASES];
    jm_engine *e = engine(r, ROWS);
    uint32_t n = submit_all(r, e, prompts);
    drain(e);
    check_answers(r);
    memcpy(together, answers, sizeof together);
    if (pieces)
        check_pieces(r, prompts, together);
    /* Alone, the first and the last. */
    for (uint32_t id = 0; id<n; id += n> 1 ? n - 1 : 1) {
        uint32_t len = ids_of(cJSON_GetArrayItem(cJSON_GetObjectItem(r->golden, "cases"), (int)id),
                              "prompt_ids", prompts[id], CONTEXT);
        struct jm_engine_request q = {
            .id = id, .prompt = prompts[id], .n_prompt = len, .max_new = MAX_OUT
        };
        e = engine(r, ROWS);
        CU_ASSERT_EQUAL(jm_engine_submit(e, &q, NULL), JM_OK);
        drain(e);
        CU_ASSERT_EQUAL(memcmp(&together[id], &answers[id], sizeof together[id]), 0);
    }
}

static void check_model(const char *name)
{
    static const char *const cpu_isas[] = { "scalar", "avx2", "avx512", "avx512-vbmi" };
    bool cpu = strcmp(backend.ops->name, "cpu") == 0;
    uint32_t ran = 0;
    for (size_t i = 0; i < (cpu && !only_isa ? sizeof cpu_isas / sizeof *cpu_isas : 1); i++) {
        const char *isa = only_isa ? only_isa : cpu ? cpu_isas[i] : NULL;
        struct rig r = { .tolerance = tolerance(name, isa) };
        jm_err err = { 0 };
        if (rig_load(&r, name, isa, &err)) {
            const cJSON *c;
            cJSON_ArrayForEach(c, cJSON_GetObjectItem(r.golden, "cases")) check_logits(&r, c);
            /* Slow, and without tiles: who shares a batch cannot show. */
            bool scalar = isa && !only_isa && strcmp(isa, "scalar") == 0;
            check_engine(&r, !scalar);
            ran++;
            printf("%s %s: checked\n", name, isa ? isa : backend.ops->name);
        } else {
            printf("%s %s: not here (%s)\n", name, isa ? isa : "", err.text);
        }
        rig_close(&r);
    }
    CU_ASSERT(ran > 0);
}

static void test_f16(void)
{
    check_model("tiny-mt-f16");
}

static void test_stq1_0(void)
{
    check_model("tiny-mt-stq1_0");
}

/* The bundled file with the first `from` overwritten by `to`, of the same length. */
static void check_damaged(const char *from, const char *to, jm_status want, const char *named)
{
    jm_map map;
    jm_gguf *f;
    jm_graph *g;
    struct jm_hunyuan p;
    jm_err err = { 0 };
    CU_ASSERT_EQUAL_FATAL(jm_map_open(JM_DATA "/tiny-mt-f16.gguf", &map, NULL), JM_OK);
    uint8_t *copy = malloc(map.bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, map.data, map.bytes);
    uint8_t *at = memmem(copy, map.bytes, from, strlen(from));
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    memcpy(at, to, strlen(from));
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open_memory(copy, map.bytes, "damaged", &f, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_hunyuan_build(f, &g, &p, &err), want);
    CU_ASSERT_PTR_NULL(g);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, named));
    jm_gguf_close(f);
    free(copy);
    jm_map_close(&map);
}

static void test_refusals(void)
{
    check_damaged("hunyuan-dense", "hunyuan-heavy", JM_EUNSUPPORTED, "hunyuan-heavy");
    check_damaged("blk.3.ffn_up.weight", "blk.3.ffn_xx.weight", JM_EINPUT, "blk.3.ffn_up.weight");
    check_damaged("hunyuan-dense.block_count", "hunyuan-dense.block_xxxxx", JM_EINPUT,
                  "block_count");
}

int main(int argc, char **argv)
{
    const char *name = getenv("JM_TEST_BACKEND");
    jm_err err = { 0 };
    only_isa = argc > 1 ? argv[1] : getenv("JM_TEST_ISA");
    if (jm_backend_load(name ? name : "cpu", &backend, &err) != JM_OK) {
        fprintf(stderr, "test_model_mt: %s\n", err.text);
        return EXIT_FAILURE;
    }
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("model_mt", NULL, NULL);
    CU_add_test(s, "refusals", test_refusals);
    CU_add_test(s, "F16", test_f16);
    CU_add_test(s, "STQ1_0", test_stq1_0);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    jm_backend_unload(&backend);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
