/* SPDX-License-Identifier: Apache-2.0 */
/* See caption.h. A caption's own text never becomes a control token. */
#include "workloads/imagegen/caption.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"

#define PLACE "{prompt}"

void jm_caption_close(jm_caption_form *form)
{
    free(form->before);
    free(form->after);
    free(form->nothing);
    *form = (jm_caption_form){ 0 };
}

static bool has_token(const jm_tokenizer *tok, const char *s)
{
    uint32_t id;
    return jm_tokenizer_find(tok, s, strlen(s), &id);
}

jm_status jm_caption_open(const jm_gguf *f, const char *path, const jm_tokenizer *tok,
                          jm_caption_form *out, jm_err *err)
{
    jm_str s = { 0 };
    if (f)
        (void)jm_gguf_str(f, "tokenizer.chat_template", &s);
    const char *at = s.n > 0 ? memmem(s.p, s.n, PLACE, strlen(PLACE)) : NULL;
    *out = (jm_caption_form){ 0 };
    if (at && !memchr(s.p, '\0', s.n)) {
        const char *rest = at + strlen(PLACE);
        out->before = strndup(s.p, (size_t)(at - s.p));
        out->after = strndup(rest, s.n - (size_t)(rest - s.p));
        if (out->before && out->after)
            out->nothing = jm_asprintf("%s%s", out->before, out->after);
    } else if (has_token(tok, "<|im_start|>") && has_token(tok, "<img>")) {
        out->before = strdup("<|im_start|>user\n");
        out->after = strdup("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n<img>");
        out->nothing = strdup("<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n<img>");
    } else {
        return jm_fail(err, JM_EUNSUPPORTED,
                       "%s: no chat template that is a literal with " PLACE
                       " in it, and the vocabulary has no <|im_start|> and <img>",
                       path);
    }
    if (out->before && out->after && out->nothing)
        return JM_OK;
    jm_caption_close(out);
    return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
}

struct ids {
    uint32_t *v;
    size_t n;
};

static jm_status append(struct ids *all, const jm_tokenizer *tok, const char *text, bool control,
                        jm_err *err)
{
    uint32_t *ids;
    size_t n;
    jm_status st = jm_tokenizer_encode(tok, text, strlen(text), control, &ids, &n, err);
    if (st != JM_OK || n == 0)
        return st;
    uint32_t *more = realloc(all->v, (all->n + n) * sizeof *more);
    if (more) {
        memcpy(more + all->n, ids, n * sizeof *more);
        all->v = more;
        all->n += n;
    } else {
        st = jm_fail(err, JM_ENOMEM, "caption: out of memory");
    }
    free(ids);
    return st;
}

jm_status jm_caption_encode(const jm_caption_form *form, const jm_tokenizer *tok, const char *text,
                            uint32_t **ids, uint32_t *n, jm_err *err)
{
    struct ids all = { 0 };
    *ids = NULL;
    *n = 0;
    if (text && text[strspn(text, " \t\r\n")] == '\0')
        return jm_fail(err, JM_EUSAGE,
                       "the caption is empty; say what to draw, such as "
                       "\"red apple\"");
    jm_status st = append(&all, tok, text ? form->before : form->nothing, true, err);
    if (st == JM_OK && text)
        st = append(&all, tok, text, false, err);
    if (st == JM_OK && text)
        st = append(&all, tok, form->after, true, err);
    if (st == JM_OK && (all.n == 0 || all.n > UINT32_MAX))
        st = jm_fail(err, JM_EINPUT, "caption: %zu tokens", all.n);
    if (st != JM_OK) {
        free(all.v);
        return st;
    }
    *ids = all.v;
    *n = (uint32_t)all.n;
    return JM_OK;
}
