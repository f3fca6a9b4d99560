/* SPDX-License-Identifier: Apache-2.0 */
/* Picture models of other sizes than the bundled one, with made-up weights, drawn in pictures that
 * are not square: every kernel set against the scalar one. Backend: JM_TEST_BACKEND (cpu). */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "base/rng.h"
#include "workloads/imagegen/u1_model.h"

enum { MAX_TENSORS = 128, PICTURES = 3, MAX_VALUES = 3 * 40 * 40 };

static jm_backend backend;

/* ---- a model from nothing ---- */

struct maker {
    struct jm_neo p;
    jm_format matrices;
    struct {
        char name[128];
        struct jm_tensor t;
    } made[MAX_TENSORS];
    uint32_t n;
};

/* What a tensor's name ends in, and its dimensions, row length first. */
static uint32_t dims_of(const struct jm_neo *p, const char *name, uint64_t dims[4])
{
    uint64_t cell = jm_neo_cell_values(p), wide = (uint64_t)p->heads * p->head_dim;
    uint64_t narrow = (uint64_t)p->kv_heads * p->head_dim, half = p->head_dim / 2;
    const struct {
        const char *part;
        uint64_t dims[4];
    } known[] = {
        { "embed_tokens", { p->hidden, p->vocab } },
        { "q_proj", { p->hidden, wide } },
        { "k_proj", { p->hidden, narrow } },
        { "v_proj", { p->hidden, narrow } },
        { "o_proj", { wide, p->hidden } },
        { "q_norm", { half } },
        { "k_norm", { half } },
        { "gate_proj", { p->hidden, p->ffn } },
        { "up_proj", { p->hidden, p->ffn } },
        { "down_proj", { p->ffn, p->hidden } },
        { "patch_embedding.w", { p->patch, p->patch, 3, p->vision } },
        { "patch_embedding.b", { p->vision } },
        { "dense_embedding.w", { p->merge, p->merge, p->vision, p->hidden } },
        { "embedder.mlp.0.w", { p->time_features, p->hidden } },
        { "embedder.mlp.2.w", { p->hidden, p->hidden } },
        { "fm_head.0.w", { p->hidden, p->head } },
        { "fm_head.0.b", { p->head } },
        { "fm_head.2.w", { p->head, cell } },
        { "fm_head.2.b", { cell } },
    };
    memcpy(dims, (uint64_t[4]){ p->hidden }, sizeof(uint64_t[4])); /* norms, other biases */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strstr(name, known[i].part))
            memcpy(dims, known[i].dims, sizeof known[i].dims);
    }
    uint32_t n = 1;
    while (n < 4 && dims[n])
        n++;
    return n;
}

/* Matrices keep the size of what they multiply, norms are near 1, all depends on the name alone. */
static void fill(const struct maker *m, const char *name, uint32_t n_dims, struct jm_tensor *t)
{
    jm_rng r = { .state = 5381 };
    for (const char *c = name; *c; c++)
        r.state = r.state * 33 + (unsigned char)*c;
    t->format = n_dims == 1 ? JM_BF16 : n_dims == 2 ? m->matrices : JM_F16;
    if (jm_format_row_bytes(t->format, t->cols) == 0)
        t->format = JM_F16;
    size_t bytes = jm_format_row_bytes(t->format, t->cols);
    uint8_t *data = malloc(t->rows * bytes);
    float *row = malloc(t->cols * sizeof *row), scale = sqrtf(3.0f / (float)t->cols);
    CU_ASSERT_FATAL(data != NULL && row != NULL);
    for (uint32_t o = 0; o < t->rows; o++) {
        for (uint32_t i = 0; i < t->cols; i++) {
            float v = (float)(jm_rng_double(&r) * 2 - 1);
            row[i] = n_dims > 1 ? v * scale : strstr(name, "norm") ? 1 + v / 4 : v / 4;
        }
        CU_ASSERT_FATAL(jm_format_encode(t->format, row, data + o * bytes, t->cols));
    }
    free(row);
    t->data = data;
}

