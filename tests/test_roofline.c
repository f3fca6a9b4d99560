/* SPDX-License-Identifier: Apache-2.0 */
/* Rooflines: that what peaks count is what was done, the formulas of operations and bytes, the
 * times of a profile, and the arithmetic of bounds. How fast anything is, is not tested. */
#include <CUnit/Basic.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/cpu/peak.h"
#include "backends/cpu/work.h"
#include "backends/loader.h"
#include "base/file.h"
#include "harness/plot/roofline.h"
#include "harness/roofline/spot.h"

static bool close_to(double got, double want)
{
    return fabs(got - want) <= 1e-9 * fabs(want);
}

/* ---- peaks ---- */

static const char *const isas[] = {
    "scalar", "avx2", "avx512", "neon", "neon-dotprod", "neon-i8mm"
};

/* The sum of ones counts the words that were read and the products that were added: two ways to
 * the same number. */
static void test_peaks_do_what_they_count(void)
{
    static _Alignas(64) uint64_t ones[8 * JM_PEAK_STRIDE / sizeof(uint64_t)];
    size_t words = sizeof ones / sizeof *ones;
    uint32_t sets = 0;
    for (size_t i = 0; i < words; i++)
        ones[i] = 1;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        const struct jm_cpu_peaks *k = jm_cpu_peaks_for(isas[i]);
        if (!k || !jm_cpu_kernels_for(isas[i]))
            continue;
        sets++;
        CU_ASSERT_EQUAL(k->read(ones, sizeof ones), words);
        CU_ASSERT_EQUAL(k->read(ones, JM_PEAK_STRIDE), JM_PEAK_STRIDE / sizeof *ones);
        for (enum jm_roof_kind kind = JM_ROOF_F32; kind < JM_ROOF_KINDS; kind++) {
            struct jm_peak_mul m = jm_cpu_peaks_mul(k, kind);
            if (!m.run)
                continue;
            CU_ASSERT(close_to(m.run(1), m.each));
            CU_ASSERT(close_to(m.run(1000), 1000.0 * m.each));
            CU_ASSERT(close_to(m.run(JM_PEAK_ROUNDS), (double)JM_PEAK_ROUNDS * m.each));
        }
    }
    CU_ASSERT(sets >= 1);
    CU_ASSERT_PTR_NULL(jm_cpu_peaks_for("none"));
}

static void test_roofs(void)
{
    struct jm_roof roof[JM_MAX_ROOFS];
    jm_err err = { 0 };
    uint32_t n, multiplies = 0;
    size_t before = 0;
    CU_ASSERT_EQUAL(jm_cpu_roofs("none", 1, roof, &n, &err), JM_EUNSUPPORTED);
    CU_ASSERT_EQUAL(n, 0);
    CU_ASSERT_EQUAL_FATAL(jm_cpu_roofs("scalar", 1, roof, &n, &err), JM_OK);
    CU_ASSERT_FATAL(n > 0 && n <= JM_MAX_ROOFS);
    for (uint32_t i = 0; i < n; i++) {
        CU_ASSERT(roof[i].name[0] != '\0');
        CU_ASSERT_EQUAL(roof[i].threads, 1);
        /* Unavailable says why; a figure is one. */
        CU_ASSERT(isnan(roof[i].per_s) ? roof[i].reason[0] != '\0'
                                       : isfinite(roof[i].per_s) && roof[i].per_s > 0);
        if (roof[i].kind != JM_ROOF_READ) {
            multiplies++;
            continue;
        }
        CU_ASSERT(roof[i].set_bytes > 0 && roof[i].set_bytes <= roof[i].capacity_bytes);
        CU_ASSERT(roof[i].capacity_bytes >= before);
        before = roof[i].capacity_bytes;
    }
    CU_ASSERT_EQUAL(before, SIZE_MAX); /* memory comes last and holds everything */
    CU_ASSERT_EQUAL(multiplies, JM_ROOF_KINDS - 1);
}

/* ---- work ---- */

