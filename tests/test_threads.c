/* SPDX-License-Identifier: Apache-2.0 */
/* Results do not depend on the number of threads, bit for bit: the bundled translator in every
 * format that has kernels of its own, on every kernel set that runs here. */
#include <CUnit/Basic.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backends/loader.h"
#include "base/clock.h"
#include "base/rng.h"
#include "workloads/model/hunyuan_dense.h"
#include "workloads/model/quantize.h"

enum { SEQUENCES = 4, PROMPT = 7, STEPS = 3, LONG = 96, ROWS = LONG, CONTEXT = LONG };
enum { RESULTS = SEQUENCES * (1 + STEPS) + STEPS + 1 };
enum { MANY_STEPS = 300 };

static jm_backend backend;

struct model {
    jm_gguf *file;
    jm_graph *graph;
    struct jm_hunyuan params;
};

struct rig {
    jm_device *device;
    jm_plan *plan;
    float *logits; /* [RESULTS, vocab] */
    uint32_t vocab, done;
};

static void run(struct rig *r, const struct jm_batch *b)
{
    CU_ASSERT_FATAL(r->done + b->n_gather <= RESULTS);
    CU_ASSERT_EQUAL_FATAL(backend.ops->execute(r->plan, b, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(backend.ops->wait(r->plan, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(backend.ops->fetch(r->plan, JM_HUNYUAN_LOGITS, 0, b->n_gather,
                                             r->logits + (size_t)r->done * r->vocab, NULL),
                          JM_OK);
    r->done += b->n_gather;
}

/* n rows of each of the first `sequences`, the last of each gathered. */
static void feed(struct rig *r, uint32_t sequences, uint32_t first, uint32_t n)
{
    uint32_t token[ROWS], slot[ROWS], pos[ROWS], gather[SEQUENCES];
    for (uint32_t i = 0; i < sequences * n; i++) {
        slot[i] = i / n;
        pos[i] = first + i % n;
        token[i] = (300 + 7919 * slot[i] + 104729 * pos[i]) % r->vocab;
    }
    for (uint32_t s = 0; s < sequences; s++)
        gather[s] = s * n + n - 1;
    run(r, &(struct jm_batch){ .n_rows = sequences * n,
                               .token = token,
                               .slot = slot,
                               .pos = pos,
                               .n_gather = sequences,
                               .gather = gather });
}

/* Prompts together, which few threads cut by sequences and many by columns; steps together; steps
 * of one sequence; and a prompt long enough to be dealt while threads are at it. NULL: the device
 * lacks the set. The caller frees. */
static float *logits_with(const struct model *m, const char *isa, uint32_t threads)
{
    static const struct jm_limits limits = { .max_rows = ROWS,
                                             .max_slots = SEQUENCES,
                                             .max_context = CONTEXT };
    struct rig r = { .vocab = m->params.vocab };
    struct jm_device_options opt = { .threads = threads, .isa = isa };
    jm_err err;
    if (backend.ops->open(0, &opt, &r.device, &err) != JM_OK)
        return NULL;
    CU_ASSERT_EQUAL_FATAL(backend.ops->compile(r.device, m->graph, &limits, &r.plan, &err), JM_OK);
    r.logits = calloc((size_t)RESULTS * r.vocab, sizeof *r.logits);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r.logits);
    feed(&r, SEQUENCES, 0, PROMPT);
    for (uint32_t i = 0; i < STEPS; i++)
        feed(&r, SEQUENCES, PROMPT + i, 1);
    for (uint32_t i = 0; i < STEPS; i++)
        feed(&r, 1, PROMPT + i, 1);
    feed(&r, 1, 0, LONG);
    CU_ASSERT_EQUAL(r.done, RESULTS);
    backend.ops->plan_close(r.plan);
    backend.ops->close(r.device);
    return r.logits;
}

static void check_set(const struct model *m, const char *isa)
{
    static const uint32_t threads[] = { 2, 3, 5 };
    size_t bytes = (size_t)RESULTS * m->params.vocab * sizeof(float);
    float *one = logits_with(m, isa, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(one);
    CU_ASSERT(one[0] < one[1] || one[0] > one[1]); /* numbers that differ, not zeros or NaN */
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        float *more = logits_with(m, isa, threads[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(more);
        CU_ASSERT_EQUAL(memcmp(one, more, bytes), 0);
        free(more);
    }
    free(one);
}

/* The scalar set computes all formats with the same code, and takes its time. */
static void check_file(const char *path, bool scalar)
{
    struct model m = { 0 };
    jm_err err = { 0 };
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(path, &m.file, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_hunyuan_build(m.file, &m.graph, &m.params, &err), JM_OK);
    struct jm_kernel_set set;
    for (size_t i = 0; backend.ops->kernel_set(i, &set); i++) {
        if (set.works && (scalar || strcmp(set.name, "scalar") != 0))
            check_set(&m, set.name);
    }
    jm_graph_free(m.graph);
    jm_gguf_close(m.file);
}

static void test_bundled(void)
{
    check_file(JM_DATA "/tiny-mt-f16.gguf", true);
    check_file(JM_DATA "/tiny-mt-stq1_0.gguf", false);
}

static void test_quantized(void)
{
    static const jm_format formats[] = { JM_Q8_0, JM_Q4_0, JM_Q4_K, JM_Q6_K };
    char path[64];
    snprintf(path, sizeof path, "/tmp/jm_threads_%d.gguf", (int)getpid());
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        jm_err err = { 0 };
        jm_status st = jm_quantize_file(JM_DATA "/tiny-mt-f16.gguf", path, formats[i], NULL, &err);
        CU_ASSERT_EQUAL_FATAL(st, JM_OK);
        check_file(path, false);
        remove(path);
    }
}

/* Something else that now and then takes the core of the thread that started it. */
struct other {
    pthread_t thread;
    atomic_bool quit;
};

static void *disturb(void *arg)
{
    struct other *o = arg;
    jm_rng rng = { .state = 1 };
    while (!atomic_load(&o->quit)) {
        int64_t until_ns = jm_now_ns() + (int64_t)jm_rng_below(&rng, 3000000);
        while (jm_now_ns() < until_ns)
            ;
        nanosleep(&(struct timespec){ .tv_nsec = (long)jm_rng_below(&rng, 2000000) }, NULL);
    }
    return NULL;
}

/* Who does what then depends on the moment; results do not. */
static void test_disturbed(void)
{
    struct other o = { .quit = false };
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET((size_t)sched_getcpu(), &core);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&o.thread, NULL, disturb, &o), 0);
    CU_ASSERT_EQUAL(pthread_setaffinity_np(o.thread, sizeof core, &core), 0);
    check_file(JM_DATA "/tiny-mt-f16.gguf", false);
    check_file(JM_DATA "/tiny-mt-stq1_0.gguf", false);
    atomic_store(&o.quit, true);
    pthread_join(o.thread, NULL);
}

static double processor_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Processor time of a step of one sequence with so many threads. */
static double step_ms(const struct model *m, uint32_t threads)
{
    static const struct jm_limits limits = { .max_rows = 1, .max_slots = 1, .max_context = 2 };
    struct jm_device_options opt = { .threads = threads };
    jm_device *device;
    jm_plan *plan;
    jm_err err;
    uint32_t token = 300, zero = 0;
    struct jm_batch b = {
        .n_rows = 1, .token = &token, .slot = &zero, .pos = &zero, .n_gather = 1, .gather = &zero
    };
    CU_ASSERT_EQUAL_FATAL(backend.ops->open(0, &opt, &device, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(backend.ops->compile(device, m->graph, &limits, &plan, &err), JM_OK);
    double start_ms = processor_ms();
    for (int i = 0; i < MANY_STEPS; i++) {
        CU_ASSERT_EQUAL(backend.ops->execute(plan, &b, &err), JM_OK);
        CU_ASSERT_EQUAL(backend.ops->wait(plan, &err), JM_OK);
    }
    double ms = (processor_ms() - start_ms) / MANY_STEPS;
    backend.ops->plan_close(plan);
    backend.ops->close(device);
    return ms;
}

/* More threads than a machine has cores gain nothing, and do not cost much: of some 50 meetings of
 * eight in a step, each takes less than 0.2 ms of the processors, since nobody spins. */
static void test_crowded(void)
{
    struct model m = { 0 };
    jm_err err = { 0 };
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(JM_DATA "/tiny-mt-stq1_0.gguf", &m.file, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_hunyuan_build(m.file, &m.graph, &m.params, &err), JM_OK);
    double one_ms = step_ms(&m, 1), eight_ms = step_ms(&m, 8);
    bool prompt = eight_ms < 3 * one_ms + 10;
    CU_ASSERT(prompt);
    if (!prompt)
        fprintf(stderr, "a step: %.1f ms with one thread, %.1f ms with eight\n", one_ms, eight_ms);
    jm_graph_free(m.graph);
    jm_gguf_close(m.file);
}

int main(void)
{
    jm_err err;
    if (jm_backend_load("cpu", &backend, &err) != JM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("threads", NULL, NULL);
    CU_add_test(s, "bundled files", test_bundled);
    CU_add_test(s, "quantized", test_quantized);
    CU_add_test(s, "disturbed", test_disturbed);
    CU_add_test(s, "more than cores", test_crowded);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    jm_backend_unload(&backend);
    return failures > 0;
}
