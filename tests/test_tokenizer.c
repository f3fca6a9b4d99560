/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizer: golden ids, round trips, pre-tokenizer pieces, hostile vocabularies, speed on lines
 * without spaces, and the streaming UTF-8 decoder. */
#include <CUnit/Basic.h>
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "tests/vocab_gguf.h"
#include "workloads/model/pretokenize.h"
#include "workloads/model/tokenizer.h"
#include "workloads/model/utf8.h"

static jm_gguf *tiny_file;
static jm_tokenizer *tiny;

static bool round_trips(const jm_tokenizer *t, const char *text, size_t n, bool special)
{
    uint32_t *ids;
    size_t n_ids, at = 0;
    bool same = jm_tokenizer_encode(t, text, n, special, &ids, &n_ids, NULL) == JM_OK;

    for (size_t i = 0; same && i < n_ids; i++) {
        jm_str s = jm_tokenizer_bytes(t, ids[i]);
        same = s.n > 0 && s.n <= n - at && memcmp(s.p, text + at, s.n) == 0;
        at += s.n;
    }
    free(ids);
    return same && at == n;
}

static bool encodes_to(const jm_tokenizer *t, const char *text, bool special, const uint32_t *want,
                       size_t n_want)
{
    uint32_t *ids;
    size_t n;
    bool same = jm_tokenizer_encode(t, text, strlen(text), special, &ids, &n, NULL) == JM_OK &&
                n == n_want && (n == 0 || memcmp(ids, want, n * sizeof *ids) == 0);

    free(ids);
    return same;
}

static size_t read_ids(const cJSON *array, uint32_t *ids, size_t room)
{
    size_t n = 0;
    const cJSON *e;

    cJSON_ArrayForEach(e, array) if (n < room) ids[n++] = (uint32_t)e->valueint;
    return n;
}

static void check_case(const cJSON *c)
{
    uint32_t ids[512];
    char text[2048], out[4096];
    size_t n = read_ids(cJSON_GetObjectItem(c, "prompt_ids"), ids, 512), written = 0;
    jm_utf8_stream s = { 0 };

    snprintf(text, sizeof text, "<|bos|><|%s|>%s<|sep|>",
             cJSON_GetObjectItem(c, "lang")->valuestring,
             cJSON_GetObjectItem(c, "source")->valuestring);
    CU_ASSERT(encodes_to(tiny, text, true, ids, n));
    n = read_ids(cJSON_GetObjectItem(c, "output_ids"), ids, 512);
    for (size_t i = 0; i < n; i++) {
        jm_str b = jm_tokenizer_bytes(tiny, ids[i]);
        if (written + 3 * b.n + 24 > sizeof out)
            break;
        written += jm_utf8_push(&s, b.p, b.n, out + written);
    }
    written += jm_utf8_end(&s, out + written);
    out[written] = '\0';
    CU_ASSERT_STRING_EQUAL(out, cJSON_GetObjectItem(c, "output")->valuestring);
}

static void test_golden(void)
{
    jm_map map;
    cJSON *root;
    const cJSON *c;
    int n = 0;

    CU_ASSERT_FATAL(jm_map_open(JM_FIXTURES "/tiny-mt-f16.json", &map, NULL) == JM_OK);
    root = cJSON_ParseWithLength((const char *)map.data, map.bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "cases"))
    {
        check_case(c);
        n++;
    }
    CU_ASSERT(n > 0);
    cJSON_Delete(root);
    jm_map_close(&map);
}

static void test_round_trip_languages(void)
{
    jm_map map;
    size_t lines = 0;

    CU_ASSERT_FATAL(jm_map_open(JM_DATA "/jm38.csv", &map, NULL) == JM_OK);
    for (size_t at = 0; at < map.bytes; lines++) {
        const char *p = (const char *)map.data + at;
        const char *end = memchr(p, '\n', map.bytes - at);
        size_t n = end ? (size_t)(end - p) + 1 : map.bytes - at;
        CU_ASSERT(round_trips(tiny, p, n, false));
        at += n;
    }
    CU_ASSERT(lines > 38);
    CU_ASSERT(round_trips(tiny, (const char *)map.data, map.bytes, false));
    jm_map_close(&map);
}

