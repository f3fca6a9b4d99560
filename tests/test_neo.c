/* SPDX-License-Identifier: Apache-2.0 */
/* What the picture model's builder refuses: the bundled file with one thing wrong at a time. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/model/neo_unify.h"

static jm_gguf *file;
static struct jm_neo params;

/* The file with a tensor missing, or of other dimensions or format. */
struct broken {
    struct jm_neo_source whole;
    const char *name;
    bool missing;
    uint64_t dims[4]; /* dims[0] > 0: instead of the real ones */
    uint32_t n_dims;
    struct jm_tensor tensor; /* cols > 0: instead of the real one */
};

static const struct jm_tensor *find(const void *ctx, const char *name, uint64_t dims[4],
                                    uint32_t *n_dims)
{
    const struct broken *b = ctx;
    const struct jm_tensor *t = b->whole.find(b->whole.file, name, dims, n_dims);
    if (strcmp(name, b->name) != 0)
        return t;
    if (b->missing) {
        *n_dims = 0;
        return NULL;
    }
    if (b->dims[0]) {
        memcpy(dims, b->dims, sizeof b->dims);
        *n_dims = b->n_dims;
    }
    return b->tensor.cols ? &b->tensor : t;
}

static void refuse(struct broken b, jm_status st, const char *what)
{
    jm_err err = { 0 };
    jm_graph *g = NULL;
    struct jm_neo p = params;
    b.whole = jm_neo_gguf(file);
    struct jm_neo_source s = { .path = "broken.gguf", .file = &b, .find = find };
    CU_ASSERT_EQUAL(jm_neo_build(&s, &p, &g, &err), st);
    CU_ASSERT_PTR_NULL(g);
    if (!strstr(err.text, what) || !strstr(err.text, "broken.gguf"))
        printf("\n  wanted: %s; got: %s", what, err.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, what));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, b.name));
}

#define L "language_model.model."
#define V "fm_modules.vision_model_mot_gen.embeddings."

static void test_tensors(void)
{
    static const char *const names[] = {
        L "embed_tokens.weight",
        L "norm_mot_gen.weight",
        L "layers.5.self_attn.k_proj.weight",
        L "layers.5.self_attn.o_proj_mot_gen.weight",
        L "layers.0.self_attn.q_norm_hw_mot_gen.weight",
        L "layers.3.mlp_mot_gen.down_proj.weight",
        L "layers.2.post_attention_layernorm.weight",
        V "patch_embedding.weight",
        V "dense_embedding.bias",
        "fm_modules.timestep_embedder.mlp.0.weight",
        "fm_modules.timestep_embedder.mlp.2.bias",
        "fm_modules.noise_scale_embedder.mlp.2.weight",
        "fm_modules.fm_head.0.weight",
        "fm_modules.fm_head.2.bias",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        refuse((struct broken){ .name = names[i], .missing = true }, JM_EINPUT, "missing");
        refuse((struct broken){ .name = names[i], .dims = { 3, 5, 7 }, .n_dims = 3 }, JM_EINPUT,
               strstr(names[i], "mlp.0.weight") ? "takes no pairs" : "7 x 5 x 3");
    }
    /* the same count of values, but not the shape */
    refuse((struct broken){ .name = V "patch_embedding.weight", .dims = { 48, 64 }, .n_dims = 2 },
           JM_EINPUT, "ask for 64 x 3 x 4 x 4");
    struct jm_tensor t = { .name = "t", .format = JM_Q8_0, .cols = 64, .rows = 1, .data = "" };
    refuse((struct broken){ .name = V "patch_embedding.weight", .tensor = t }, JM_EUNSUPPORTED,
           "Q8_0");
    refuse((struct broken){ .name = L "norm_mot_gen.weight", .tensor = t }, JM_EUNSUPPORTED,
           "Q8_0");
}

static void refuse_params(struct jm_neo p, const char *what)
{
    jm_err err = { 0 };
    jm_graph *g = NULL;
    struct jm_neo_source s = jm_neo_gguf(file);
    CU_ASSERT_EQUAL(jm_neo_build(&s, &p, &g, &err), JM_EINPUT);
    CU_ASSERT_PTR_NULL(g);
    if (!strstr(err.text, what))
        printf("\n  wanted: %s; got: %s", what, err.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, what));
}

static void test_params(void)
{
    struct jm_neo p;
    p = params, p.layers = 0;
    refuse_params(p, "layers");
    p = params, p.kv_heads = 3;
    refuse_params(p, "evenly");
    p = params, p.head_dim = 60;
    refuse_params(p, "pairs");
    p = params, p.heads = p.kv_heads = 1u << 20;
    refuse_params(p, "too wide");
    p = params, p.patch = 1u << 20;
    refuse_params(p, "patch side");
    p = params, p.merge = UINT32_MAX;
    refuse_params(p, "merge side");
    p = params, p.eps = NAN;
    refuse_params(p, "norm epsilon");
    p = params, p.t_eps = 0;
    refuse_params(p, "t_eps");
    p = params, p.default_cfg = -1;
    refuse_params(p, "guidance");
    p = params, p.layers = 7; /* more than the file has */
    refuse_params(p, "layers.6.");
}

/* The metadata are what the model card says, and another architecture is called by its name. */
static void test_read(void)
{
    jm_gguf *other;
    jm_err err = { 0 };
    struct jm_neo p;
    CU_ASSERT_EQUAL(params.layers, 6);
    CU_ASSERT_EQUAL(params.hidden, 256);
    CU_ASSERT_EQUAL(params.patch, 4);
    CU_ASSERT_EQUAL(params.merge, 2);
    CU_ASSERT_EQUAL(params.default_steps, 16);
    CU_ASSERT(params.noise_by_resolution);
    CU_ASSERT(fabs(params.t_eps - 0.05) <= 1e-8);
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(JM_DATA "/tiny-mt-stq1_0.gguf", &other, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_neo_read(other, &p, &err), JM_EUNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "hunyuan-dense"));
    jm_gguf_close(other);
}

static void test_whole(void)
{
    jm_graph *g = NULL;
    struct jm_neo p = params;
    struct jm_neo_source s = jm_neo_gguf(file);
    CU_ASSERT_EQUAL_FATAL(jm_neo_build(&s, &p, &g, NULL), JM_OK);
    CU_ASSERT_EQUAL(p.time_features, 256);
    CU_ASSERT_EQUAL(p.noise_features, 256);
    CU_ASSERT_EQUAL(g->n_entries, 2);
    CU_ASSERT_EQUAL(g->n_caches, p.layers);
    CU_ASSERT_EQUAL(g->n_inputs, 3);
    CU_ASSERT_EQUAL(g->nodes[g->outputs[JM_NEO_X_PRED]].cols, 192);
    jm_graph_free(g);
    p.noise_features = 0; /* a model that is not told the noise scale */
    CU_ASSERT_EQUAL_FATAL(jm_neo_build(&s, &p, &g, NULL), JM_OK);
    CU_ASSERT_EQUAL(g->n_inputs, 2);
    jm_graph_free(g);
}

int main(void)
{
    jm_err err = { 0 };
    jm_status st = jm_gguf_open(JM_DATA "/tiny-u1-f16.gguf", &file, &err);
    if (st == JM_OK)
        st = jm_neo_read(file, &params, &err);
    if (st != JM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("neo", NULL, NULL);
    CU_add_test(s, "metadata", test_read);
    CU_add_test(s, "whole model", test_whole);
    CU_add_test(s, "tensors", test_tensors);
    CU_add_test(s, "parameters", test_params);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    jm_gguf_close(file);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