static void test_tally(void)
{
    const uint32_t slot[] = { 0, 0, 0, 1, 1 }, pos[] = { 3, 4, 5, 0, 1 }, gather[] = { 2, 4 };
    const uint32_t run[] = { 0, 3 }, run_pos[] = { 7, 7, 7, 2, 2 };
    struct jm_batch b = { .n_rows = 5, .slot = slot, .pos = pos, .n_gather = 2, .gather = gather };
    struct jm_tally t = { 0 };
    jm_tally_add(&t, &b, 2);
    CU_ASSERT_EQUAL(t.batches, 1);
    CU_ASSERT_EQUAL(t.rows[JM_ROWS_ALL], 5);
    CU_ASSERT_EQUAL(t.rows[JM_ROWS_GATHERED], 2);
    CU_ASSERT_EQUAL(t.seen[JM_ROWS_ALL], 4 + 5 + 6 + 1 + 2);
    CU_ASSERT_EQUAL(t.seen[JM_ROWS_GATHERED], 6 + 2);
    CU_ASSERT_EQUAL(t.positions, 6 + 2);
    CU_ASSERT_EQUAL(t.weight_reads, 2);
    b.n_gather = 0;
    b.pos = run_pos;
    b.n_runs = 2;
    b.run = run;
    jm_tally_add(&t, &b, 1);
    CU_ASSERT_EQUAL(t.batches, 2);
    CU_ASSERT_EQUAL(t.rows[JM_ROWS_RUN], 2);
    CU_ASSERT_EQUAL(t.run_seen, 3 * (7 + 3) + 2 * (2 + 2));
    CU_ASSERT_EQUAL(t.run_positions, 10 + 4);
    CU_ASSERT_EQUAL(t.positions, 6 + 2); /* runs append nothing */
    CU_ASSERT_EQUAL(t.weight_reads, 3);
}

/* Two steps: 64 inputs, and a linear of them with 96 outputs, as a kernel set would hold it. */
static struct jm_work work_of(enum jm_pack_kind kind, bool bias, const struct jm_tally *t)
{
    static const float some;
    struct jm_step step[2] = {
        { .node = { .op = JM_OP_INPUT, .cols = 64 } },
        { .node = { .op = JM_OP_LINEAR,
                    .n_in = 1,
                    .cols = 96,
                    .times = 1,
                    .w = { .format = JM_F16, .cols = 64, .rows = 96 } },
          .w = { .kind = kind, .group = 16, .n_groups = 6, .group_bytes = 1024 } },
    };
    step[1].w.t = step[1].node.w;
    step[1].node.bias.data = bias ? &some : NULL;
    struct jm_plan p = { .steps = step, .n_steps = 2, .n_entries = 1 };
    struct jm_work w;
    jm_cpu_work(&p, 1, t, &w);
    return w;
}

static void test_linear_work(void)
{
    const struct jm_tally t = { .batches = 2, .rows = { 10, 0, 0 }, .weight_reads = 3 };
    const struct jm_tally none = { 0 };
    struct jm_work w = work_of(JM_PACK_I16, false, &t);
    CU_ASSERT(close_to(w.operations, 10.0 * 96 * 2 * 64));
    /* Weights three times, rows of 64 s16 with two scales in, of 96 floats out. */
    CU_ASSERT(close_to(w.bytes, 3.0 * 6 * 1024 + 10.0 * (64 * 2 + 2 * 4 + 96 * 4)));
    CU_ASSERT(close_to(w.set_bytes, 1.5 * 6 * 1024));
    CU_ASSERT_EQUAL(w.kind, JM_ROOF_I16);
    CU_ASSERT_STRING_EQUAL(w.kernel, "I16");
    w = work_of(JM_PACK_Q8, true, &t);
    CU_ASSERT(close_to(w.operations, 10.0 * 96 * (2 * 64 + 1)));
    CU_ASSERT(close_to(w.bytes, 3.0 * 6 * 1024 + 10.0 * (64 + 2 * 8 + 96 * 4)));
    CU_ASSERT_EQUAL(w.kind, JM_ROOF_I8);
    w = work_of(JM_PACK_NONE, false, &t); /* as the file has it */
    CU_ASSERT(close_to(w.bytes, 3.0 * 96 * 64 * 2 + 10.0 * (64 * 4 + 96 * 4)));
    CU_ASSERT_EQUAL(w.kind, JM_ROOF_F32);
    w = work_of(JM_PACK_I16, false, &none);
    CU_ASSERT(w.operations <= 0 && w.bytes <= 0 && w.set_bytes <= 0);
}

