/* SPDX-License-Identifier: Apache-2.0 */
/* Picture models from both containers: the bundled GGUF model is written again as safetensors in
 * two shards with a config.json, and must draw the same bits. Then: configurations and captions
 * that are refused. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/loader.h"
#include "base/file.h"
#include "workloads/imagegen/imagegen.h"
#include "workloads/imagegen/kit.h"
#include "workloads/imagegen/noise.h"
#include "workloads/model/gguf_internal.h"
#include "workloads/model/neo_config.h"

#define MODEL JM_DATA "/tiny-u1-f16.gguf"

enum { SIDE = 16, VALUES = 3 * SIDE * SIDE, SHARDS = 2 };

static char folder[] = "/tmp/jm_kit_XXXXXX";
static jm_backend backend;
static jm_device *device;

static const char config[] =
    "{\"model_type\":\"neo_chat\",\"downsample_ratio\":0.5,\"use_pixel_head\":false,"
    "\"noise_scale\":1.0,\"noise_scale_mode\":\"resolution\",\"noise_scale_max_value\":8.0,"
    "\"noise_scale_base_image_seq_len\":64,\"add_noise_scale_embedding\":true,\"t_eps\":0.05,"
    "\"timestep_shift\":1.0,\"time_schedule\":\"standard\",\"fm_head_layers\":2,"
    "\"llm_config\":{\"num_hidden_layers\":6,\"hidden_size\":256,\"intermediate_size\":768,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":64,"
    "\"max_position_embeddings\":512,\"rms_norm_eps\":1e-6,\"rope_theta\":10000,"
    "\"rope_theta_hw\":10000},"
    "\"vision_config\":{\"hidden_size\":64,\"patch_size\":4,\"rope_theta_vision\":10000}}";

static char *in_folder(const char *name)
{
    char *p = jm_asprintf("%s/%s", folder, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    return p;
}

static void put(const char *name, const char *text)
{
    char *path = in_folder(name);
    CU_ASSERT_EQUAL(jm_write_file(path, text, strlen(text), NULL), JM_OK);
    free(path);
}

/* Tensors i of f with i % SHARDS == shard, in f's order. */
static void write_shard(const jm_gguf *f, size_t shard, FILE *index)
{
    char *header = NULL, name[32];
    size_t n_header, at = 0, n = jm_gguf_tensor_count(f);
    FILE *h = open_memstream(&header, &n_header);
    snprintf(name, sizeof name, "part-%zu.safetensors", shard);
    fputs("{\"__metadata__\":{\"format\":\"pt\"}", h);
    for (size_t i = shard; i < n; i += SHARDS) {
        const struct jm_tensor *t = jm_gguf_tensor_at(f, i);
        uint64_t dims[JM_GGUF_MAX_DIMS];
        uint32_t n_dims = jm_gguf_dims(f, i, dims);
        size_t bytes = t->rows * jm_format_row_bytes(t->format, t->cols);
        fprintf(h, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name,
                jm_format_info(t->format)->name);
        while (n_dims-- > 0)
            fprintf(h, "%llu%s", (unsigned long long)dims[n_dims], n_dims > 0 ? "," : "");
        fprintf(h, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
        fprintf(index, "%s\"%s\":\"%s\"", i > 0 ? "," : "", t->name, name);
        at += bytes;
    }
    fputc('}', h);
    while (ftell(h) % 8)
        fputc(' ', h);
    fclose(h);
    char *path = in_folder(name);
    FILE *out = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    uint64_t length = n_header; /* little endian, as all machines that run this are */
    fwrite(&length, sizeof length, 1, out);
    fwrite(header, 1, n_header, out);
    for (size_t i = shard; i < n; i += SHARDS) {
        const struct jm_tensor *t = jm_gguf_tensor_at(f, i);
        fwrite(t->data, jm_format_row_bytes(t->format, t->cols), t->rows, out);
    }
    CU_ASSERT_EQUAL(fclose(out), 0);
    free(path);
    free(header);
}

static void write_safetensors(void)
{
    jm_gguf *f;
    char *text = NULL;
    size_t n;
    FILE *index = open_memstream(&text, &n);
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(MODEL, &f, NULL), JM_OK);
    fputs("{\"metadata\":{},\"weight_map\":{", index);
    for (size_t i = 0; i < SHARDS; i++)
        write_shard(f, i, index);
    fputs("}}", index);
    fclose(index);
    put("model.safetensors.index.json", text);
    put("config.json", config);
    free(text);
    jm_gguf_close(f);
}

