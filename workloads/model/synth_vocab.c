/* SPDX-License-Identifier: Apache-2.0 */
/* A made-up byte-level vocabulary of any size: the 256 bytes, then merges enumerated by rule (pairs
 * and triples of letters with and without a space before, characters of several bytes, numbers,
 * syllables), then control tokens. Real text comes out at about as many tokens as with a trained
 * vocabulary of the size, so that prompts have realistic lengths. */
#include <stdio.h>
#include <string.h>

#include "workloads/model/synth_internal.h"

enum { BYTES = 256, MOST = 8 };

struct text {
    uint8_t p[MOST];
    size_t n;
};

/* Enumerates merges until enough have been made. */
struct maker {
    uint32_t left; /* to make */
    bool merges;   /* emit "left right", else the token that they become */
    struct jm_gguf_keys *k;
};

/* Spells bytes in GPT-2's alphabet: printable Latin-1 stands for itself, the others follow from
 * U+0100 on. Returns bytes of UTF-8 written, at most 2 n. */
static size_t spell(struct text t, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++) {
        uint32_t b = t.p[i], c = b;
        if (b <= 32)
            c = 256 + b;
        else if (b >= 127 && b <= 160)
            c = 256 + 33 + b - 127;
        else if (b == 173)
            c = 256 + 67;
        if (c < 0x80) {
            out[n++] = (char)c;
        } else {
            out[n++] = (char)(0xc0 | c >> 6);
            out[n++] = (char)(0x80 | (c & 0x3f));
        }
    }
    return n;
}

static struct text join(struct text a, struct text b)
{
    memcpy(a.p + a.n, b.p, b.n);
    a.n += b.n;
    return a;
}

static struct text bytes1(uint32_t a)
{
    return (struct text){ .p = { (uint8_t)a }, .n = 1 };
}

static struct text bytes2(uint32_t a, uint32_t b)
{
    return (struct text){ .p = { (uint8_t)a, (uint8_t)b }, .n = 2 };
}

static void merge(struct maker *m, struct text a, struct text b)
{
    char out[4 * MOST + 1];
    size_t n;
    if (m->left == 0)
        return;
    m->left--;
    if (m->merges) {
        n = spell(a, out);
        out[n++] = ' ';
        n += spell(b, out + n);
    } else {
        n = spell(join(a, b), out);
    }
    jm_gguf_keys_item_str(m->k, out, n);
}

static void merge_range(struct maker *m, struct text a, uint32_t first, uint32_t last)
{
    for (uint32_t b = first; b <= last; b++)
        merge(m, a, bytes1(b));
}

static bool is_vowel(uint32_t c)
{
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

static void letters(struct maker *m)
{
    merge_range(m, bytes1(' '), 'a', 'z');
    merge_range(m, bytes1(' '), 'A', 'Z');
    for (uint32_t a = 'a'; a <= 'z'; a++)
        merge_range(m, bytes1(a), 'a', 'z');
    for (uint32_t a = 'A'; a <= 'Z'; a++)
        merge_range(m, bytes1(a), 'a', 'z');
    for (uint32_t a = 'a'; a <= 'z'; a++)
        merge_range(m, bytes2(' ', a), 'a', 'z');
}

static void numbers(struct maker *m)
{
    for (uint32_t a = '0'; a <= '9'; a++)
        merge_range(m, bytes1(a), '0', '9');
    for (uint32_t a = '0'; a <= '9'; a++) {
        for (uint32_t b = '0'; b <= '9'; b++)
            merge_range(m, bytes2(a, b), '0', '9');
    }
}

/* Characters of two bytes, the beginnings of those of three, and whole ones of the scripts that the
 * model's languages are written in. */
static void characters(struct maker *m)
{
    static const uint16_t ranges[][2] = {
        { 0x4e00, 0x9fbf }, { 0x3000, 0x30ff }, { 0xff00, 0xff7f }, { 0xac00, 0xd7bf },
        { 0x0900, 0x0dff }, { 0x0e00, 0x0fff }, { 0x1000, 0x10ff }, { 0x1780, 0x17ff },
        { 0x1e00, 0x1eff }, { 0x2000, 0x203f },
    };
    for (uint32_t a = 0xc2; a <= 0xdf; a++)
        merge_range(m, bytes1(a), 0x80, 0xbf);
    for (uint32_t a = 0xe0; a <= 0xef; a++)
        merge_range(m, bytes1(a), 0x80, 0xbf);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        for (uint32_t c = ranges[i][0]; c <= ranges[i][1]; c++)
            merge(m, bytes2(0xe0 | c >> 12, 0x80 | (c >> 6 & 0x3f)), bytes1(0x80 | (c & 0x3f)));
    }
}

static void triples(struct maker *m)
{
    for (uint32_t a = 'a'; a <= 'z'; a++) {
        for (uint32_t b = 'a'; b <= 'z'; b++) {
            for (uint32_t c = 'a'; c <= 'z'; c++) {
                merge(m, bytes2(' ', a), bytes2(b, c));
                merge(m, bytes2(a, b), bytes1(c));
            }
        }
    }
}