static void test_round_trip_random(void)
{
    static const char *const parts[] = { "é",  "中",           "😀",    " ",  "\n",
                                         "ab", "\xe2\x82",     "\xff", "1",  "<|eos|>",
                                         "'",  "\xed\xa0\x80", "ช้า",   "\r", "" };
    jm_rng rng = { .state = 7 };
    char text[512];

    for (int c = 0; c < 2000; c++) {
        size_t n = 0, want = (size_t)jm_rng_below(&rng, 400);
        while (n < want && c % 2 == 0)
            text[n++] = (char)jm_rng_below(&rng, 256);
        while (n < want) {
            const char *part = parts[jm_rng_below(&rng, sizeof parts / sizeof *parts)];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        CU_ASSERT(round_trips(tiny, text, n, false));
    }
}

struct pieces {
    char text[256];
    size_t n;
};

static jm_status collect(void *ctx, const char *piece, size_t n, jm_err *err)
{
    struct pieces *p = ctx;

    (void)err;
    if (p->n + n + 1 < sizeof p->text) {
        memcpy(p->text + p->n, piece, n);
        p->n += n;
        p->text[p->n++] = '~';
    }
    return JM_OK;
}

static void test_pieces(void)
{
    static const struct {
        const char *pre, *text, *want;
    } cases[] = {
        { "hunyuan-dense", "Hello world123456 foo", "Hello~ world~123~456~ foo~" },
        { "hunyuan-dense", "1234", "123~4~" },
        { "hunyuan-dense", "你好World, 世界", "你好~World~,~ ~世界~" },
        { "hunyuan-dense", "it's (ok)", "it~'s~ (~ok~)~" },
        { "hunyuan-dense", "a  b", "a~ ~ b~" },
        { "hunyuan-dense", "x\n\n  y", "x~\n\n~ ~ y~" },
        { "hunyuan-dense", "end...\r\n\tz", "end~...\r\n~\tz~" },
        { "hunyuan-dense", "a   ", "a~   ~" },
        { "hunyuan-dense", "ひらカタ漢字é", "ひらカタ漢字~é~" },
        { "hunyuan-dense", "\x01\x02", "\x01\x02~" },
        { "hunyuan-dense", "ชื่อ de\xcc\x81ja", "ชื่อ~ de\xcc\x81ja~" },
        { "hunyuan-dense", "$5 + €7", "$~5~ +~ €~7~" },
        { "qwen2", "I'LL go 12\n", "I~'LL~ go~ ~1~2~\n~" },
        { "qwen2", "a\tb  c!!\n\nd", "a~\tb~ ~ c~!!\n\n~d~" },
        { "gpt2", "I'll go 123!", "I~'ll~ go~ 123~!~" },
        { "gpt2", "a\n\n b", "a~\n\n~ b~" },
        { "gpt-2", "x'S", "x~'~S~" },
        { "gpt2", "", "" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pieces got = { .n = 0 };
        jm_pretok *p;
        CU_ASSERT_FATAL(jm_pretok_open(cases[i].pre, strlen(cases[i].pre), &p, NULL) == JM_OK);
        CU_ASSERT(jm_pretok_split(p, cases[i].text, strlen(cases[i].text), collect, &got, NULL) ==
                  JM_OK);
        got.text[got.n] = '\0';
        CU_ASSERT_STRING_EQUAL(got.text, cases[i].want);
        if (strcmp(got.text, cases[i].want) != 0)
            printf("  case %zu: \"%s\"\n", i, got.text);
        jm_pretok_close(p);
    }
}

static jm_status open_vocab(const struct vocab *v, jm_tokenizer **t)
{
    static struct vocab_bytes bytes;
    jm_gguf *f;
    jm_err err = { 0 };
    jm_status st;

    *t = NULL;
    vocab_build(v, &bytes);
    st = jm_gguf_open_memory(bytes.p, bytes.n, "test", &f, &err);
    CU_ASSERT_FATAL(st == JM_OK);
    st = jm_tokenizer_open(f, t, &err);
    CU_ASSERT((st == JM_OK) == (err.text[0] == '\0'));
    CU_ASSERT((st == JM_OK) == (*t != NULL));
    jm_gguf_close(f);
    return st;
}

static void test_merges(void)
{
    struct vocab v = { .more = { "<eos>", "bc", "ab", "abc", "aa", "<e", "<eos>x", "ab" },
                       .type = { 3, 1, 1, 1, 1, 4, 3, 1 },
                       .merges = { "b c", "a b", "a bc", "a a", "a b" } };
    jm_tokenizer *t;

    CU_ASSERT_FATAL(open_vocab(&v, &t) == JM_OK);
    CU_ASSERT(encodes_to(t, "", true, &(uint32_t){ 0 }, 0));
    CU_ASSERT(encodes_to(t, "abc", false, (uint32_t[]){ 259 }, 1));
    CU_ASSERT(encodes_to(t, "ab", false, (uint32_t[]){ 258 }, 1)); /* the first duplicate */
    CU_ASSERT(encodes_to(t, "aaa", false, (uint32_t[]){ 260, 'a' }, 2));
    CU_ASSERT(encodes_to(t, "aabc", false, (uint32_t[]){ 'a', 259 }, 2));
    CU_ASSERT(encodes_to(t, "<eos>xab", true, (uint32_t[]){ 262, 258 }, 2)); /* the longest */
    CU_ASSERT(encodes_to(t, "<eos>", true, (uint32_t[]){ 256 }, 1));
    CU_ASSERT(encodes_to(t, "<ea", true, (uint32_t[]){ 261, 'a' }, 2));
    CU_ASSERT(encodes_to(t, "<e", false, (uint32_t[]){ '<', 'e' }, 2));
    CU_ASSERT(encodes_to(t, "\xff", true, (uint32_t[]){ 0xff }, 1));
    CU_ASSERT(jm_tokenizer_bytes(t, 256).n == 0);
    CU_ASSERT(jm_tokenizer_bytes(t, 263).n == 2);
    CU_ASSERT(jm_tokenizer_size(t) == 264);
    jm_tokenizer_close(t);
    jm_tokenizer_close(NULL);
}

static void test_hostile(void)
{
    static const struct {
        struct vocab v;
        jm_status want;
    } cases[] = {
        { { .merges = { "q u" } }, JM_EINPUT }, /* the result is no token */
        { { .merges = { "zz a" }, .more = { "zza" } }, JM_EINPUT },
        { { .merges = { "ab" }, .more = { "ab" } }, JM_EINPUT },
        { { .merges = { " b" }, .more = { "ab" } }, JM_EINPUT },
        { { .merges = { "a " }, .more = { "ab" } }, JM_EINPUT },
        { { .merges = { "" } }, JM_EINPUT },
        { { .merges = { "a b" }, .more = { "ab" }, .type = { 3 } }, JM_EINPUT },
        { { .missing_byte = 'x' }, JM_EINPUT },
        { { .fewer_types = 1 }, JM_EINPUT },
        { { .model = "llama" }, JM_EUNSUPPORTED },
        { { .pre = "other" }, JM_EUNSUPPORTED },
        { { .more = { "", "", "\xff\xfe", "\xc4" }, .type = { 3, 4, 1, 99 } }, JM_OK },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jm_tokenizer *t;
        CU_ASSERT(open_vocab(&cases[i].v, &t) == cases[i].want);
        if (t)
            CU_ASSERT(round_trips(t, "ab \xff<x>", 7, true));
        jm_tokenizer_close(t);
    }
}

static void test_long_lines(void)
{
    static char text[100000];
    jm_rng rng = { .state = 3 };

    for (int kind = 0; kind < 5; kind++) {
        int64_t t0 = jm_now_ns();
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = kind == 0   ? 'a'
                      : kind == 1 ? ' '
                      : kind == 2 ? '<'
                      : kind == 3 ? (char)('a' + jm_rng_below(&rng, 26))
                                  : (char)(i % 3 == 0   ? 0xff
                                           : i % 3 == 1 ? '\n'
                                                        : ' ');
        CU_ASSERT(round_trips(tiny, text, sizeof text, true));
        CU_ASSERT(jm_now_ns() - t0 <= 1000000000);
    }
}

static void test_speed(void)
{
    jm_map map;
    jm_tokenizer *t;
    uint32_t *ids;
    size_t n;
    int64_t t0 = jm_now_ns(), t1, t2;

    CU_ASSERT_FATAL(jm_tokenizer_open(tiny_file, &t, NULL) == JM_OK);
    t1 = jm_now_ns();
    CU_ASSERT_FATAL(jm_map_open(JM_DATA "/jm38.csv", &map, NULL) == JM_OK);
    t2 = jm_now_ns();
    CU_ASSERT(jm_tokenizer_encode(t, (const char *)map.data, map.bytes, false, &ids, &n, NULL) ==
              JM_OK);
    printf("(load %.1f ms, %zu bytes of 38 languages at %.1f MB/s) ", (double)(t1 - t0) * 1e-6,
           map.bytes, (double)map.bytes * 1e3 / (double)(jm_now_ns() - t2));
    free(ids);
    jm_map_close(&map);
    jm_tokenizer_close(t);
}

static void check_stream(const char *in, const char *want)
{
    char out[256];

    for (size_t step = 1; step <= 4; step++) {
        jm_utf8_stream s = { 0 };
        size_t n = strlen(in), w = 0;
        for (size_t at = 0; at < n; at += step) {
            w += jm_utf8_push(&s, in + at, n - at < step ? n - at : step, out + w);
            CU_ASSERT(jm_utf8_valid((const uint8_t *)out, w) == w);
        }
        w += jm_utf8_end(&s, out + w);
        out[w] = '\0';
        CU_ASSERT_STRING_EQUAL(out, want);
    }
}

static void test_stream(void)
{
    jm_rng rng = { .state = 11 };

    check_stream("aé中😀z", "aé中😀z");
    check_stream("\xf0\x9f\x92", "�");
    check_stream("\xc3(", "�(");
    check_stream("\xe4\xb8\xe4\xb8\xad", "�中");
    check_stream("\xed\xa0\x80", "���");
    check_stream("\xc0\xaf\xff", "���");
    check_stream("\xf4\x90\x80\x80", "����");
    for (int c = 0; c < 2000; c++) {
        char in[40], out[3 * sizeof in + 24];
        jm_utf8_stream s = { 0 };
        size_t n = (size_t)jm_rng_below(&rng, sizeof in), w;
        for (size_t i = 0; i < n; i++)
            in[i] = (char)(0x80 | jm_rng_below(&rng, 128));
        w = jm_utf8_push(&s, in, n, out);
        CU_ASSERT(w <= 3 * n + 12);
        w += jm_utf8_end(&s, out + w);
        CU_ASSERT(jm_utf8_valid((const uint8_t *)out, w) == w);
    }
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (jm_gguf_open(JM_DATA "/tiny-mt-f16.gguf", &tiny_file, NULL) != JM_OK ||
        jm_tokenizer_open(tiny_file, &tiny, NULL) != JM_OK ||
        CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("tokenizer", NULL, NULL);
    CU_add_test(suite, "golden ids and texts", test_golden);
    CU_add_test(suite, "round trip of 38 languages", test_round_trip_languages);
    CU_add_test(suite, "round trip of random bytes", test_round_trip_random);
    CU_add_test(suite, "pre-tokenizer pieces", test_pieces);
    CU_add_test(suite, "merges and special tokens", test_merges);
    CU_add_test(suite, "hostile vocabularies", test_hostile);
    CU_add_test(suite, "long lines", test_long_lines);
    CU_add_test(suite, "speed", test_speed);
    CU_add_test(suite, "streaming decoder", test_stream);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    jm_tokenizer_close(tiny);
    jm_gguf_close(tiny_file);
    return failed != 0;
}
