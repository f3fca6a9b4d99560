/* SPDX-License-Identifier: Apache-2.0 */
/* Safetensors: what is read, single and sharded, and what is refused and why. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "workloads/model/json.h"
#include "workloads/model/safetensors.h"

static char folder[] = "/tmp/jm_safetensors_XXXXXX";

struct blob {
    uint8_t *data;
    size_t bytes;
};

/* Length, header, data of 0, 1, 2, … */
static struct blob make(const char *header, size_t n_data)
{
    size_t n = strlen(header);
    struct blob b = { .data = malloc(8 + n + n_data + 1), .bytes = 8 + n + n_data };
    for (size_t i = 0; i < 8; i++)
        b.data[i] = (uint8_t)(n >> (8 * i));
    memcpy(b.data + 8, header, n);
    for (size_t i = 0; i < n_data; i++)
        b.data[8 + n + i] = (uint8_t)i;
    return b;
}

static void put(const char *name, const void *data, size_t bytes)
{
    char *path = jm_asprintf("%s/%s", folder, name);
    CU_ASSERT_EQUAL(jm_write_file(path, data, bytes, NULL), JM_OK);
    free(path);
}

static void put_model(const char *name, const char *header, size_t n_data)
{
    struct blob b = make(header, n_data);
    put(name, b.data, b.bytes);
    free(b.data);
}

/* Removes what the tests leave. */
static void empty_folder(void)
{
    static const char *const names[] = { "a.safetensors", "b.safetensors", "config.json",
                                         "model.safetensors", "model.safetensors.index.json" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = jm_asprintf("%s/%s", folder, names[i]);
        unlink(path);
        free(path);
    }
}

static jm_status open_text(const char *header, size_t n_data, jm_err *err)
{
    struct blob b = make(header, n_data);
    jm_safetensors *f;
    *err = (jm_err){ 0 };
    jm_status st = jm_safetensors_open_memory(b.data, b.bytes, "x", &f, err);
    CU_ASSERT_EQUAL(st == JM_OK, f != NULL);
    jm_safetensors_close(f);
    free(b.data);
    return st;
}