/* Two pairs: first where each holds one vowel, then all others. */
static void quadruples(struct maker *m, bool syllables)
{
    for (uint32_t i = 0; i < 26 * 26 * 26 * 26 && m->left > 0; i++) {
        uint32_t a = 'a' + i / 17576, b = 'a' + i / 676 % 26, c = 'a' + i / 26 % 26,
                 d = 'a' + i % 26;
        if ((is_vowel(a) != is_vowel(b) && is_vowel(c) != is_vowel(d)) == syllables)
            merge(m, bytes2(a, b), bytes2(c, d));
    }
}

/* At most 540,000 or so; no text is made twice. */
static void make(struct jm_gguf_keys *k, uint32_t n, bool merges)
{
    struct maker m = { .left = n, .merges = merges, .k = k };
    letters(&m);
    numbers(&m);
    characters(&m);
    triples(&m);
    quadruples(&m, true);
    quadruples(&m, false);
}

struct control {
    uint32_t at; /* counted from the first control token */
    const char *text;
};

/* Published ids, less the number of ordinary tokens (120,000 and 151,643). */
static const struct control hunyuan[] = {
    { .at = 0, .text = "<｜hy_begin▁of▁sentence｜>" },
    { .at = 1, .text = "<｜hy_end▁of▁sentence｜>" },
    { .at = 6, .text = "<｜hy_User｜>" },
    { .at = 7, .text = "<｜hy_Assistant｜>" },
    { .at = 20, .text = "<｜hy_place▁holder▁no▁2｜>" },
};
static const struct control u1[] = {
    { .at = 0, .text = "<|endoftext|>" }, { .at = 1, .text = "<|im_start|>" },
    { .at = 2, .text = "<|im_end|>" },    { .at = 24, .text = "<think>" },
    { .at = 25, .text = "</think>" },     { .at = 26, .text = "<IMG_CONTEXT>" },
    { .at = 27, .text = "<img>" },        { .at = 28, .text = "</img>" },
};

static void put_controls(const struct jm_synth_dims *d, struct jm_gguf_keys *k)
{
    bool hy = d->family == JM_SYNTH_HUNYUAN;
    const struct control *known = hy ? hunyuan : u1;
    size_t n = hy ? sizeof hunyuan / sizeof hunyuan[0] : sizeof u1 / sizeof u1[0];
    for (uint32_t i = 0; i < d->special; i++) {
        char text[48];
        snprintf(text, sizeof text, "<|synthetic_%u|>", i);
        for (size_t j = 0; j < n; j++)
            if (known[j].at == i)
                snprintf(text, sizeof text, "%s", known[j].text);
        jm_gguf_keys_item_str(k, text, strlen(text));
    }
}

static void put_tokens(const struct jm_synth_dims *d, struct jm_gguf_keys *k)
{
    const uint32_t ordinary = d->vocab - d->special;
    jm_gguf_keys_begin_strs(k, "tokenizer.ggml.tokens");
    for (uint32_t b = 0; b < BYTES; b++) {
        char out[2];
        jm_gguf_keys_item_str(k, out, spell(bytes1(b), out));
    }
    make(k, ordinary - BYTES, false);
    put_controls(d, k);
    jm_gguf_keys_end_array(k);
    jm_gguf_keys_begin_i32s(k, "tokenizer.ggml.token_type");
    for (uint32_t i = 0; i < d->vocab; i++)
        jm_gguf_keys_item_i32(k, i < ordinary ? 1 : 3); /* normal, control */
    jm_gguf_keys_end_array(k);
    jm_gguf_keys_begin_strs(k, "tokenizer.ggml.merges");
    make(k, ordinary - BYTES, true);
    jm_gguf_keys_end_array(k);
}

void jm_synth_vocab(const struct jm_synth_dims *d, struct jm_gguf_keys *k)
{
    const uint32_t first = d->vocab - d->special;
    bool hy = d->family == JM_SYNTH_HUNYUAN;
    jm_gguf_keys_str(k, "tokenizer.ggml.model", "gpt2");
    jm_gguf_keys_str(k, "tokenizer.ggml.pre", hy ? "hunyuan-dense" : "qwen2");
    put_tokens(d, k);
    if (hy)
        jm_gguf_keys_u32(k, "tokenizer.ggml.bos_token_id", first);
    jm_gguf_keys_u32(k, "tokenizer.ggml.eos_token_id", first + (hy ? 20 : 2));
    jm_gguf_keys_u32(k, "tokenizer.ggml.padding_token_id", first + (hy ? 2 : 0));
    jm_gguf_keys_bool(k, "tokenizer.ggml.add_bos_token", false);
    if (hy) /* U1's captions are wrapped without a template */
        jm_gguf_keys_str(k, "tokenizer.chat_template",
                         "{{ '<｜hy_begin▁of▁sentence｜>' }}{% for message in messages %}"
                         "{% if message['role'] == 'user' %}{{ '<｜hy_User｜>' + "
                         "message['content'] }}{% else %}{{ '<｜hy_Assistant｜>' + "
                         "message['content'] + '<｜hy_place▁holder▁no▁2｜>' }}{% endif %}"
                         "{% endfor %}{{ '<｜hy_Assistant｜>' }}");
}
