/* SPDX-License-Identifier: Apache-2.0 */
/* workloads/model/synth.h: shapes against the bundled model, weights of every format, vocabularies
 * of the real size, the same bytes for the same seed, and what a failure leaves behind. */
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "workloads/model/hunyuan_dense.h"
#include "workloads/model/neo_unify.h"
#include "workloads/model/synth_internal.h"
#include "workloads/model/tokenizer.h"

static char folder[] = "/tmp/jm-synth-XXXXXX";
static char path_a[sizeof folder + 16], path_b[sizeof folder + 16];

static jm_gguf *make(const char *path, const char *shape, jm_format f, uint64_t seed)
{
    struct jm_synth_options o = { .shape = shape, .format = f, .seed = seed };
    jm_gguf *g = NULL;
    jm_err err = { 0 };
    CU_ASSERT_EQUAL_FATAL(jm_synth_file(path, &o, &err), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(path, &g, &err), JM_OK);
    return g;
}

/* Mean and root mean square of a matrix of n weights against the wanted standard deviation: within
 * six standard errors (the fourth moment of any of these level sets is at most 4 std^4), and 3% for
 * scales that are uniform over a range and taken for their mean. */
static void check_weights(const struct jm_tensor *t, double std)
{
    size_t n = (size_t)t->rows * t->cols, row = jm_format_row_bytes(t->format, t->cols);
    float *x = calloc(t->cols, sizeof *x);
    double sum = 0, squares = 0;
    for (size_t r = 0; x && r < t->rows; r++) {
        jm_format_decode(t->format, (const uint8_t *)t->data + r * row, x, t->cols);
        for (size_t i = 0; i < t->cols; i++) {
            sum += (double)x[i];
            squares += (double)x[i] * (double)x[i];
        }
    }
    free(x);
    /* Q3_K and Q6_K have one level more below zero than above, and so for their scales: the mean
     * is the product of both halves, 0.25 of some 43 and 1,370 steps. */
    double mean = sum / (double)n / std, rms = sqrt(squares / (double)n) / std;
    CU_ASSERT(fabs(mean) <= 6 / sqrt((double)n) + 0.01);
    CU_ASSERT(fabs(rms - 1) <= 6 / sqrt((double)n) + 0.03);
}

/* As the bundled model: every tensor of layer 0, its shape, its kind of values. */
static void test_formats(void)
{
    jm_gguf *real = NULL;
    jm_err err = { 0 };
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(JM_DATA "/tiny-mt-f16.gguf", &real, &err), JM_OK);
    for (jm_format f = 0; f < JM_FORMAT_COUNT; f++) {
        jm_gguf *g = make(path_a, "tiny-mt-L1", f, 7);
        struct jm_hunyuan params;
        jm_graph *graph = NULL;
        bool synthetic = false;
        CU_ASSERT_EQUAL(jm_hunyuan_build(g, &graph, &params, &err), JM_OK);
        CU_ASSERT_STRING_EQUAL(err.text, "");
        jm_graph_free(graph);
        CU_ASSERT(jm_gguf_bool(g, "joulemark.synthetic", &synthetic) && synthetic);
        CU_ASSERT_EQUAL(jm_gguf_tensor_count(g), 13);
        for (size_t i = 0; i < jm_gguf_tensor_count(g); i++) {
            const struct jm_tensor *t = jm_gguf_tensor_at(g, i), *u = jm_gguf_tensor(real, t->name);
            bool embedding = strcmp(t->name, "token_embd.weight") == 0;
            CU_ASSERT_FATAL(u != NULL);
            CU_ASSERT(t->rows == u->rows && t->cols == u->cols);
            if (t->rows == 1) {
                CU_ASSERT(t->format == JM_F32 && fabs((double)*(const float *)t->data - 1) <= 0);
                continue;
            }
            CU_ASSERT(embedding || t->format == f);
            CU_ASSERT(!embedding || jm_format_info(t->format)->block_bytes * 16 >=
                                        jm_format_info(t->format)->block * 13);
            check_weights(t, 1 / sqrt((double)t->cols));
        }
        jm_gguf_close(g);
    }
    jm_gguf_close(real);
}

static bool same_tensor(const struct jm_tensor *a, const struct jm_tensor *b)
{
    return a && b && a->format == b->format && a->rows == b->rows && a->cols == b->cols &&
           memcmp(a->data, b->data, a->rows * jm_format_row_bytes(a->format, a->cols)) == 0;
}

