/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json: the bundled vocabulary written in this form gives the ids that it gives from the
 * GGUF file, with the same way to cut text; and files that are refused. */
#include <CUnit/Basic.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workloads/model/tokenizer_json.h"

#define QWEN2                                                                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"      \
    "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* What the bundled model has, cut as qwen2. */
static jm_gguf *file;
static struct jm_vocabulary vocabulary;

static char *terminated(jm_str s)
{
    char *t = strndup(s.p, s.n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    return t;
}

static cJSON *merge_of(jm_str m, bool pairs)
{
    char *text = terminated(m), *space = strchr(text + 1, ' ');
    cJSON *item;
    if (pairs) {
        item = cJSON_CreateArray();
        *space = '\0';
        cJSON_AddItemToArray(item, cJSON_CreateString(text));
        cJSON_AddItemToArray(item, cJSON_CreateString(space + 1));
    } else {
        item = cJSON_CreateString(text);
    }
    free(text);
    return item;
}

static void add_token(cJSON *vocab, cJSON *added, uint32_t id)
{
    char *text = terminated(vocabulary.tokens[id]);
    int32_t type = vocabulary.types[id];
    if (type == 3 || type == 4) {
        cJSON *t = cJSON_CreateObject();
        cJSON_AddNumberToObject(t, "id", id);
        cJSON_AddStringToObject(t, "content", text);
        cJSON_AddBoolToObject(t, "special", type == 3);
        cJSON_AddItemToArray(added, t);
    } else {
        cJSON_AddNumberToObject(vocab, text, id);
    }
    free(text);
}

static char *write_json(bool pairs)
{
    cJSON *root = cJSON_Parse("{\"version\":\"1.0\",\"normalizer\":null,\"pre_tokenizer\":{"
                              "\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
                              "\"pattern\":{},\"behavior\":\"Isolated\",\"invert\":false},"
                              "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                              "\"use_regex\":false}]}}");
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    cJSON *pre = cJSON_GetObjectItem(root, "pre_tokenizer");
    cJSON *split = cJSON_GetArrayItem(cJSON_GetObjectItem(pre, "pretokenizers"), 0);
    cJSON_AddStringToObject(cJSON_GetObjectItem(split, "pattern"), "Regex", QWEN2);
    cJSON *added = cJSON_AddArrayToObject(root, "added_tokens");
    cJSON *model = cJSON_AddObjectToObject(root, "model");
    cJSON_AddStringToObject(model, "type", "BPE");
    cJSON *vocab = cJSON_AddObjectToObject(model, "vocab");
    cJSON *merges = cJSON_AddArrayToObject(model, "merges");
    for (uint32_t i = 0; i < vocabulary.n; i++)
        add_token(vocab, added, i);
    for (size_t i = 0; i < vocabulary.n_merges; i++)
        cJSON_AddItemToArray(merges, merge_of(vocabulary.merges[i], pairs));
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    return text;
}

static void same_ids(const jm_tokenizer *a, const jm_tokenizer *b, const char *text, bool special)
{
    uint32_t *x, *y;
    size_t n, m;
    CU_ASSERT_EQUAL_FATAL(jm_tokenizer_encode(a, text, strlen(text), special, &x, &n, NULL), JM_OK);
    CU_ASSERT_EQUAL_FATAL(jm_tokenizer_encode(b, text, strlen(text), special, &y, &m, NULL), JM_OK);
    CU_ASSERT(n > 0 && n == m && memcmp(x, y, n * sizeof *x) == 0);
    free(x);
    free(y);
}

static void test_same_ids(void)
{
    static const char *const texts[] = { "Save the file",          "it's 1234 red\n\n apples!  ",
                                         "Öffnen Sie die Datei …", "保存文件 <|sep|>",
                                         "\xff\xfe broken",        "<|bos|><|eos|>" };
    jm_tokenizer *a;
    CU_ASSERT_EQUAL_FATAL(jm_tokenizer_from(&vocabulary, &a, NULL), JM_OK);
    for (int pairs = 0; pairs < 2; pairs++) {
        char *json = write_json(pairs);
        jm_tokenizer *b = NULL;
        jm_err err = { 0 };
        jm_status st = jm_tokenizer_open_json_memory(json, strlen(json), "t", &b, &err);
        if (st != JM_OK)
            printf("\n  %s\n", err.text);
        CU_ASSERT_EQUAL_FATAL(st, JM_OK);
        CU_ASSERT_EQUAL(jm_tokenizer_size(a), jm_tokenizer_size(b));
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            same_ids(a, b, texts[i], false);
            same_ids(a, b, texts[i], true);
        }
        for (uint32_t i = 0; i < jm_tokenizer_size(a); i++) {
            jm_str x = jm_tokenizer_bytes(a, i), y = jm_tokenizer_bytes(b, i);
            CU_ASSERT(x.n == y.n && (x.n == 0 || memcmp(x.p, y.p, x.n) == 0));
        }
        jm_tokenizer_close(b);
        cJSON_free(json);
    }
    jm_tokenizer_close(a);
}

