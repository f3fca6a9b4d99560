/* SPDX-License-Identifier: Apache-2.0 */
/* See claim.h. A claim comes from someone who wants to be believed: the file is taken apart as
 * hostile, and nothing in it is run but the options of 'joulemark run'. */
#include "harness/record/claim.h"

#include <ctype.h>
#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "harness/compare/option.h"

enum { MAX_BYTES = 64 << 10, MAX_LINE = 190, MAX_KEYS = 96, MAX_KEY = 64 };

struct parser {
    const char *path;
    struct jm_claim *c;
    char seen[MAX_KEYS][MAX_KEY]; /* "section.key" */
    size_t n_seen;
    bool relation, value;
    jm_status st;
    jm_err *err;
};

#define REFUSE(p, ...) ((p)->st = jm_fail((p)->err, JM_EINPUT, __VA_ARGS__), 0)

/* Notes a key; false when it came before. Dashes and underscores are the same. */
static bool first_time(struct parser *p, const char *section, const char *key)
{
    char name[MAX_KEY];
    (void)snprintf(name, sizeof name, "%.20s.%.40s", section, key);
    for (char *s = name; *s; s++)
        *s = *s == '-' ? '_' : *s;
    for (size_t i = 0; i < p->n_seen; i++)
        if (strcmp(p->seen[i], name) == 0)
            return false;
    if (p->n_seen == MAX_KEYS)
        return false;
    memcpy(p->seen[p->n_seen++], name, sizeof name);
    return true;
}

static bool parse_number(const char *s, double min, double max, double *out)
{
    return jm_percent_parse(s, out) && *out >= min && *out <= max;
}

static bool parse_hash(const char *s, char out[JM_SHA256_HEX])
{
    if (strlen(s) != JM_SHA256_HEX - 1)
        return false;
    for (size_t i = 0; i < JM_SHA256_HEX - 1; i++) {
        if (!isxdigit((unsigned char)s[i]))
            return false;
        out[i] = (char)tolower((unsigned char)s[i]);
    }
    out[JM_SHA256_HEX - 1] = '\0';
    return true;
}

static bool parse_text(const char *s, char *out, size_t room)
{
    size_t n = strlen(s);
    if (n >= room)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 127)
            return false;
    memcpy(out, s, n + 1);
    return n > 0;
}

static bool parse_relation(const char *s, enum jm_relation *out)
{
    *out = strcmp(s, "at-least") == 0  ? JM_AT_LEAST
           : strcmp(s, "at-most") == 0 ? JM_AT_MOST
                                       : JM_EQUAL;
    return *out != JM_EQUAL || strcmp(s, "equal") == 0;
}

static int on_claim(struct parser *p, const char *key, const char *value)
{
    struct jm_claim *c = p->c;
    bool ok;
    if (strcmp(key, "text") == 0) {
        ok = parse_text(value, c->text, sizeof c->text);
    } else if (strcmp(key, "metric") == 0) {
        ok = parse_text(value, c->metric, sizeof c->metric);
    } else if (strcmp(key, "relation") == 0) {
        ok = p->relation = parse_relation(value, &c->relation);
    } else if (strcmp(key, "value") == 0) {
        ok = p->value = parse_number(value, 1e-12, 1e15, &c->value);
    } else if (strcmp(key, "tolerance") == 0) {
        ok = parse_number(value, 0.0, 0.5, &c->tolerance);
    } else if (strcmp(key, "min-quality") == 0) {
        ok = parse_number(value, 0.01, 2.0, &c->min_quality);
    } else if (strcmp(key, "repeats") == 0) {
        ok = jm_number_u32(value, 5, 1000, &c->repeats);
    } else {
        return REFUSE(p,
                      "%s: [claim] has no key '%.40s'; it has text, metric, relation, value, "
                      "tolerance, min-quality and repeats",
                      p->path, key);
    }
    return ok ? 1 : REFUSE(p, "%s: [claim] %s cannot be '%.60s'", p->path, key, value);
}

static int on_side(struct parser *p, struct jm_claim_side *side, const char *section,
                   const char *key, const char *value)
{
    char where[160];
    jm_err e = { .status = JM_OK };
    bool model = strcmp(key, "model-sha256") == 0;
    if (model || strcmp(key, "data-sha256") == 0) {
        if (parse_hash(value, model ? side->model_sha256 : side->data_sha256))
            return 1;
        return REFUSE(p, "%s: [%s] %s is not 64 hexadecimal digits", p->path, section, key);
    }
    (void)snprintf(where, sizeof where, "%.100s: [%.20s]", p->path, section);
    if (jm_option_set(&side->run, key, value, where, &e) == JM_OK)
        return 1;
    return REFUSE(p, "%s", e.text);
}