/* ---- a profile of the cpu backend ---- */

enum { IN = 64, OUT = 96, ROWS = 16 };

/* x -> linear -> argmax */
static jm_plan *tiny_plan(const struct jm_backend_ops *ops, jm_device *dev)
{
    static float weight[OUT * IN];
    const struct jm_limits lim = { .max_rows = ROWS, .max_slots = 1, .max_context = ROWS };
    const struct jm_tensor w = {
        .name = "blk.0.ffn_up.weight", .format = JM_F32, .cols = IN, .rows = OUT, .data = weight
    };
    jm_graph *g = jm_graph_new();
    jm_plan *plan = NULL;
    jm_err err = { 0 };
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    jm_value x = jm_input(g, IN, JM_ROWS_ALL);
    (void)jm_graph_output(g, jm_argmax(g, jm_linear(g, x, &w)));
    CU_ASSERT_EQUAL_FATAL(ops->compile(dev, g, &lim, &plan, &err), JM_OK);
    jm_graph_free(g);
    return plan;
}

static void run_rows(const struct jm_backend_ops *ops, jm_plan *plan, uint32_t rows)
{
    static const float x[ROWS * IN];
    uint32_t slot[ROWS] = { 0 }, pos[ROWS];
    jm_err err = { 0 };
    for (uint32_t r = 0; r < ROWS; r++)
        pos[r] = r;
    const struct jm_batch b = { .n_rows = rows, .slot = slot, .pos = pos, .input = { x } };
    CU_ASSERT_EQUAL(ops->execute(plan, &b, &err), JM_OK);
    CU_ASSERT_EQUAL(ops->wait(plan, &err), JM_OK);
}

/* Whatever the machine does: the times of all threads add up to the wall time of each. */
static void check_times(const struct jm_profile_batches *b)
{
    double wall = b->execute_ns * b->threads;
    CU_ASSERT(b->batches == 0 || wall > 0);
    CU_ASSERT(fabs(b->busy_ns + b->wait_ns + b->start_ns - wall) <= 1e-6 * wall);
    CU_ASSERT(b->between_ns >= 0);
}

static void check_profile(const struct jm_backend_ops *ops, jm_plan *plan)
{
    struct jm_profile_batches b;
    struct jm_profile_op o;
    uint64_t batches = 0, rows = 0;
    double operations = 0;
    for (uint32_t c = 0; ops->profile_batches(plan, c, &b); c++) {
        check_times(&b);
        CU_ASSERT(b.batches == 0 || (b.rows >= b.rows_from * b.batches));
        CU_ASSERT(b.batches == 0 || (b.rows <= (uint64_t)b.rows_to * b.batches));
        batches += b.batches;
        rows += b.rows;
        for (uint32_t i = 0; ops->profile_op(plan, c, i, &o); i++) {
            CU_ASSERT_EQUAL(o.calls, b.batches);
            if (o.op != JM_OP_LINEAR)
                continue;
            CU_ASSERT_STRING_EQUAL(o.name, "blk.0.ffn_up.weight");
            CU_ASSERT_STRING_EQUAL(o.format, "F32");
            CU_ASSERT(b.batches == 0 || o.busy_ns > 0);
            operations += o.operations;
        }
    }
    CU_ASSERT_EQUAL(batches, 4);
    CU_ASSERT_EQUAL(rows, 1 + 1 + 5 + 16);
    CU_ASSERT(close_to(operations, 23.0 * OUT * IN * 2));
}

