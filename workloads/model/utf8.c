/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 checking, and the decoder that puts the bytes of tokens together into whole characters.
 * Ill-formed input is replaced by maximal subparts (Unicode 15, section 3.9). */
#include "workloads/model/utf8.h"

#include <string.h>

#include "workloads/model/tokenizer.h"

static const char replacement[3] = { '\xef', '\xbf', '\xbd' };

int jm_utf8_char(const uint8_t *p, size_t n)
{
    uint8_t lead = p[0], low = 0x80, high = 0xbf;
    size_t want;

    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return -1;
    want = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead == 0xe0)
        low = 0xa0; /* overlong below */
    else if (lead == 0xed)
        high = 0x9f; /* surrogates above */
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f; /* beyond U+10FFFF */
    for (size_t i = 1; i < want; i++) {
        if (i == n)
            return 0;
        if (p[i] < low || p[i] > high)
            return -1;
        low = 0x80;
        high = 0xbf;
    }
    return (int)want;
}

size_t jm_utf8_valid(const uint8_t *p, size_t n)
{
    size_t at = 0;

    while (at < n) {
        int len = jm_utf8_char(p + at, n - at);
        if (len <= 0)
            break;
        at += (size_t)len;
    }
    return at;
}

size_t jm_utf8_push(jm_utf8_stream *s, const char *bytes, size_t n, char *out)
{
    size_t written = 0;

    for (size_t i = 0; i < n; i++) {
        int len;
        s->held[s->n_held++] = (uint8_t)bytes[i];
        len = jm_utf8_char(s->held, s->n_held);
        if (len < 0) {
            memcpy(out + written, replacement, sizeof replacement);
            written += sizeof replacement;
            /* A byte that breaks an unfinished character may start the next one. */
            if (s->n_held > 1) {
                s->held[0] = (uint8_t)bytes[i];
                s->n_held = 1;
                len = jm_utf8_char(s->held, 1);
                if (len < 0) {
                    memcpy(out + written, replacement, sizeof replacement);
                    written += sizeof replacement;
                }
            }
        }
        if (len > 0) {
            memcpy(out + written, s->held, s->n_held);
            written += s->n_held;
        }
        if (len != 0)
            s->n_held = 0;
    }
    return written;
}

size_t jm_utf8_end(jm_utf8_stream *s, char *out)
{
    if (s->n_held == 0)
        return 0;
    s->n_held = 0;
    memcpy(out, replacement, sizeof replacement);
    return sizeof replacement;
}