static void draw(const char *model, const char *tokenizer, float *pixels)
{
    jm_u1_kit k;
    jm_err err = { 0 };
    struct jm_sampling how = { .width = SIDE, .height = SIDE, .steps = 2, .cfg = 2, .shift = 1 };
    struct jm_u1_prompts prompts = { 0 };
    uint32_t *ids = NULL;
    jm_status st = jm_u1_kit_open(model, tokenizer, backend.ops, device, &k, &err);
    if (st == JM_OK)
        st = jm_u1_kit_encode(&k, "red apple", &ids, &prompts.n_prompt, &err);
    if (st == JM_OK)
        st = jm_u1_compile(&k.model, 1, 0, &how, &err);
    prompts.prompt = ids;
    prompts.uncond = k.uncond;
    prompts.n_uncond = k.n_uncond;
    jm_noise_fill(0, pixels, VALUES);
    if (st == JM_OK)
        st = jm_u1_draw(&k.model, &prompts, &how, pixels, &err);
    if (st != JM_OK)
        printf("\n  %s\n", err.text);
    CU_ASSERT_EQUAL(st, JM_OK);
    free(ids);
    jm_u1_kit_close(&k);
}

static void test_same_picture(void)
{
    float a[VALUES], b[VALUES], noise[VALUES];
    jm_u1_kit k;
    jm_err err = { 0 };
    write_safetensors();
    draw(MODEL, NULL, a);
    draw(folder, MODEL, b);
    jm_noise_fill(0, noise, VALUES);
    CU_ASSERT_EQUAL(memcmp(a, b, sizeof a), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(a, noise, sizeof a), 0);
    CU_ASSERT_EQUAL(jm_u1_kit_open(folder, NULL, backend.ops, device, &k, &err), JM_EUNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "--tokenizer"));
}

