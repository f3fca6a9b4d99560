/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary of a GGUF file, and text to ids with it: special tokens first when asked, then
 * the pre-tokenizer, then byte-pair merges. Token texts spell bytes in GPT-2's alphabet, in which
 * printable Latin-1 bytes are themselves and the others are U+0100 and up, in order. */
#include "workloads/model/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "workloads/model/bpe.h"
#include "workloads/model/pretokenize.h"
#include "workloads/model/utf8.h"

enum { TYPE_CONTROL = 3, TYPE_USER = 4 };
enum { ALPHABET_END = 324 }; /* 256 and the 68 bytes that are not printable Latin-1 */

struct special {
    jm_str text;
    uint32_t id;
};

struct jm_tokenizer {
    uint32_t n;
    jm_str *texts;   /* [n] as the file spells them */
    jm_str *bytes;   /* [n] what they stand for; control tokens: none */
    char *arena;     /* both of the above */
    uint8_t *type;   /* [n] */
    uint32_t *slots; /* text to id: open addressing, JM_BPE_NONE free */
    size_t mask;
    struct special *special; /* [n_special] sorted by text, then id */
    size_t n_special;
    bool special_first[256]; /* by first byte */
    jm_bpe bpe;
    jm_pretok *pretok;
};

struct encode {
    const jm_tokenizer *t;
    jm_bpe_work work;
};

static bool is_plain_byte(uint32_t b)
{
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
}

/* byte_of[c]: the byte that character c < ALPHABET_END spells, or -1. */
static void fill_alphabet(int16_t byte_of[ALPHABET_END])
{
    int next = 256;

    for (int c = 0; c < ALPHABET_END; c++)
        byte_of[c] = -1;
    for (int b = 0; b < 256; b++)
        byte_of[is_plain_byte((uint32_t)b) ? b : next++] = (int16_t)b;
}

/* The bytes of one token's text into out, which has room for text.n. Returns how many. A character
 * outside the alphabet stands for itself. */
static size_t spell(jm_str text, const int16_t byte_of[ALPHABET_END], char *out)
{
    const uint8_t *p = (const uint8_t *)text.p;
    size_t at = 0, written = 0;

    while (at < text.n) {
        uint32_t c = p[at];
        size_t len = 1;
        bool ascii = c < 0x80,
             two = c >= 0xc2 && c <= 0xdf && at + 1 < text.n && (p[at + 1] & 0xc0) == 0x80;
        if (two) { /* the whole alphabet has at most two bytes a character */
            c = (c & 0x1f) << 6 | (p[at + 1] & 0x3fu);
            len = 2;
        }
        if ((ascii || two) && c < ALPHABET_END && byte_of[c] >= 0)
            out[written++] = (char)byte_of[c];
        else
            for (size_t i = 0; i < len; i++)
                out[written++] = text.p[at + i];
        at += len;
    }
    return written;
}

/* FNV-1a over a then b. */
static size_t hash_text(jm_str a, jm_str b)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < a.n; i++)
        h = (h ^ (uint8_t)a.p[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < b.n; i++)
        h = (h ^ (uint8_t)b.p[i]) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ (h >> 32));
}

static bool same(const char *p, jm_str s)
{
    return s.n == 0 || memcmp(p, s.p, s.n) == 0;
}

/* The slot of the text a followed by b: its id, or JM_BPE_NONE where it would go. */
static uint32_t *find_slot(const jm_tokenizer *t, jm_str a, jm_str b)
{
    size_t i = hash_text(a, b) & t->mask;

    for (;; i = (i + 1) & t->mask) {
        uint32_t id = t->slots[i];
        if (id == JM_BPE_NONE)
            return &t->slots[i];
        if (t->texts[id].n == a.n + b.n && same(t->texts[id].p, a) && same(t->texts[id].p + a.n, b))
            return &t->slots[i];
    }
}