/* Its last spaces let the data begin at a multiple of 8. */
static const char good[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                           "\"w\":{\"dtype\":\"F16\",\"shape\":[3,2,2],\"data_offsets\":[4,28]},"
                           "\"v\":{\"data_offsets\":[0,4],\"shape\":[2],\"dtype\":\"BF16\"},"
                           "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[28,32]}}  ";

static void test_good(void)
{
    struct blob b = make(good, 32);
    jm_safetensors *f;
    uint64_t dims[JM_SAFETENSORS_MAX_DIMS];
    uint32_t n;
    CU_ASSERT_EQUAL(strlen(good) % 8, 0);
    CU_ASSERT_EQUAL_FATAL(jm_safetensors_open_memory(b.data, b.bytes, "good", &f, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_safetensors_tensor_count(f), 3);
    CU_ASSERT_STRING_EQUAL(jm_safetensors_tensor_at(f, 0)->name, "s");
    CU_ASSERT_EQUAL(jm_safetensors_bytes(f), b.bytes);
    CU_ASSERT_STRING_EQUAL(jm_safetensors_path(f), "good");

    const struct jm_tensor *w = jm_safetensors_tensor(f, "w", dims, &n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    CU_ASSERT_EQUAL(w->format, JM_F16);
    CU_ASSERT(w->cols == 2 && w->rows == 6 && n == 3);
    CU_ASSERT(dims[0] == 2 && dims[1] == 2 && dims[2] == 3);
    CU_ASSERT_EQUAL(((const uint8_t *)w->data)[0], 4);

    const struct jm_tensor *v = jm_safetensors_tensor(f, "v", NULL, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    CU_ASSERT(v->format == JM_F32 && v->cols == 2 && v->rows == 1);
    uint32_t bits[2]; /* BF16 is the upper half of F32 */
    memcpy(bits, v->data, sizeof bits);
    CU_ASSERT(bits[0] == 0x01000000 && bits[1] == 0x03020000);

    const struct jm_tensor *s = jm_safetensors_tensor(f, "s", dims, &n);
    CU_ASSERT(s && s->cols == 1 && s->rows == 1 && n == 1 && dims[0] == 1);
    CU_ASSERT_PTR_NULL(jm_safetensors_tensor(f, "", NULL, NULL));
    CU_ASSERT_FALSE(jm_safetensors_has_config(f));
    uint32_t u;
    CU_ASSERT_FALSE(jm_safetensors_u32(f, NULL, "x", &u));
    jm_safetensors_close(f);
    jm_safetensors_close(NULL);
    free(b.data);
}

#define T(fields) "{\"t\":{" fields "}}"
#define F32_2 "\"dtype\":\"F32\",\"shape\":[2],"

/* Headers of 8 bytes of data. */
static void test_refused(void)
{
    static const struct {
        const char *header, *says;
        jm_status st;
    } cases[] = {
        { "", "not JSON", JM_EINPUT },
        { "[]", "not a JSON object", JM_EINPUT },
        { "{", "not JSON", JM_EINPUT },
        { "{\"t\":", "not JSON", JM_EINPUT },
        { "{\"1\":1,", "not JSON", JM_EINPUT },
        { "{}x", "more after the end", JM_EINPUT },
        { "{}", "8 bytes of data, but its tensors have 0", JM_EINPUT },
        { "{\"__metadata__\":3}", "not an object of strings", JM_EINPUT },
        { "{\"__metadata__\":{\"a\":1}}", "not an object of strings", JM_EINPUT },
        { "{\"t\":3}", "dtype, shape and data_offsets", JM_EINPUT },
        { T(F32_2 "\"more\":1"), "dtype, shape and data_offsets", JM_EINPUT },
        { T(F32_2 "\"data_offsets\":[0,8],\"more\":1"), "once each", JM_EINPUT },
        { T(F32_2 "\"dtype\":\"F32\""), "once each", JM_EINPUT },
        { T("\"dtype\":1,\"shape\":[2],\"data_offsets\":[0,8]"), "once each", JM_EINPUT },
        { T("\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]"), "is I64", JM_EUNSUPPORTED },
        { T("\"dtype\":\"Q8_0\",\"shape\":[1],\"data_offsets\":[0,8]"), "is Q8_0",
          JM_EUNSUPPORTED },
        { T("\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,8]"), "a shape", JM_EINPUT },
        { T("\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]"), "a shape", JM_EINPUT },
        { T("\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]"), "a shape", JM_EINPUT },
        { T("\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]"), "a shape", JM_EINPUT },
        { T("\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]"), "a shape",
          JM_EINPUT },
        { T("\"dtype\":\"F32\",\"shape\":[65536,65536,2],\"data_offsets\":[0,8]"), "a shape",
          JM_EINPUT },
        { T("\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,8]"), "a shape", JM_EINPUT },
        { T("\"dtype\":\"F32\",\"shape\":[4294967295,4294967295],\"data_offsets\":[0,8]"),
          "different sizes", JM_EINPUT },
        { T(F32_2 "\"data_offsets\":[0,9]"), "outside the file", JM_EINPUT },
        { T(F32_2 "\"data_offsets\":[8,0]"), "outside the file", JM_EINPUT },
        { T(F32_2 "\"data_offsets\":[-8,0]"), "outside the file", JM_EINPUT },
        { T(F32_2 "\"data_offsets\":[0,1e18]"), "outside the file", JM_EINPUT },
        { T(F32_2 "\"data_offsets\":[0,8,9]"), "once each", JM_EINPUT },
        { T(F32_2 "\"data_offsets\":[0,4]"), "different sizes", JM_EINPUT },
        { "{\"\":{" F32_2 "\"data_offsets\":[0,8]}}", "name of no", JM_EINPUT },
        { "{\"a\":{" F32_2 "\"data_offsets\":[0,8]},\"b\":{" F32_2 "\"data_offsets\":[0,8]}}",
          "overlaps", JM_EINPUT },
        { "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]},"
          "\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[4,8]}}",
          "a gap", JM_EINPUT },
        { "{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[4,8]}}", "a gap", JM_EINPUT },
        { "{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]},"
          "\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[4,8]}}",
          "given twice", JM_EINPUT },
    };
    jm_err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* Padded so that what is refused is never the alignment. */
        char header[256];
        size_t n = strlen(cases[i].header);
        snprintf(header, sizeof header, "%s%*s", cases[i].header, (int)((8 - n % 8) % 8), "");
        CU_ASSERT_EQUAL(open_text(header, 8, &err), cases[i].st);
        if (!strstr(err.text, cases[i].says)) {
            printf("\n  %s\n  gave: %s", cases[i].header, err.text);
            CU_FAIL("another reason");
        }
    }
}

static void test_alignment(void)
{
    jm_err err;
    const char *odd = T(F32_2 "\"data_offsets\":[0,8]") "   ";
    char header[128];
    size_t pad = (9 - strlen(odd) % 8) % 8; /* one byte past a multiple of 8 */
    snprintf(header, sizeof header, "%s%*s", odd, (int)pad, "");
    CU_ASSERT_EQUAL(open_text(header, 8, &err), JM_EUNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "whole multiple"));
}

static void test_cut(void)
{
    struct blob b = make(good, 32);
    jm_safetensors *f;
    for (size_t n = 0; n < b.bytes; n++) {
        uint8_t *cut = malloc(n ? n : 1); /* so that reading past the end is seen */
        memcpy(cut, b.data, n);
        CU_ASSERT_EQUAL(jm_safetensors_open_memory(cut, n, "cut", &f, NULL), JM_EINPUT);
        CU_ASSERT_PTR_NULL(f);
        free(cut);
    }
    memset(b.data, 0xff, 8); /* a length of 2^64 - 1 */
    CU_ASSERT_EQUAL(jm_safetensors_open_memory(b.data, b.bytes, "long", &f, NULL), JM_EINPUT);
    free(b.data);
}

/* A JSON value made of n times `open`. */
static jm_status parse_repeated(const char *open, size_t n, jm_err *err)
{
    size_t m = strlen(open);
    char *s = malloc(n * m);
    cJSON *root;
    for (size_t i = 0; i < n; i++)
        memcpy(s + i * m, open, m);
    *err = (jm_err){ 0 };
    jm_status st = jm_json_parse(s, n * m, "json", &root, err);
    CU_ASSERT_PTR_NULL(root);
    free(s);
    return st;
}

static void test_json_limits(void)
{
    jm_err err;
    cJSON *root;
    CU_ASSERT_EQUAL(parse_repeated("[", 100000, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "deeper"));
    CU_ASSERT_EQUAL(parse_repeated("{\"\":", 100, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "deeper"));
    CU_ASSERT_EQUAL(parse_repeated("0,", JM_JSON_MAX_VALUES + 1, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "values"));
    CU_ASSERT_EQUAL(parse_repeated(" ", JM_JSON_MAX_BYTES + 1, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "more than the"));
    /* Brackets and commas within a string count nothing. */
    char text[] = " [\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[,,,,\"] ";
    CU_ASSERT_EQUAL(jm_json_parse(text, strlen(text), "json", &root, NULL), JM_OK);
    cJSON_Delete(root);
    CU_ASSERT_EQUAL(jm_json_parse("1\0 2", 4, "json", &root, NULL), JM_EINPUT);
    CU_ASSERT_EQUAL(jm_json_parse(NULL, 0, "json", &root, NULL), JM_EINPUT);
}

static const char half_a[] = "{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}  ";
static const char half_b[] = "{\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}  ";

static void test_sharded(void)
{
    jm_safetensors *f;
    uint32_t u;
    double d;
    bool b;
    const char *s;
    put_model("a.safetensors", half_a, 4);
    put_model("b.safetensors", half_b, 4);
    static const char index[] =
        "{\"weight_map\":{\"b\":\"b.safetensors\",\"a\":\"a.safetensors\"}}";
    static const char config[] =
        "{\"eps\":1e-6,\"on\":true,\"mode\":\"resolution\",\"llm_config\":{\"layers\":6}}";
    put("model.safetensors.index.json", index, strlen(index));
    put("config.json", config, strlen(config));
    CU_ASSERT_EQUAL_FATAL(jm_safetensors_open(folder, &f, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_safetensors_tensor_count(f), 2);
    CU_ASSERT_EQUAL(jm_safetensors_shard_count(f), 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(jm_safetensors_shard_path(f, 1), "/b.safetensors"));
    CU_ASSERT_PTR_NOT_NULL(jm_safetensors_tensor(f, "b", NULL, NULL));
    CU_ASSERT_TRUE(jm_safetensors_has_config(f));
    CU_ASSERT(jm_safetensors_u32(f, "llm_config", "layers", &u) && u == 6);
    CU_ASSERT(jm_safetensors_f64(f, NULL, "eps", &d) && d == 1e-6);
    CU_ASSERT(jm_safetensors_bool(f, NULL, "on", &b) && b);
    CU_ASSERT(jm_safetensors_str(f, NULL, "mode", &s) && strcmp(s, "resolution") == 0);
    CU_ASSERT_FALSE(jm_safetensors_u32(f, NULL, "eps", &u));
    CU_ASSERT_FALSE(jm_safetensors_u32(f, "none", "layers", &u));
    CU_ASSERT_FALSE(jm_safetensors_f64(f, NULL, "Eps", &d));
    jm_safetensors_close(f);

    char *path = jm_asprintf("%s/a.safetensors", folder);
    CU_ASSERT_EQUAL(jm_safetensors_open(path, &f, NULL), JM_OK);
    CU_ASSERT_TRUE(jm_safetensors_has_config(f));
    jm_safetensors_close(f);
    free(path);
    empty_folder();
}

static void test_sharded_refused(void)
{
    static const struct {
        const char *index, *says;
        jm_status st;
    } cases[] = {
        { "{}", "weight_map", JM_EINPUT },
        { "{\"weight_map\":{}}", "0 files", JM_EINPUT },
        { "{\"weight_map\":{\"a\":1}}", "not the name of a file", JM_EINPUT },
        { "{\"weight_map\":{\"a\":\"../a.safetensors\"}}", "not the name of a file", JM_EINPUT },
        { "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "not the name of a file", JM_EINPUT },
        { "{\"weight_map\":{\"a\":\"\"}}", "not the name of a file", JM_EINPUT },
        { "{\"weight_map\":{\"a\":\"c.safetensors\"}}", "c.safetensors", JM_ENOTFOUND },
        { "{\"weight_map\":{\"c\":\"a.safetensors\"}}", "not in a.safetensors", JM_EINPUT },
        { "{\"weight_map\":{\"a\":\"b.safetensors\",\"b\":\"a.safetensors\"}}", "where the index",
          JM_EINPUT },
    };
    jm_safetensors *f;
    put_model("a.safetensors", half_a, 4);
    put_model("b.safetensors", half_b, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        jm_err err = { 0 };
        put("model.safetensors.index.json", cases[i].index, strlen(cases[i].index));
        CU_ASSERT_EQUAL(jm_safetensors_open(folder, &f, &err), cases[i].st);
        CU_ASSERT_PTR_NULL(f);
        if (!strstr(err.text, cases[i].says)) {
            printf("\n  %s\n  gave: %s", cases[i].index, err.text);
            CU_FAIL("another reason");
        }
    }
    /* One name in two shards. */
    jm_err err = { 0 };
    put_model("b.safetensors", half_a, 4);
    static const char twice[] =
        "{\"weight_map\":{\"a\":\"a.safetensors\",\"b\":\"b.safetensors\"}}";
    put("model.safetensors.index.json", twice, strlen(twice));
    CU_ASSERT_EQUAL(jm_safetensors_open(folder, &f, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "given twice"));
    empty_folder();
    CU_ASSERT_EQUAL(jm_safetensors_open(folder, &f, NULL), JM_ENOTFOUND);
    put_model("model.safetensors", half_a, 4);
    put("config.json", "{", 1);
    CU_ASSERT_EQUAL(jm_safetensors_open(folder, &f, NULL), JM_EINPUT);
    empty_folder();
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS || !mkdtemp(folder))
        return 2;
    CU_pSuite s = CU_add_suite("safetensors", NULL, NULL);
    CU_add_test(s, "good", test_good);
    CU_add_test(s, "refused", test_refused);
    CU_add_test(s, "alignment", test_alignment);
    CU_add_test(s, "cut short", test_cut);
    CU_add_test(s, "JSON limits", test_json_limits);
    CU_add_test(s, "sharded", test_sharded);
    CU_add_test(s, "sharded, refused", test_sharded_refused);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0;
    CU_cleanup_registry();
    rmdir(folder);
    return failed;
}