/* The answer to "red apple" of the picture workload, as SHA-256, and what it says of its model. */
static void answer(const char *model, const char *tokenizer, char hex[JM_SHA256_HEX],
                   struct jm_model_info *info)
{
    char *data = in_folder("data.csv");
    const char *text = "";
    jm_workload *w = NULL;
    jm_err err = { 0 };
    struct jm_timing timing = { 0 };
    struct jm_sink sink = { .timing = &timing, .capacity = 1 };
    struct jm_workload_config cfg = { .model_path = model,
                                      .tokenizer_path = tokenizer,
                                      .data_path = data,
                                      .batch = 1,
                                      .size = SIDE,
                                      .steps = 2,
                                      .cfg = 2,
                                      .ops = backend.ops,
                                      .device = device };
    put("data.csv", "id,lang,text\na,en,red apple\n");
    jm_status st = jm_imagegen_workload.open(&cfg, &w, &err);
    if (st != JM_OK)
        printf("\n  %s\n", err.text);
    CU_ASSERT_EQUAL_FATAL(st, JM_OK);
    const struct jm_sut *sut = jm_imagegen_workload.sut(w);
    CU_ASSERT_EQUAL(sut->begin(sut->state, 1, NULL), JM_OK);
    CU_ASSERT_EQUAL(sut->issue(sut->state, &(struct jm_sample){ 0 }, 1, NULL), JM_OK);
    for (int i = 0; sink.done < 1 && i < 100; i++)
        CU_ASSERT_EQUAL(sut->step(sut->state, &sink, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_imagegen_workload.answer(w, 0, &text, NULL), JM_OK);
    snprintf(hex, JM_SHA256_HEX, "%s", text);
    jm_imagegen_workload.info(w, info);
    jm_imagegen_workload.close(w);
    unlink(data);
    free(data);
}

/* A run of safetensors: the same pictures, and the model told of as it is. */
static void test_workload(void)
{
    char a[JM_SHA256_HEX], b[JM_SHA256_HEX], c[JM_SHA256_HEX], kept[JM_SHA256_HEX];
    struct jm_model_info gguf, tensors;
    write_safetensors();
    answer(MODEL, NULL, a, &gguf);
    answer(folder, MODEL, b, &tensors);
    CU_ASSERT_STRING_EQUAL(a, b);
    CU_ASSERT_EQUAL(strlen(a), 64);
    CU_ASSERT_EQUAL(tensors.parameters, gguf.parameters);
    CU_ASSERT_STRING_EQUAL(tensors.format, "F16");
    CU_ASSERT_STRING_EQUAL(tensors.name, strrchr(folder, '/') + 1);
    CU_ASSERT_TRUE(tensors.memory.weights > 0 && tensors.other_bytes > 0);
    CU_ASSERT_EQUAL(tensors.memory.weights, gguf.memory.weights);
    CU_ASSERT_TRUE(tensors.file_bytes > tensors.parameters);

    /* The hash is of every file. */
    snprintf(kept, sizeof kept, "%s", tensors.sha256);
    CU_ASSERT_EQUAL(strlen(kept), 64);
    char *text = jm_asprintf("%s ", config);
    put("config.json", text);
    free(text);
    answer(folder, MODEL, c, &tensors);
    CU_ASSERT_STRING_EQUAL(c, a);
    CU_ASSERT_STRING_NOT_EQUAL(tensors.sha256, kept);
}

/* tokenizer.json beside the weights serves unasked; its ids must be the model's. */
static void test_own_tokenizer(void)
{
    static const char head[] =
        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
        "\"added_tokens\":[{\"id\":0,\"content\":\"<|im_start|>\",\"special\":true},"
        "{\"id\":1,\"content\":\"<img>\",\"special\":true}],"
        "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{";
    char *json = NULL;
    size_t n;
    jm_u1_kit k;
    uint32_t *ids, n_ids;
    FILE *f = open_memstream(&json, &n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fputs(head, f);
    for (unsigned i = 0, next = 256; i < 256; i++) { /* the bytes in GPT-2's alphabet */
        bool plain = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        fprintf(f, "%s\"\\u%04x\":%u", i ? "," : "", plain ? i : next, i + 10);
        next += !plain;
    }
    fputs("}}}", f);
    fclose(f);
    put("tokenizer.json", json);
    free(json);
    jm_err err = { 0 };
    jm_status st = jm_u1_kit_open(folder, NULL, backend.ops, device, &k, &err);
    if (st != JM_OK)
        printf("\n  %s\n", err.text);
    CU_ASSERT_EQUAL_FATAL(st, JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_u1_kit_encode(&k, "A", &ids, &n_ids, NULL), JM_OK);
    CU_ASSERT(n_ids > 2 && ids[0] == 0 && ids[n_ids - 1] == 1);
    bool found = false;
    for (uint32_t i = 0; i < n_ids; i++)
        found |= ids[i] == 'A' + 10;
    CU_ASSERT(found);
    free(ids);
    jm_u1_kit_close(&k);
    put("tokenizer.json", "{}");
    CU_ASSERT_EQUAL(jm_u1_kit_open(folder, NULL, backend.ops, device, &k, NULL), JM_EUNSUPPORTED);
    char *path = in_folder("tokenizer.json");
    unlink(path);
    free(path);
}

/* Both ways to read the settings agree on this model. */
static void test_same_settings(void)
{
    struct jm_neo a, b;
    jm_gguf *f;
    jm_safetensors *s;
    CU_ASSERT_EQUAL_FATAL(jm_gguf_open(MODEL, &f, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_safetensors_open(folder, &s, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_neo_read(f, &a, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_neo_read_config(s, &b, NULL), JM_OK);
    CU_ASSERT(a.layers == b.layers && a.hidden == b.hidden && a.ffn == b.ffn);
    CU_ASSERT(a.heads == b.heads && a.kv_heads == b.kv_heads && a.head_dim == b.head_dim);
    CU_ASSERT(a.vocab == b.vocab && a.context == b.context && a.eps == b.eps);
    CU_ASSERT(a.rope_base == b.rope_base && a.rope_base_hw == b.rope_base_hw);
    CU_ASSERT(a.vision_rope_base == b.vision_rope_base && a.t_eps == b.t_eps);
    CU_ASSERT(a.patch == b.patch && a.merge == b.merge && a.vision == b.vision);
    CU_ASSERT(a.head == b.head && a.noise_scale == b.noise_scale && a.noise_max == b.noise_max);
    CU_ASSERT(a.noise_by_resolution == b.noise_by_resolution);
    CU_ASSERT(a.noise_base_tokens == b.noise_base_tokens && a.default_shift == b.default_shift);
    CU_ASSERT_EQUAL(a.noise_features, b.noise_features);
    jm_gguf_close(f);
    jm_safetensors_close(s);
}

/* The configuration with `from` replaced by `to`, read. */
static jm_status read_changed(const char *from, const char *to, jm_err *err)
{
    const char *at = strstr(config, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    char *text = jm_asprintf("%.*s%s%s", (int)(at - config), config, to, at + strlen(from));
    struct jm_neo p;
    jm_safetensors *s;
    put("config.json", text);
    free(text);
    jm_status st = jm_safetensors_open(folder, &s, err);
    if (st == JM_OK)
        st = jm_neo_read_config(s, &p, err);
    jm_safetensors_close(s);
    return st;
}

static void test_config_refused(void)
{
    static const struct {
        const char *from, *to, *says;
        jm_status st;
    } cases[] = {
        { "neo_chat", "qwen3", "'qwen3'", JM_EUNSUPPORTED },
        { "\"use_pixel_head\":false", "\"use_pixel_head\":true", "use_pixel_head",
          JM_EUNSUPPORTED },
        { "\"standard\"", "\"dynamic\"", "time_schedule", JM_EUNSUPPORTED },
        { "\"fm_head_layers\":2", "\"fm_head_layers\":6", "fm_head_layers", JM_EUNSUPPORTED },
        { "\"resolution\"", "\"dynamic_sqrt\"", "dynamic_sqrt", JM_EUNSUPPORTED },
        { "\"head_dim\":64,", "", "llm_config.head_dim", JM_EINPUT },
        { "\"hidden_size\":64,", "\"hidden_size\":\"64\",", "vision_config.hidden_size",
          JM_EINPUT },
        { "\"downsample_ratio\":0.5", "\"downsample_ratio\":0.3", "downsample_ratio", JM_EINPUT },
        { "\"downsample_ratio\":0.5", "\"downsample_ratio\":0", "downsample_ratio", JM_EINPUT },
        { "\"num_hidden_layers\":6", "\"num_hidden_layers\":0", "layers", JM_EINPUT },
        { "\"t_eps\":0.05", "\"t_eps\":-1", "t_eps", JM_EINPUT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jm_err err = { 0 };
        CU_ASSERT_EQUAL(read_changed(cases[i].from, cases[i].to, &err), cases[i].st);
        if (!strstr(err.text, cases[i].says)) {
            printf("\n  %s gave: %s", cases[i].to, err.text);
            CU_FAIL("another reason");
        }
    }
    char *path = in_folder("config.json");
    jm_err err = { 0 };
    struct jm_neo p;
    jm_safetensors *s;
    unlink(path);
    free(path);
    CU_ASSERT_EQUAL_FATAL(jm_safetensors_open(folder, &s, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_neo_read_config(s, &p, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "config.json"));
    jm_safetensors_close(s);
}

static void check_ids(const jm_u1_kit *k, const char *text, const uint32_t *want, uint32_t n)
{
    uint32_t *ids, got;
    CU_ASSERT_EQUAL_FATAL(jm_u1_kit_encode(k, text, &ids, &got, NULL), JM_OK);
    CU_ASSERT(got == n && memcmp(ids, want, n * sizeof *want) == 0);
    free(ids);
}

/* The ids of the first and third golden case, and what a control token in a caption is. */
static void test_captions(void)
{
    static const uint32_t apple[] = { 0, 4602, 968, 1560, 2 };
    static const uint32_t pomme[] = { 0, 128, 314, 522, 1054, 4069, 2 };
    jm_u1_kit k;
    uint32_t *ids, n;
    CU_ASSERT_EQUAL_FATAL(jm_u1_kit_open(MODEL, NULL, backend.ops, device, &k, NULL), JM_OK);
    check_ids(&k, "red apple", apple, 5);
    check_ids(&k, "pomme rouge", pomme, 7);
    CU_ASSERT(k.n_uncond == 2 && k.uncond[0] == 0 && k.uncond[1] == 2);
    CU_ASSERT_EQUAL_FATAL(jm_u1_kit_encode(&k, "<|sep|>", &ids, &n, NULL), JM_OK);
    CU_ASSERT(n > 3 && ids[0] == 0 && ids[1] != 2 && ids[n - 1] == 2);
    free(ids);
    CU_ASSERT_EQUAL(jm_u1_kit_encode(&k, "", &ids, &n, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(jm_u1_kit_encode(&k, " \t\n", &ids, &n, NULL), JM_EUSAGE);
    jm_u1_kit_close(&k);
    CU_ASSERT_EQUAL(
        jm_u1_kit_open(JM_DATA "/tiny-mt-f16.gguf", NULL, backend.ops, device, &k, NULL),
        JM_EUNSUPPORTED);
}

static void clean(void)
{
    static const char *const names[] = { "part-0.safetensors", "part-1.safetensors", "config.json",
                                         "model.safetensors.index.json" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = jm_asprintf("%s/%s", folder, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

int main(void)
{
    const struct jm_device_options one = { .threads = 1 };
    jm_err err = { 0 };
    if (CU_initialize_registry() != CUE_SUCCESS || !mkdtemp(folder))
        return 2;
    if (jm_backend_load("cpu", &backend, &err) != JM_OK ||
        backend.ops->open(0, &one, &device, &err) != JM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    CU_pSuite s = CU_add_suite("picture models", NULL, NULL);
    CU_add_test(s, "GGUF and safetensors draw the same", test_same_picture);
    CU_add_test(s, "a workload of safetensors", test_workload);
    CU_add_test(s, "the tokenizer beside them", test_own_tokenizer);
    CU_add_test(s, "the same settings", test_same_settings);
    CU_add_test(s, "configurations refused", test_config_refused);
    CU_add_test(s, "captions", test_captions);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0;
    CU_cleanup_registry();
    backend.ops->close(device);
    jm_backend_unload(&backend);
    clean();
    return failed;
}