static jm_status copy_tokens(jm_tokenizer *t, const jm_str *tokens, size_t n, const int32_t *types,
                             jm_err *err)
{
    int16_t byte_of[ALPHABET_END];
    size_t bytes = 0, slots = 2;
    char *p;

    for (size_t i = 0; i < n; i++)
        if (!jm_add_size(bytes, tokens[i].n, &bytes) || bytes > SIZE_MAX / 4)
            return jm_fail(err, JM_ENOMEM, "tokenizer: the token texts do not fit in memory");
    while (slots < 2 * n)
        slots *= 2;
    t->texts = calloc(n, sizeof *t->texts);
    t->bytes = calloc(n, sizeof *t->bytes);
    t->type = calloc(n, sizeof *t->type);
    t->arena = malloc(2 * bytes + 1);
    t->slots = calloc(slots, sizeof *t->slots);
    if (!t->texts || !t->bytes || !t->type || !t->arena || !t->slots)
        return jm_fail(err, JM_ENOMEM, "tokenizer: out of memory for %zu tokens", n);
    memset(t->slots, 0xff, slots * sizeof *t->slots); /* all JM_BPE_NONE */
    t->mask = slots - 1;
    t->n = (uint32_t)n;
    fill_alphabet(byte_of);
    p = t->arena;
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t *slot;
        t->type[i] = types[i] >= 0 && types[i] <= UINT8_MAX ? (uint8_t)types[i] : 0;
        t->texts[i] = (jm_str){ .p = p, .n = tokens[i].n };
        if (tokens[i].n > 0)
            memcpy(p, tokens[i].p, tokens[i].n);
        p += tokens[i].n;
        t->bytes[i] = t->type[i] == TYPE_USER ? t->texts[i] : (jm_str){ .p = p };
        if (t->type[i] != TYPE_USER && t->type[i] != TYPE_CONTROL)
            t->bytes[i].n = spell(t->texts[i], byte_of, p);
        p += t->bytes[i].p == p ? t->bytes[i].n : 0;
        slot = find_slot(t, t->texts[i], (jm_str){ 0 });
        if (*slot == JM_BPE_NONE) /* of duplicates the first is found; all decode */
            *slot = i;
    }
    return JM_OK;
}