static void test_profile(void)
{
    jm_backend backend;
    jm_device *dev;
    jm_err err = { 0 };
    struct jm_profile_batches b;
    struct jm_profile_op o;
    CU_ASSERT_EQUAL_FATAL(jm_backend_load("cpu", &backend, &err), JM_OK);
    const struct jm_backend_ops *ops = backend.ops;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        const struct jm_device_options how = { .threads = threads };
        CU_ASSERT_EQUAL_FATAL(ops->open(0, &how, &dev, &err), JM_OK);
        jm_plan *plan = tiny_plan(ops, dev);
        CU_ASSERT_FALSE(ops->profile_batches(plan, 0, &b)); /* off */
        run_rows(ops, plan, 3);
        CU_ASSERT_FALSE(ops->profile_op(plan, 0, 0, &o));
        CU_ASSERT_EQUAL(ops->profile(plan, true, &err), JM_OK);
        run_rows(ops, plan, 7);
        CU_ASSERT_EQUAL(ops->profile(plan, true, &err), JM_OK); /* from zero */
        run_rows(ops, plan, 1);
        run_rows(ops, plan, 1);
        run_rows(ops, plan, 5);
        run_rows(ops, plan, 16);
        check_profile(ops, plan);
        CU_ASSERT_EQUAL(ops->profile(plan, false, &err), JM_OK);
        CU_ASSERT_FALSE(ops->profile_batches(plan, 0, &b));
        CU_ASSERT_EQUAL(ops->profile(plan, true, &err), JM_OK); /* left on: close frees it */
        ops->plan_close(plan);
        struct jm_roof roof[JM_MAX_ROOFS];
        uint32_t n;
        CU_ASSERT_EQUAL(ops->roofs(dev, threads + 1, roof, &n, &err), JM_EUSAGE);
        CU_ASSERT_EQUAL(ops->roofs(dev, 0, roof, &n, &err), JM_EUSAGE);
        ops->close(dev);
    }
    jm_backend_unload(&backend);
}

/* ---- bounds ---- */

static const struct jm_roof roofs[] = {
    { .kind = JM_ROOF_READ, .name = "L1", .threads = 2, .capacity_bytes = 1000, .per_s = 100 },
    { .kind = JM_ROOF_READ, .name = "L2", .threads = 2, .capacity_bytes = 5000, .per_s = 50 },
    { .kind = JM_ROOF_READ,
      .name = "memory",
      .threads = 2,
      .capacity_bytes = SIZE_MAX,
      .per_s = 10 },
    { .kind = JM_ROOF_READ,
      .name = "memory",
      .threads = 1,
      .capacity_bytes = SIZE_MAX,
      .per_s = 9 },
    { .kind = JM_ROOF_F32, .name = "FP32", .threads = 2, .per_s = 200 },
    { .kind = JM_ROOF_I8, .name = "INT8", .threads = 2, .per_s = 800 },
    { .kind = JM_ROOF_BF16, .name = "BF16", .threads = 2, .per_s = NAN, .reason = "none here" },
};
enum { N_ROOFS = sizeof roofs / sizeof *roofs };

static void test_roof_choice(void)
{
    CU_ASSERT_STRING_EQUAL(jm_roof_of_set(roofs, N_ROOFS, 2, 0)->name, "L1");
    CU_ASSERT_STRING_EQUAL(jm_roof_of_set(roofs, N_ROOFS, 2, 1000)->name, "L1");
    CU_ASSERT_STRING_EQUAL(jm_roof_of_set(roofs, N_ROOFS, 2, 1001)->name, "L2");
    CU_ASSERT_STRING_EQUAL(jm_roof_of_set(roofs, N_ROOFS, 2, 1e12)->name, "memory");
    CU_ASSERT_EQUAL(jm_roof_of_set(roofs, N_ROOFS, 1, 1), &roofs[3]);
    CU_ASSERT_PTR_NULL(jm_roof_of_set(roofs, N_ROOFS, 3, 1));
    CU_ASSERT_EQUAL(jm_roof_of_kind(roofs, N_ROOFS, 2, JM_ROOF_I8), &roofs[5]);
    CU_ASSERT_PTR_NULL(jm_roof_of_kind(roofs, N_ROOFS, 2, JM_ROOF_BF16)); /* unavailable */
    CU_ASSERT_PTR_NULL(jm_roof_of_kind(roofs, N_ROOFS, 1, JM_ROOF_I8));
}

