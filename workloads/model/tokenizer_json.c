/* SPDX-License-Identifier: Apache-2.0 */
/* See tokenizer_json.h. The parts that decide ids are read: the vocabulary, the merges, the tokens
 * added to them, and the expression that cuts text; another expression than those known is refused,
 * since its ids would be wrong without a sign. */
#include "workloads/model/tokenizer_json.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "workloads/model/json.h"

enum {
    TYPE_NORMAL = 1,
    TYPE_CONTROL = 3,
    TYPE_USER = 4,
    TYPE_UNUSED = 5,
    MAX_TOKENS = 1 << 22,
    HOLES = 1 << 12, /* ids without a token, besides as many as there are tokens */
};

struct reader {
    const char *name;
    jm_str *tokens; /* [n_tokens] by id */
    int32_t *types; /* [n_tokens] */
    jm_str *merges; /* [n_merges] */
    char *arena;    /* merges that the file gives as two texts */
    size_t n_tokens, n_merges;
};

static jm_status bad(const struct reader *r, jm_status st, const char *what, jm_err *err)
{
    return jm_fail(err, st, "%s: %s", r->name, what);
}

static jm_status out_of_memory(const struct reader *r, jm_err *err)
{
    return bad(r, JM_ENOMEM, "out of memory", err);
}

/* ---- how text is cut ---- */

static const struct {
    const char *name, *regex;
} cuts[] = {
    { "qwen2", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
               "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
    { "gpt2",
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" },
};

static bool is_type(const cJSON *item, const char *type)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "type"));
    return s && strcmp(s, type) == 0;
}

/* A byte-level step that cuts by itself does so as GPT-2. */
static bool cuts_itself(const cJSON *step)
{
    return is_type(step, "ByteLevel") &&
           !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(step, "use_regex")) &&
           !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(step, "add_prefix_space"));
}

static bool cuts_by(const cJSON *step, const char *regex)
{
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(step, "pattern");
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pattern, "Regex"));
    const char *how = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(step, "behavior"));
    return is_type(step, "Split") && s && how && strcmp(how, "Isolated") == 0 &&
           strcmp(s, regex) == 0 && !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(step, "invert"));
}

/* NULL: none that is known. */
static const char *find_cut(const cJSON *root)
{
    const cJSON *pre = cJSON_GetObjectItemCaseSensitive(root, "pre_tokenizer");
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(pre, "pretokenizers");
    if (cuts_itself(pre))
        return "gpt2";
    if (!is_type(pre, "Sequence") || cJSON_GetArraySize(steps) != 2)
        return NULL;
    const cJSON *split = cJSON_GetArrayItem(steps, 0), *bytes = cJSON_GetArrayItem(steps, 1);
    if (!is_type(bytes, "ByteLevel") || cuts_itself(bytes) ||
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(bytes, "add_prefix_space")))
        return NULL;
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        if (cuts_by(split, cuts[i].regex))
            return cuts[i].name;
    return NULL;
}

/* ---- tokens ---- */

/* The number of tokens: one more than the largest id. 0: an id makes no sense, or a few tokens are
 * spread over so many ids that they would take memory for what is not there. */
static size_t count_tokens(const cJSON *vocab, const cJSON *added)
{
    const cJSON *c;
    uint64_t id, n = 0, given = 0;
    cJSON_ArrayForEach(c, vocab)
    {
        given++;
        if (!jm_json_u64(c, &id) || id >= MAX_TOKENS)
            return 0;
        n = id >= n ? id + 1 : n;
    }
    cJSON_ArrayForEach(c, added)
    {
        given++;
        if (!jm_json_u64(cJSON_GetObjectItemCaseSensitive(c, "id"), &id) || id >= MAX_TOKENS ||
            !cJSON_IsString(cJSON_GetObjectItemCaseSensitive(c, "content")))
            return 0;
        n = id >= n ? id + 1 : n;
    }
    return n <= 2 * given + HOLES ? (size_t)n : 0;
}

static jm_status read_tokens(struct reader *r, const cJSON *vocab, const cJSON *added, jm_err *err)
{
    const cJSON *c;
    uint64_t id = 0;
    r->n_tokens = count_tokens(vocab, added);
    if (r->n_tokens == 0)
        return bad(r, JM_EINPUT, "model.vocab or added_tokens: no ids, or one out of range", err);
    r->tokens = calloc(r->n_tokens, sizeof *r->tokens);
    r->types = calloc(r->n_tokens, sizeof *r->types);
    if (!r->tokens || !r->types)
        return out_of_memory(r, err);
    for (size_t i = 0; i < r->n_tokens; i++)
        r->types[i] = TYPE_UNUSED;
    cJSON_ArrayForEach(c, vocab)
    {
        (void)jm_json_u64(c, &id);
        if (r->types[id] != TYPE_UNUSED)
            return bad(r, JM_EINPUT, "model.vocab: two tokens have one id", err);
        r->tokens[id] = (jm_str){ .p = c->string, .n = strlen(c->string) };
        r->types[id] = TYPE_NORMAL;
    }
    cJSON_ArrayForEach(c, added)
    {
        const char *s = cJSON_GetObjectItemCaseSensitive(c, "content")->valuestring;
        bool special = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c, "special"));
        (void)jm_json_u64(cJSON_GetObjectItemCaseSensitive(c, "id"), &id);
        r->tokens[id] = (jm_str){ .p = s, .n = strlen(s) };
        r->types[id] = special ? TYPE_CONTROL : TYPE_USER;
    }
    return JM_OK;
}