static int compare_special(const void *a, const void *b)
{
    const struct special *x = a, *y = b;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int c = memcmp(x->text.p, y->text.p, n);

    if (c != 0)
        return c;
    if (x->text.n != y->text.n)
        return x->text.n < y->text.n ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static jm_status collect_special(jm_tokenizer *t, jm_err *err)
{
    t->special = calloc(t->n, sizeof *t->special);
    if (!t->special)
        return jm_fail(err, JM_ENOMEM, "tokenizer: out of memory for special tokens");
    for (uint32_t i = 0; i < t->n; i++) {
        if ((t->type[i] != TYPE_CONTROL && t->type[i] != TYPE_USER) || t->texts[i].n == 0)
            continue;
        t->special[t->n_special++] = (struct special){ .text = t->texts[i], .id = i };
        t->special_first[(uint8_t)t->texts[i].p[0]] = true;
    }
    qsort(t->special, t->n_special, sizeof *t->special, compare_special);
    return JM_OK;
}

/* Plain text must not be able to become a control token, so neither bytes nor merges may. */
static jm_status plain_id(const jm_tokenizer *t, jm_str a, jm_str b, uint32_t *id)
{
    *id = *find_slot(t, a, b);
    return *id != JM_BPE_NONE && t->type[*id] != TYPE_CONTROL ? JM_OK : JM_EINPUT;
}

static jm_status find_bytes(jm_tokenizer *t, jm_err *err)
{
    int16_t byte_of[ALPHABET_END];

    fill_alphabet(byte_of);
    for (int c = 0; c < ALPHABET_END; c++) {
        char utf8[2] = { (char)c, 0 };
        jm_str s = { .p = utf8, .n = 1 };
        if (byte_of[c] < 0)
            continue;
        if (c >= 0x80) {
            utf8[0] = (char)(0xc0 | c >> 6);
            utf8[1] = (char)(0x80 | (c & 0x3f));
            s.n = 2;
        }
        if (plain_id(t, s, (jm_str){ 0 }, &t->bpe.byte_id[byte_of[c]]) != JM_OK)
            return jm_fail(err, JM_EINPUT,
                           "tokens: no token for byte 0x%02x; the vocabulary is not "
                           "byte-level",
                           (unsigned)byte_of[c]);
    }
    return JM_OK;
}

static jm_status read_merges(jm_tokenizer *t, const jm_str *merges, size_t n, jm_err *err)
{
    jm_status st;

    if (n >= JM_BPE_NONE)
        return jm_fail(err, JM_EINPUT, "merges: %zu merges are too many", n);
    st = jm_bpe_init(&t->bpe, n, err);
    for (size_t i = 0; i < n && st == JM_OK; i++) {
        jm_str m = merges[i], left, right;
        const char *space = m.n > 2 ? memchr(m.p + 1, ' ', m.n - 2) : NULL;
        uint32_t l, r, id;
        if (!space)
            return jm_fail(err, JM_EINPUT,
                           "merges: merge %zu is not two texts with a space between", i);
        left = (jm_str){ .p = m.p, .n = (size_t)(space - m.p) };
        right = (jm_str){ .p = space + 1, .n = m.n - left.n - 1 };
        if (plain_id(t, left, (jm_str){ 0 }, &l) != JM_OK ||
            plain_id(t, right, (jm_str){ 0 }, &r) != JM_OK ||
            plain_id(t, left, right, &id) != JM_OK)
            return jm_fail(err, JM_EINPUT,
                           "merges: merge %zu (\"%.*s\") names a text that is no "
                           "plain token",
                           i, (int)(m.n < 80 ? m.n : 80), m.p);
        jm_bpe_add(&t->bpe, l, r, (uint32_t)i, id);
    }
    return st;
}

static jm_status make(jm_tokenizer *t, const struct jm_vocabulary *v, jm_err *err)
{
    jm_status st;

    if ((st = jm_pretok_open(v->pre, v->n_pre, &t->pretok, err)) != JM_OK ||
        (st = copy_tokens(t, v->tokens, v->n, v->types, err)) != JM_OK ||
        (st = collect_special(t, err)) != JM_OK || (st = find_bytes(t, err)) != JM_OK)
        return st;
    return read_merges(t, v->merges, v->n_merges, err);
}

jm_status jm_tokenizer_from(const struct jm_vocabulary *v, jm_tokenizer **out, jm_err *err)
{
    jm_tokenizer *t = calloc(1, sizeof *t);
    jm_status st;

    *out = NULL;
    if (!t)
        return jm_fail(err, JM_ENOMEM, "tokenizer: out of memory");
    st = make(t, v, err);
    if (st == JM_OK)
        *out = t;
    else
        jm_tokenizer_close(t);
    return st;
}

jm_status jm_tokenizer_open(const jm_gguf *f, jm_tokenizer **out, jm_err *err)
{
    jm_str model, pre;
    const jm_str *tokens, *merges;
    const int32_t *types;
    size_t n, n_types, n_merges;

    *out = NULL;
    if (!jm_gguf_str(f, "tokenizer.ggml.model", &model))
        return jm_fail(err, JM_EINPUT,
                       "tokenizer.ggml.model is missing; the file has no tokenizer");
    if (model.n != 4 || memcmp(model.p, "gpt2", 4) != 0)
        return jm_fail(err, JM_EUNSUPPORTED,
                       "tokenizer model \"%.*s\" is not supported; only gpt2 (byte-level BPE) is",
                       (int)(model.n < 64 ? model.n : 64), model.p);
    if (!jm_gguf_str(f, "tokenizer.ggml.pre", &pre))
        return jm_fail(err, JM_EINPUT,
                       "tokenizer.ggml.pre is missing; convert the model again with its name");
    if (!jm_gguf_str_array(f, "tokenizer.ggml.tokens", &tokens, &n) || n == 0 ||
        n >= JM_BPE_NONE / 4)
        return jm_fail(err, JM_EINPUT, "tokenizer.ggml.tokens is missing, empty or too long");
    if (!jm_gguf_i32_array(f, "tokenizer.ggml.token_type", &types, &n_types) || n_types != n)
        return jm_fail(err, JM_EINPUT,
                       "tokenizer.ggml.token_type does not have one type for each of %zu tokens",
                       n);
    if (!jm_gguf_str_array(f, "tokenizer.ggml.merges", &merges, &n_merges))
        return jm_fail(err, JM_EINPUT, "tokenizer.ggml.merges is missing");
    return jm_tokenizer_from(&(struct jm_vocabulary){ .tokens = tokens,
                                                      .types = types,
                                                      .n = n,
                                                      .merges = merges,
                                                      .n_merges = n_merges,
                                                      .pre = pre.p,
                                                      .n_pre = pre.n },
                             out, err);
}

void jm_tokenizer_close(jm_tokenizer *t)
{
    if (!t)
        return;
    jm_pretok_close(t->pretok);
    jm_bpe_free(&t->bpe);
    free(t->texts);
    free(t->bytes);
    free(t->arena);
    free(t->type);
    free(t->slots);
    free(t->special);
    free(t);
}

uint32_t jm_tokenizer_size(const jm_tokenizer *t)
{
    return t->n;
}

bool jm_tokenizer_find(const jm_tokenizer *t, const char *s, size_t n, uint32_t *id)
{
    uint32_t found = *find_slot(t, (jm_str){ .p = s, .n = n }, (jm_str){ 0 });

    if (found == JM_BPE_NONE)
        return false;
    *id = found;
    return true;
}

jm_str jm_tokenizer_bytes(const jm_tokenizer *t, uint32_t id)
{
    return t->bytes[id];
}

/* First of special[lo..hi), which agree before byte at, whose byte at is not below c. */
static size_t lower_bound(const jm_tokenizer *t, size_t lo, size_t hi, size_t at, unsigned c)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if ((uint8_t)t->special[mid].text.p[at] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest special token that p starts with. Narrows the sorted list byte by byte, so it stops
 * where no token goes on. */
static const struct special *special_at(const jm_tokenizer *t, const uint8_t *p, size_t n)
{
    const struct special *best = NULL;
    size_t lo = 0, hi = t->n_special;

    for (size_t at = 0; at < n && lo < hi; at++) {
        lo = lower_bound(t, lo, hi, at, p[at]);
        hi = lower_bound(t, lo, hi, at, p[at] + 1u);
        if (lo < hi && t->special[lo].text.n == at + 1) {
            best = &t->special[lo];
            while (lo < hi && t->special[lo].text.n == at + 1)
                lo++; /* duplicates: the lowest id, which sorts first, stands for all */
        }
    }
    return best;
}

static jm_status encode_piece(void *ctx, const char *piece, size_t n, jm_err *err)
{
    struct encode *e = ctx;

    return jm_bpe_encode(&e->t->bpe, (const uint8_t *)piece, n, &e->work, err);
}

static jm_status encode_plain(struct encode *e, const char *text, size_t n, jm_err *err)
{
    jm_status st = JM_OK;

    for (size_t at = 0; at < n && st == JM_OK;) {
        size_t valid = jm_utf8_valid((const uint8_t *)text + at, n - at);
        st = jm_pretok_split(e->t->pretok, text + at, valid, encode_piece, e, err);
        at += valid;
        if (at < n && st == JM_OK)
            st = jm_bpe_push(&e->work, e->t->bpe.byte_id[(uint8_t)text[at++]], err);
    }
    return st;
}

static jm_status encode_special(struct encode *e, const char *text, size_t n, jm_err *err)
{
    const jm_tokenizer *t = e->t;
    size_t from = 0;
    jm_status st = JM_OK;

    for (size_t at = 0; at < n && st == JM_OK;) {
        const uint8_t *p = (const uint8_t *)text + at;
        const struct special *s = t->special_first[*p] ? special_at(t, p, n - at) : NULL;
        if (!s) {
            at++;
            continue;
        }
        st = encode_plain(e, text + from, at - from, err);
        if (st == JM_OK)
            st = jm_bpe_push(&e->work, s->id, err);
        at += s->text.n;
        from = at;
    }
    return st == JM_OK ? encode_plain(e, text + from, n - from, err) : st;
}

jm_status jm_tokenizer_encode(const jm_tokenizer *t, const char *text, size_t bytes, bool special,
                              uint32_t **ids, size_t *n, jm_err *err)
{
    struct encode e = { .t = t };
    jm_status st =
        special ? encode_special(&e, text, bytes, err) : encode_plain(&e, text, bytes, err);

    *ids = NULL;
    *n = 0;
    if (st == JM_OK) {
        *ids = e.work.ids;
        *n = e.work.n_ids;
        e.work.ids = NULL;
    }
    jm_bpe_work_free(&e.work);
    return st;
}