static void test_seed(void)
{
    static const jm_format formats[] = { JM_Q8_0, JM_Q4_K, JM_STQ1_0 };
    for (size_t i = 0; i < 3; i++) {
        jm_map a, b;
        jm_gguf *one = make(path_a, "tiny-mt-L1", formats[i], 1);
        jm_gguf *two = make(path_b, "tiny-mt-L2", formats[i], 1);
        const char *name = "blk.0.ffn_up.weight";
        CU_ASSERT(same_tensor(jm_gguf_tensor(one, name), jm_gguf_tensor(two, name)));
        CU_ASSERT(
            !same_tensor(jm_gguf_tensor(one, name), jm_gguf_tensor(one, "blk.0.ffn_gate.weight")));
        jm_gguf_close(two);
        two = make(path_b, "tiny-mt-L1", formats[i], 2);
        CU_ASSERT(!same_tensor(jm_gguf_tensor(one, name), jm_gguf_tensor(two, name)));
        jm_gguf_close(two);
        jm_gguf_close(make(path_b, "tiny-mt-L1", formats[i], 1));
        CU_ASSERT_EQUAL_FATAL(jm_map_open(path_a, &a, NULL), JM_OK);
        CU_ASSERT_EQUAL_FATAL(jm_map_open(path_b, &b, NULL), JM_OK);
        CU_ASSERT(a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0);
        jm_map_close(&a);
        jm_map_close(&b);
        jm_gguf_close(one);
    }
}

/* A file of metadata alone. */
static jm_gguf *open_metadata(const struct jm_synth_dims *d, uint8_t **bytes)
{
    struct jm_gguf_keys k = { 0 };
    jm_gguf *g = NULL;
    jm_err err = { 0 };
    jm_synth_metadata(d, JM_Q4_0, &k);
    CU_ASSERT_FATAL(!k.out_of_memory);
    const uint8_t start[16] = { 'G', 'G', 'U', 'F', 3 };
    *bytes = malloc(24 + k.n);
    CU_ASSERT_FATAL(*bytes != NULL);
    memcpy(*bytes, start, 16);
    for (int i = 0; i < 8; i++)
        (*bytes)[16 + i] = (uint8_t)(k.n_keys >> (8 * i) & 0xff);
    memcpy(*bytes + 24, k.p, k.n);
    CU_ASSERT_EQUAL(jm_gguf_open_memory(*bytes, 24 + k.n, "metadata", &g, &err), JM_OK);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    jm_gguf_keys_free(&k);
    return g;
}

/* Text comes back whole, in a sensible number of tokens. */
static void check_text(const jm_tokenizer *t, const char *text, size_t most)
{
    uint32_t *ids = NULL;
    size_t n = 0, at = 0;
    jm_err err = { 0 };
    CU_ASSERT_EQUAL(jm_tokenizer_encode(t, text, strlen(text), false, &ids, &n, &err), JM_OK);
    if (n > most)
        printf("\n  %zu tokens for \"%s\"", n, text);
    CU_ASSERT(n <= most);
    for (size_t i = 0; i < n; i++) {
        jm_str s = jm_tokenizer_bytes(t, ids[i]);
        CU_ASSERT_FATAL(at + s.n <= strlen(text));
        CU_ASSERT(memcmp(text + at, s.p, s.n) == 0);
        at += s.n;
    }
    CU_ASSERT_EQUAL(at, strlen(text));
    free(ids);
}

static void check_vocab(enum jm_synth_family family, uint32_t vocab, uint32_t special,
                        const char *control, uint32_t control_id)
{
    struct jm_synth_dims d = { .shape = { .name = "test" },
                               .family = family,
                               .layers = 1,
                               .hidden = 64,
                               .vocab = vocab,
                               .special = special };
    uint8_t *bytes;
    jm_gguf *g = open_metadata(&d, &bytes);
    jm_tokenizer *t = NULL;
    jm_err err = { 0 };
    const jm_str *texts;
    size_t n = 0;
    uint32_t id;
    CU_ASSERT_EQUAL_FATAL(jm_tokenizer_open(g, &t, &err), JM_OK);
    CU_ASSERT(jm_gguf_str_array(g, "tokenizer.ggml.tokens", &texts, &n) && n == vocab);
    size_t twice = 0;
    for (uint32_t i = 0; i < n; i++)
        twice += !jm_tokenizer_find(t, texts[i].p, texts[i].n, &id) || id != i;
    CU_ASSERT_EQUAL(twice, 0);
    CU_ASSERT(jm_tokenizer_find(t, control, strlen(control), &id) && id == control_id);
    check_text(t, "Translate the following segment into German, please: 1984.",
               vocab > 100000 ? 26 : 34);
    check_text(t, "\xff\x00 \xc3", 3);
    if (vocab > 100000)
        check_text(t, "将以下文本翻译为德语，谢谢。", 14);
    jm_tokenizer_close(t);
    jm_gguf_close(g);
    free(bytes);
}

static void test_vocab(void)
{
    check_vocab(JM_SYNTH_HUNYUAN, 120818, 818, "<｜hy_place▁holder▁no▁2｜>", 120020);
    check_vocab(JM_SYNTH_HUNYUAN, 8192, 32, "<｜hy_User｜>", 8166);
    check_vocab(JM_SYNTH_U1, 151936, 293, "</think>", 151668);
}