/* ---- merges: "a b" each, or two texts each ---- */

static bool two_texts(const cJSON *c, const char **a, const char **b)
{
    *a = cJSON_GetStringValue(cJSON_GetArrayItem(c, 0));
    *b = cJSON_GetStringValue(cJSON_GetArrayItem(c, 1));
    return cJSON_GetArraySize(c) == 2 && *a && *b;
}

static jm_status read_merges(struct reader *r, const cJSON *merges, jm_err *err)
{
    const cJSON *c;
    const char *a, *b;
    size_t n = (size_t)cJSON_GetArraySize(merges), bytes = 1;
    cJSON_ArrayForEach(c, merges)
    {
        if (cJSON_IsString(c))
            continue;
        if (!two_texts(c, &a, &b))
            return bad(r, JM_EINPUT, "model.merges: one is neither a text nor two texts", err);
        bytes += strlen(a) + strlen(b) + 2;
    }
    char *p = r->arena = malloc(bytes);
    r->merges = calloc(n + 1, sizeof *r->merges);
    if (!r->arena || !r->merges)
        return out_of_memory(r, err);
    cJSON_ArrayForEach(c, merges)
    {
        jm_str *m = &r->merges[r->n_merges++];
        if (cJSON_IsString(c)) {
            *m = (jm_str){ .p = c->valuestring, .n = strlen(c->valuestring) };
        } else if (two_texts(c, &a, &b)) {
            char *end = stpcpy(stpcpy(stpcpy(p, a), " "), b);
            *m = (jm_str){ .p = p, .n = (size_t)(end - p) };
            p = end + 1;
        }
    }
    return JM_OK;
}

/* ---- opening ---- */

static jm_status build(struct reader *r, const cJSON *root, jm_tokenizer **out, jm_err *err)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    const cJSON *vocab = cJSON_GetObjectItemCaseSensitive(model, "vocab");
    const cJSON *merges = cJSON_GetObjectItemCaseSensitive(model, "merges");
    const char *cut = find_cut(root);
    jm_err why = { 0 };
    if (!is_type(model, "BPE") ||
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(model, "byte_fallback")))
        return bad(r, JM_EUNSUPPORTED, "the model is no byte-level BPE; only that is supported",
                   err);
    if (!cJSON_IsObject(vocab) || !cJSON_IsArray(merges))
        return bad(r, JM_EINPUT, "model.vocab or model.merges is missing", err);
    if (!cut)
        return bad(r, JM_EUNSUPPORTED,
                   "pre_tokenizer cuts text in a way that is not known here; take the tokenizer of "
                   "a GGUF file, with --tokenizer",
                   err);
    jm_status st =
        read_tokens(r, vocab, cJSON_GetObjectItemCaseSensitive(root, "added_tokens"), err);
    if (st == JM_OK)
        st = read_merges(r, merges, err);
    if (st != JM_OK)
        return st;
    st = jm_tokenizer_from(&(struct jm_vocabulary){ .tokens = r->tokens,
                                                    .types = r->types,
                                                    .n = r->n_tokens,
                                                    .merges = r->merges,
                                                    .n_merges = r->n_merges,
                                                    .pre = cut,
                                                    .n_pre = strlen(cut) },
                           out, &why);
    return st == JM_OK ? st : jm_fail(err, st, "%s: %.400s", r->name, why.text);
}

jm_status jm_tokenizer_open_json_memory(const void *text, size_t bytes, const char *name,
                                        jm_tokenizer **out, jm_err *err)
{
    struct reader r = { .name = name };
    cJSON *root = NULL;
    *out = NULL;
    jm_status st = jm_json_parse(text, bytes, name, &root, err);
    if (st == JM_OK)
        st = build(&r, root, out, err);
    cJSON_Delete(root);
    free(r.tokens);
    free(r.types);
    free(r.merges);
    free(r.arena);
    return st;
}

jm_status jm_tokenizer_open_json(const char *path, jm_tokenizer **out, jm_err *err)
{
    jm_map map;
    *out = NULL;
    jm_status st = jm_map_open(path, &map, err);
    if (st == JM_OK)
        st = jm_tokenizer_open_json_memory(map.data, map.bytes, path, out, err);
    jm_map_close(&map);
    return st;
}