/* json with the first `from` replaced by `to`. */
static jm_status open_changed(const char *json, const char *from, const char *to, jm_err *err)
{
    const char *at = strstr(json, from);
    char *text = NULL;
    size_t n;
    jm_tokenizer *t;
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    FILE *f = open_memstream(&text, &n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fprintf(f, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from));
    fclose(f);
    jm_status st = jm_tokenizer_open_json_memory(text, n, "changed.json", &t, err);
    CU_ASSERT_PTR_NULL(t);
    free(text);
    return st;
}

static void test_refused(void)
{
    static const struct {
        const char *from, *to, *says;
        jm_status st;
    } cases[] = {
        { "\"BPE\"", "\"Unigram\"", "byte-level BPE", JM_EUNSUPPORTED },
        { "(?i:", "(?:", "pre_tokenizer", JM_EUNSUPPORTED },
        { "\"Isolated\"", "\"Removed\"", "pre_tokenizer", JM_EUNSUPPORTED },
        { "\"invert\":false", "\"invert\":true", "pre_tokenizer", JM_EUNSUPPORTED },
        { "\"use_regex\":false", "\"use_regex\":true", "pre_tokenizer", JM_EUNSUPPORTED },
        { "\"merges\":[", "\"merges\":[7,", "model.merges", JM_EINPUT },
        { "\"merges\":[", "\"merges\":[\"ab\",", "merge 0", JM_EINPUT },
        { "\"vocab\":{", "\"vocab\":{\"zz\":-1,", "model.vocab", JM_EINPUT },
        { "\"vocab\":{", "\"vocab\":{\"zz\":4e9,", "model.vocab", JM_EINPUT },
        { "\"vocab\":{", "\"vocab\":{\"zz\":4000000,", "model.vocab", JM_EINPUT },
        { "\"vocab\":{", "\"vocab\":{\"zz\":1000,", "one id", JM_EINPUT },
        { "\"vocab\":{", "\"vocab\":[{", "JSON", JM_EINPUT },
        { "\"content\"", "\"contents\"", "added_tokens", JM_EINPUT },
    };
    char *json = write_json(false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jm_err err = { 0 };
        CU_ASSERT_EQUAL(open_changed(json, cases[i].from, cases[i].to, &err), cases[i].st);
        if (!strstr(err.text, cases[i].says) || !strstr(err.text, "changed.json")) {
            printf("\n  %s gave: %s", cases[i].to, err.text);
            CU_FAIL("another reason");
        }
    }
    jm_tokenizer *t;
    CU_ASSERT_EQUAL(jm_tokenizer_open_json_memory("{}", 2, "t", &t, NULL), JM_EUNSUPPORTED);
    CU_ASSERT_EQUAL(jm_tokenizer_open_json_memory(json, strlen(json) / 2, "t", &t, NULL),
                    JM_EINPUT);
    CU_ASSERT_EQUAL(jm_tokenizer_open_json("/nowhere/tokenizer.json", &t, NULL), JM_ENOTFOUND);
    cJSON_free(json);
}

int main(void)
{
    size_t n_types;
    jm_err err = { 0 };
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    vocabulary = (struct jm_vocabulary){ .pre = "qwen2", .n_pre = 5 };
    if (jm_gguf_open(JM_DATA "/tiny-mt-f16.gguf", &file, &err) != JM_OK ||
        !jm_gguf_str_array(file, "tokenizer.ggml.tokens", &vocabulary.tokens, &vocabulary.n) ||
        !jm_gguf_i32_array(file, "tokenizer.ggml.token_type", &vocabulary.types, &n_types) ||
        !jm_gguf_str_array(file, "tokenizer.ggml.merges", &vocabulary.merges,
                           &vocabulary.n_merges)) {
        fprintf(stderr, "the bundled model has no vocabulary: %s\n", err.text);
        return 2;
    }
    CU_pSuite s = CU_add_suite("tokenizer.json", NULL, NULL);
    CU_add_test(s, "the same ids", test_same_ids);
    CU_add_test(s, "refused", test_refused);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0;
    CU_cleanup_registry();
    jm_gguf_close(file);
    return failed;
}