static const struct jm_tensor *find(const void *ctx, const char *name, uint64_t dims[4],
                                    uint32_t *n_dims)
{
    struct maker *m = (struct maker *)(uintptr_t)ctx;
    *n_dims = dims_of(&m->p, name, dims);
    for (uint32_t i = 0; i < m->n; i++) {
        if (strcmp(m->made[i].name, name) == 0)
            return &m->made[i].t;
    }
    CU_ASSERT_FATAL(m->n < MAX_TENSORS && strlen(name) < sizeof m->made->name);
    struct jm_tensor *t = &m->made[m->n].t;
    strcpy(m->made[m->n].name, name);
    uint64_t cols = dims[0];
    for (uint32_t i = 1; i + 1 < *n_dims; i++)
        cols *= dims[i];
    *t = (struct jm_tensor){ .name = m->made[m->n++].name,
                             .cols = (uint32_t)cols,
                             .rows = *n_dims > 1 ? (uint32_t)dims[*n_dims - 1] : 1 };
    fill(m, name, *n_dims, t);
    return t;
}

static void forget(struct maker *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        free((void *)(uintptr_t)m->made[i].t.data);
    m->n = 0;
}

/* ---- drawing ---- */

static const uint32_t prompts[PICTURES][7] = { { 1, 2, 3, 4, 5, 6, 7 }, { 9 }, { 11, 3, 12 } };
static const uint32_t lengths[PICTURES] = { 7, 1, 3 };
static const uint32_t uncond[] = { 1, 2 };

static struct jm_sampling how(const struct jm_neo *p, uint32_t i)
{
    uint32_t cell = jm_neo_cell(p);
    static const uint32_t sides[PICTURES][2] = { { 5, 3 }, { 1, 4 }, { 4, 4 } };
    return (struct jm_sampling){ .width = sides[i][0] * cell,
                                 .height = sides[i][1] * cell,
                                 .steps = 2 + i,
                                 .cfg = i ? 1.5f : 1.0f,
                                 .shift = 2 };
}

/* false: the device has no such instruction set. */
static bool draw(struct maker *m, const char *isa, float pixels[PICTURES][MAX_VALUES])
{
    jm_err err = { 0 };
    jm_device *dev = NULL;
    jm_u1_model model = { 0 };
    jm_painter *e = NULL;
    struct jm_device_options opt = { .threads = 2, .isa = isa };
    struct jm_painter_events quiet = { 0 };
    struct jm_neo_source s = { .path = "made up", .file = m, .find = find };
    struct jm_sampling largest = how(&m->p, 2);
    largest.width = 5 * jm_neo_cell(&m->p);
    if (backend.ops->open(0, &opt, &dev, &err) != JM_OK)
        return false;
    jm_status st = jm_u1_from(&s, &m->p, backend.ops, dev, &model, &err);
    if (st == JM_OK)
        st = jm_u1_compile(&model, PICTURES, 0, &largest, &err);
    if (st == JM_OK)
        st = jm_u1_painter(&model, uncond, 2, PICTURES, &quiet, &e, &err);
    for (uint32_t i = 0; i < PICTURES && st == JM_OK; i++) {
        struct jm_painter_request q = { .id = i,
                                        .prompt = prompts[i],
                                        .n_prompt = lengths[i],
                                        .how = how(&m->p, i),
                                        .pixels = pixels[i] };
        jm_rng r = { .state = i };
        CU_ASSERT_FATAL(3 * q.how.width * q.how.height <= MAX_VALUES);
        for (uint32_t k = 0; k < MAX_VALUES; k++)
            pixels[i][k] = (float)(jm_rng_double(&r) * 3.4 - 1.7);
        st = jm_painter_submit(e, &q, &err);
    }
    while (st == JM_OK && jm_painter_pending(e) > 0)
        st = jm_painter_step(e, &err);
    if (st != JM_OK)
        printf("\n  %s", err.text);
    CU_ASSERT_EQUAL_FATAL(st, JM_OK);
    jm_painter_close(e);
    jm_u1_close(&model);
    backend.ops->close(dev);
    return true;
}