static int on_key(void *user, const char *section, const char *key, const char *value)
{
    struct parser *p = user;
    if (p->st != JM_OK)
        return 0;
    if (!first_time(p, section, key))
        return REFUSE(p, "%s: [%.20s] '%.40s' is given twice, or there are more than %d keys",
                      p->path, section, key, MAX_KEYS);
    if (strcmp(section, "claim") == 0)
        return on_claim(p, key, value);
    if (strcmp(section, "subject") == 0)
        return on_side(p, &p->c->subject, section, key, value);
    if (strcmp(section, "other") == 0) {
        p->c->has_other = true;
        return on_side(p, &p->c->other, section, key, value);
    }
    return REFUSE(p, "%s: a claim has [claim], [subject] and [other], not [%.40s]", p->path,
                  section);
}

/* What inih would cut or misread is refused before it sees it. */
static char *read_text(struct parser *p)
{
    jm_map m;
    size_t line = 1, length = 0;
    p->st = jm_map_open(p->path, &m, p->err);
    if (p->st != JM_OK)
        return NULL;
    if (m.bytes > MAX_BYTES)
        (void)REFUSE(p, "%s: larger than 64 KiB", p->path);
    for (size_t i = 0; i < m.bytes && p->st == JM_OK; i++) {
        length = m.data[i] == '\n' ? 0 : length + 1;
        line += m.data[i] == '\n';
        if (m.data[i] == 0 || length > MAX_LINE)
            (void)REFUSE(p, "%s:%zu: a NUL byte, or a line over %d bytes", p->path, line, MAX_LINE);
    }
    char *s = p->st == JM_OK ? malloc(m.bytes + 1) : NULL;
    if (s) {
        if (m.bytes)
            memcpy(s, m.data, m.bytes);
        s[m.bytes] = '\0';
    } else if (p->st == JM_OK) {
        p->st = jm_fail(p->err, JM_ENOMEM, "%s: out of memory", p->path);
    }
    jm_map_close(&m);
    return s;
}

static bool has_section(const struct parser *p, const char *prefix)
{
    for (size_t i = 0; i < p->n_seen; i++)
        if (strncmp(p->seen[i], prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

jm_status jm_claim_load(const char *path, struct jm_claim *out, jm_err *err)
{
    struct parser p = { .path = path, .c = out, .err = err };
    *out = (struct jm_claim){ .tolerance = 0.03, .min_quality = NAN, .repeats = 9 };
    jm_run_config_init(&out->subject.run);
    jm_run_config_init(&out->other.run);
    (void)snprintf(out->subject.run.name, sizeof out->subject.run.name, "subject");
    (void)snprintf(out->other.run.name, sizeof out->other.run.name, "other");
    char *text = read_text(&p);
    if (!text)
        return p.st;
    int bad = ini_parse_string(text, on_key, &p);
    free(text);
    if (p.st == JM_OK && bad)
        (void)REFUSE(&p, "%s:%d: neither [section] nor key = value", path, bad);
    if (p.st == JM_OK && (!*out->metric || !p.relation || !p.value))
        (void)REFUSE(&p, "%s: [claim] needs metric, relation and value", path);
    if (p.st == JM_OK && !has_section(&p, "subject."))
        (void)REFUSE(&p, "%s: needs a [subject] with the options of its run", path);
    return p.st;
}

/* ---- verdict ---- */

/* Repeats until an interval around ratio, now low to high with n runs, no longer holds `edge`. */
static double needed(double ratio, double low, double high, double edge, uint32_t n)
{
    double half = log(high / low) / 2.0, distance = fabs(log(ratio / edge));
    double all =
        distance > 0.0 ? ceil((double)n * (half / distance) * (half / distance)) : INFINITY;
    return fmax(1.0, all - (double)n);
}

enum jm_claim_verdict jm_claim_judge(enum jm_relation relation, double tolerance, double ratio,
                                     double low, double high, uint32_t n, double *more)
{
    double floor_ = 1.0 / (1.0 + tolerance), ceiling = 1.0 + tolerance;
    bool above = relation == JM_AT_MOST || low >= floor_; /* nothing of the interval is too low */
    bool below = relation == JM_AT_LEAST || high <= ceiling;
    *more = 0.0;
    if (isnan(ratio) || isnan(low) || isnan(high)) {
        *more = n < 5 ? 5.0 - (double)n : 1.0;
        return JM_CLAIM_UNDERPOWERED;
    }
    if (above && below)
        return JM_CLAIM_REPRODUCED;
    if ((relation != JM_AT_MOST && high < floor_) || (relation != JM_AT_LEAST && low > ceiling))
        return JM_CLAIM_REFUTED;
    double a = above ? 0.0 : needed(ratio, low, high, floor_, n);
    double b = below ? 0.0 : needed(ratio, low, high, ceiling, n);
    *more = fmax(a, b);
    return JM_CLAIM_UNDERPOWERED;
}
