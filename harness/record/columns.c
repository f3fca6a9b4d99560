/* SPDX-License-Identifier: Apache-2.0 */
/* The table of columns as data, and empty records. */
#include "harness/record/columns.h"

#include <math.h>
#include <string.h>

#define ROW(k, name_, unit_, text_)                                                                \
    { .name = #name_,                                                                              \
      .unit = unit_,                                                                               \
      .text = text_,                                                                               \
      .kind = k,                                                                                   \
      .offset = offsetof(struct jm_record, name_) },
#define ROW_TEXT(n, u, t) ROW(JM_COLUMN_TEXT, n, u, t)
#define ROW_U64(n, u, t) ROW(JM_COLUMN_U64, n, u, t)
#define ROW_DOUBLE(n, u, t) ROW(JM_COLUMN_DOUBLE, n, u, t)

static const struct jm_column table[] = { JM_COLUMNS(ROW_TEXT, ROW_U64, ROW_DOUBLE) };

const struct jm_column *jm_columns(size_t *n)
{
    *n = sizeof table / sizeof table[0];
    return table;
}

void jm_record_clear(struct jm_record *r)
{
#define CLEAR_TEXT(name, unit, text) r->name[0] = 0;
#define CLEAR_U64(name, unit, text) r->name = JM_U64_EMPTY;
#define CLEAR_DOUBLE(name, unit, text) r->name = NAN;
    memset(r, 0, sizeof *r);
    JM_COLUMNS(CLEAR_TEXT, CLEAR_U64, CLEAR_DOUBLE)
    r->schema_version = JM_SCHEMA_VERSION;
}

void jm_record_text(char dst[JM_TEXT_BYTES], const char *s)
{
    size_t n = s ? strnlen(s, JM_TEXT_BYTES) : 0;
    if (n == JM_TEXT_BYTES) {
        n--;
        while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
            n--;
    }
    if (n > 0)
        memcpy(dst, s, n);
    dst[n] = 0;
}