/* RMS of the difference, as a part of the picture's own RMS. */
static double difference(const float *a, const float *b, uint32_t n)
{
    double d = 0, s = 0;
    for (uint32_t i = 0; i < n; i++) {
        d += pow((double)a[i] - b[i], 2);
        s += pow((double)a[i], 2);
    }
    return sqrt(d / s);
}

/* Errors add up as tests/test_model_u1.c derives: with 14-bit or f32 arithmetic a part in 1,000 of
 * a value at most. With 8 bits a block's rounding is 1/254 of its largest / sqrt(3), some 0.7% of
 * an RMS value, in 7 products a layer and 5 around them: 3.5% for 2 layers. */
static void check_shape(struct maker *m, double bound)
{
    static float want[PICTURES][MAX_VALUES], got[PICTURES][MAX_VALUES];
    static const char *const sets[] = { "avx2", "avx512" };
    CU_ASSERT_FATAL(draw(m, "scalar", want));
    for (size_t s = 0; s < 2; s++) {
        if (!draw(m, sets[s], got)) {
            printf("\n  %s: not on this machine, skipped", sets[s]);
            continue;
        }
        for (uint32_t i = 0; i < PICTURES; i++) {
            struct jm_sampling h = how(&m->p, i);
            double d = difference(want[i], got[i], 3 * h.width * h.height);
            if (!(d <= bound))
                printf("\n  %s, hidden %u, picture %u: off by %g", sets[s], m->p.hidden, i, d);
            CU_ASSERT(d <= bound);
        }
    }
    forget(m);
}

static const struct jm_neo base = { .layers = 2,
                                    .vocab = 20,
                                    .context = 9,
                                    .eps = 1e-6f,
                                    .rope_base = 5e6f,
                                    .rope_base_hw = 1e4f,
                                    .vision_rope_base = 1e4f,
                                    .time_features = 10,
                                    .noise_features = 1,
                                    .noise_scale = 1,
                                    .noise_max = 8,
                                    .noise_by_resolution = true,
                                    .noise_base_tokens = 16,
                                    .t_eps = 0.05f,
                                    .default_shift = 1 };

static void test_odd_sizes(void)
{
    static struct maker m;
    m = (struct maker){ .p = base, .matrices = JM_BF16 };
    m.p.hidden = 40, m.p.ffn = 72, m.p.heads = 6, m.p.kv_heads = 3, m.p.head_dim = 24;
    m.p.patch = 3, m.p.merge = 1, m.p.vision = 20, m.p.head = 36, m.p.noise_features = 0;
    check_shape(&m, 1e-3);
}

static void test_merge_of_three(void)
{
    static struct maker m;
    m = (struct maker){ .p = base, .matrices = JM_F16 };
    m.p.hidden = 64, m.p.ffn = 96, m.p.heads = 4, m.p.kv_heads = 1, m.p.head_dim = 16;
    m.p.patch = 2, m.p.merge = 3, m.p.vision = 32, m.p.head = 64;
    check_shape(&m, 2e-3);
}

static void test_quantised(void)
{
    static struct maker m;
    m = (struct maker){ .p = base, .matrices = JM_Q8_0 };
    m.p.hidden = 128, m.p.ffn = 192, m.p.heads = 2, m.p.kv_heads = 2, m.p.head_dim = 128;
    m.p.patch = 4, m.p.merge = 2, m.p.vision = 64, m.p.head = 96;
    check_shape(&m, 0.035);
}

int main(void)
{
    const char *name = getenv("JM_TEST_BACKEND");
    jm_err err = { 0 };
    if (jm_backend_load(name ? name : "cpu", &backend, &err) != JM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("neo shapes", NULL, NULL);
    CU_add_test(s, "sizes that fit no vector", test_odd_sizes);
    CU_add_test(s, "nine patches a cell", test_merge_of_three);
    CU_add_test(s, "Q8_0, wide heads", test_quantised);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    jm_backend_unload(&backend);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