static void test_pictures(void)
{
    static const struct {
        const char *name;
        uint32_t rows, cols;
        jm_format format;
    } some[] = {
        { .name = "language_model.model.embed_tokens.weight",
          .rows = 8192,
          .cols = 256,
          .format = JM_Q8_0 },
        { .name = "language_model.model.layers.1.self_attn.k_proj_mot_gen.weight",
          .rows = 128,
          .cols = 256,
          .format = JM_Q4_0 },
        { .name = "language_model.model.layers.1.self_attn.q_norm_hw_mot_gen.weight",
          .rows = 1,
          .cols = 32,
          .format = JM_F32 },
        { .name = "language_model.model.layers.0.mlp_mot_gen.down_proj.weight",
          .rows = 256,
          .cols = 768,
          .format = JM_Q4_0 },
        { .name = "fm_modules.vision_model_mot_gen.embeddings.patch_embedding.weight",
          .rows = 4 * 3 * 64,
          .cols = 4,
          .format = JM_F16 },
        { .name = "fm_modules.fm_head.2.bias", .rows = 1, .cols = 192, .format = JM_F32 },
    };
    jm_gguf *g = make(path_a, "tiny-u1-L2", JM_Q4_0, 0);
    struct jm_neo params;
    struct jm_neo_source source = jm_neo_gguf(g);
    jm_graph *graph = NULL;
    jm_err err = { 0 };
    CU_ASSERT_EQUAL(jm_neo_read(g, &params, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_neo_build(&source, &params, &graph, &err), JM_OK);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    CU_ASSERT(params.layers == 2 && params.patch == 4 && params.default_steps == 16);
    jm_graph_free(graph);
    CU_ASSERT_EQUAL(jm_gguf_tensor_count(g), 2 + 2 * 26 + 4 + 12);
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        const struct jm_tensor *t = jm_gguf_tensor(g, some[i].name);
        CU_ASSERT_FATAL(t != NULL);
        CU_ASSERT(t->rows == some[i].rows && t->cols == some[i].cols &&
                  t->format == some[i].format);
    }
    jm_gguf_close(g);
}

static bool refuse(void *ctx, double done)
{
    (void)ctx;
    return done < 0;
}

static size_t files_left(void)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static void test_failures(void)
{
    struct jm_synth_options o = { .shape = "tiny-mt", .format = JM_Q8_0, .progress = refuse };
    jm_err err = { 0 };
    unlink(path_a);
    unlink(path_b);
    CU_ASSERT_EQUAL(jm_synth_file(path_a, &o, &err), JM_EINTERRUPTED);
    CU_ASSERT_EQUAL(files_left(), 0);

    static const char *const wrong[] = { "tiny", "tiny-mtx", "tiny-mt-L", "tiny-mt-L2x", "" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        err = (jm_err){ 0 };
        o.shape = wrong[i];
        CU_ASSERT_EQUAL(jm_synth_file(path_a, &o, &err), JM_ENOTFOUND);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "hy-mt-1.8b"));
    }
    err = (jm_err){ 0 };
    o.shape = "tiny-mt-L0";
    CU_ASSERT_EQUAL(jm_synth_file(path_a, &o, &err), JM_EUSAGE);
    err = (jm_err){ 0 };
    o.shape = "tiny-mt-L99999999999999999999";
    CU_ASSERT_EQUAL(jm_synth_file(path_a, &o, &err), JM_EUSAGE);

    /* 1,024 layers of 1.54 GB each. */
    struct statvfs fs;
    CU_ASSERT_EQUAL_FATAL(statvfs(folder, &fs), 0);
    err = (jm_err){ 0 };
    o.shape = "u1-8b-L1024";
    o.format = JM_F32;
    jm_status st = jm_synth_file(path_a, &o, &err);
    if ((double)fs.f_bavail * (double)fs.f_frsize < 1.5e12) {
        CU_ASSERT_EQUAL(st, JM_EIO);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "GB free"));
    }
    CU_ASSERT(st != JM_OK);
    CU_ASSERT_EQUAL(files_left(), 0);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(path_a, sizeof path_a, "%s/a.gguf", folder);
    snprintf(path_b, sizeof path_b, "%s/b.gguf", folder);
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("synth", NULL, NULL);
    CU_add_test(s, "formats", test_formats);
    CU_add_test(s, "seed", test_seed);
    CU_add_test(s, "vocabulary", test_vocab);
    CU_add_test(s, "pictures", test_pictures);
    CU_add_test(s, "failures", test_failures);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    unlink(path_a);
    unlink(path_b);
    rmdir(folder);
    return failures != 0;
}