static void test_place(void)
{
    /* 4 s of two threads: 2 s. 400 operations: 0.5 s; 40 bytes from L2: 0.8 s. */
    struct jm_spot s = {
        .kind = JM_ROOF_I8, .busy_ns = 4e9, .operations = 400, .bytes = 40, .set_bytes = 2000
    };
    jm_spot_place(&s, roofs, N_ROOFS, 2);
    CU_ASSERT(close_to(s.seconds, 2));
    CU_ASSERT(close_to(s.ops_per_s, 200));
    CU_ASSERT(close_to(s.bytes_per_s, 20));
    CU_ASSERT(close_to(s.intensity, 10));
    CU_ASSERT_STRING_EQUAL(s.read, "L2");
    CU_ASSERT_STRING_EQUAL(s.mul, "INT8");
    CU_ASSERT_TRUE(s.by_memory);
    CU_ASSERT(close_to(s.bound_seconds, 0.8));
    CU_ASSERT(close_to(s.share, 0.4));
    s.operations = 4000; /* 5 s: more than it took, and said so */
    jm_spot_place(&s, roofs, N_ROOFS, 2);
    CU_ASSERT_FALSE(s.by_memory);
    CU_ASSERT(close_to(s.share, 2.5));
    s.kind = JM_ROOF_BF16;
    jm_spot_place(&s, roofs, N_ROOFS, 2);
    CU_ASSERT(isnan(s.bound_seconds) && isnan(s.share));
    CU_ASSERT_STRING_EQUAL(s.mul, "");
    s.operations = 0; /* a move needs no multiplier */
    jm_spot_place(&s, roofs, N_ROOFS, 2);
    CU_ASSERT(close_to(s.share, 0.4));
    s.busy_ns = 0;
    jm_spot_place(&s, roofs, N_ROOFS, 2);
    CU_ASSERT(isnan(s.share) && isnan(s.ops_per_s));
}

static void test_names(void)
{
    static const char *const name[][2] = {
        { "blk.12.attn_q.weight", "attn_q" },
        { "token_embd.weight", "token_embd" },
        { "model.layers.3.mlp.experts.7.up.weight", "up" },
        { "v2.bias", "v2.bias" },
        { "blk.3", "blk.3" },
        { "fm.head.0.weight", "fm.head.0" },
        { "", "" },
    };
    char out[64], big[200];
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        jm_spot_name(name[i][0], out);
        CU_ASSERT_STRING_EQUAL(out, name[i][1]);
    }
    CU_ASSERT_STRING_EQUAL(jm_spot_tail("self_attn.q_proj"), "q_proj");
    CU_ASSERT_STRING_EQUAL(jm_spot_tail("fm.head.0"), "head.0");
    CU_ASSERT_STRING_EQUAL(jm_spot_tail("output"), "output");
    CU_ASSERT_STRING_EQUAL(jm_spot_tail("a."), "a.");
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    jm_spot_name(big, out);
    CU_ASSERT_EQUAL(strlen(out), 63);
}

/* A backend of three nodes, two of them alike. */
static bool fake_batches(const jm_plan *p, uint32_t class, struct jm_profile_batches *out)
{
    (void)p;
    *out = (struct jm_profile_batches){ .threads = 2, .batches = 5, .rows = 5 };
    return class == 0;
}

static bool fake_op(const jm_plan *p, uint32_t class, uint32_t node, struct jm_profile_op *out)
{
    (void)p;
    *out = (struct jm_profile_op){ .op = JM_OP_LINEAR,
                                   .name = "blk.0.up.weight",
                                   .format = "Q4_0",
                                   .kernel = "Q4",
                                   .kind = JM_ROOF_I8,
                                   .calls = 5,
                                   .busy_ns = 1e9,
                                   .operations = 10,
                                   .bytes = 1,
                                   .set_bytes = 10 };
    if (node == 1)
        strcpy(out->name, "blk.1.up.weight");
    if (node == 2)
        *out = (struct jm_profile_op){ .op = JM_OP_ADD, .calls = 5, .busy_ns = 3e9, .bytes = 7 };
    if (node == 3)
        *out = (struct jm_profile_op){ .op = JM_OP_SILU, .entry = 1 }; /* did not run */
    return class == 0 && node < 4;
}

static void test_spots(void)
{
    const struct jm_backend_ops ops = { .profile_batches = fake_batches, .profile_op = fake_op };
    struct jm_spots s;
    jm_err err = { 0 };
    CU_ASSERT_EQUAL(jm_spots_read(&ops, NULL, 1, roofs, N_ROOFS, &s, &err), JM_ENOTFOUND);
    CU_ASSERT_EQUAL_FATAL(jm_spots_read(&ops, NULL, 0, roofs, N_ROOFS, &s, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(s.n, 2);
    CU_ASSERT_EQUAL(s.spot[0].op, JM_OP_ADD); /* the longest first */
    CU_ASSERT_STRING_EQUAL(s.spot[1].name, "up");
    CU_ASSERT_EQUAL(s.spot[1].calls, 10);
    CU_ASSERT(close_to(s.spot[1].operations, 20) && close_to(s.spot[1].bytes, 2));
    CU_ASSERT(close_to(s.spot[1].set_bytes, 10)); /* of one pass, not of both */
    CU_ASSERT(close_to(s.spot[1].seconds, 1));
    jm_spots_free(&s);
    CU_ASSERT_PTR_NULL(s.spot);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

/* INT16 lies between the others and near both: the plot names it once, beside the first. */
static void test_plot_labels(void)
{
    static const struct jm_roof near[] = {
        { .kind = JM_ROOF_READ, .name = "memory", .threads = 1, .per_s = 12e9 },
        { .kind = JM_ROOF_F32, .name = "FP32", .threads = 1, .per_s = 93e9 },
        { .kind = JM_ROOF_I8, .name = "INT8", .threads = 1, .per_s = 177e9 },
        { .kind = JM_ROOF_I16, .name = "INT16", .threads = 1, .per_s = 129e9 },
    };
    char dir[] = "/tmp/jm-test-roofline-XXXXXX", path[64];
    struct jm_roofline *r = calloc(1, sizeof *r);
    jm_map svg = { 0 };
    CU_ASSERT_FATAL(r && mkdtemp(dir));
    r->device.threads = 1;
    memcpy(r->roof, near, sizeof near);
    r->n_roofs = sizeof near / sizeof *near;
    CU_ASSERT_EQUAL(jm_plot_roofline(r, dir, NULL, NULL), JM_OK);
    (void)snprintf(path, sizeof path, "%s/roofline.svg", dir);
    CU_ASSERT_EQUAL_FATAL(jm_map_open(path, &svg, NULL), JM_OK);
    char *text = strndup((const char *)svg.data, svg.bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_EQUAL(count(text, ">FP32 93, INT16 129 GOP/s<"), 1);
    CU_ASSERT_EQUAL(count(text, ">INT8 177 GOP/s<"), 1);
    free(text);
    jm_map_close(&svg);
    jm_remove_folder(dir);
    free(r);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("roofline", NULL, NULL);
    CU_add_test(s, "peaks do what they count", test_peaks_do_what_they_count);
    CU_add_test(s, "roofs", test_roofs);
    CU_add_test(s, "tally", test_tally);
    CU_add_test(s, "work of a linear", test_linear_work);
    CU_add_test(s, "profile", test_profile);
    CU_add_test(s, "choice of roofs", test_roof_choice);
    CU_add_test(s, "place", test_place);
    CU_add_test(s, "names", test_names);
    CU_add_test(s, "spots", test_spots);
    CU_add_test(s, "labels of the plot", test_plot_labels);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
