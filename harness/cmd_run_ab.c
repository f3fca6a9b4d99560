/* SPDX-License-Identifier: Apache-2.0 */
/* See cmd_run_ab.h. A B B A rather than A B A B: a steady drift then cancels over two pairs. */
#include "harness/cmd_run_ab.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "harness/cmd_run_inputs.h"
#include "harness/compare/print.h"
#include "harness/compare/select.h"
#include "harness/exit_code.h"

static void tell(FILE *out, const struct jm_record *r)
{
    const struct jm_metric *tokens = jm_metric_find("tokens_out_per_s");
    const struct jm_metric *queries = jm_metric_find("queries_per_s");
    double t = jm_metric_value(tokens, r), q = jm_metric_value(queries, r);
    (void)fprintf(out, "%-2s", *r->ab_side ? r->ab_side : "-");
    if (r->ab_pair != JM_U64_EMPTY)
        (void)fprintf(out, " %4" PRIu64, r->ab_pair);
    (void)fprintf(out, "  %-24.24s", r->run_name);
    if (!isnan(t) || !isnan(q))
        (void)fprintf(out, "  %.5g %s", isnan(t) ? q : t,
                      isnan(t) ? queries->title : tokens->title);
    if (strcmp(r->status, "complete") != 0)
        (void)fprintf(out, "  %s: %.300s", r->status, r->status_reason);
    (void)fputc('\n', out);
    (void)fflush(out);
}

/* One run of a session, or the row of one that an interruption left out; whether it came to an end
 * of its own. */
static bool run_or_skip(const struct jm_run_config *c, const struct jm_run_place *place,
                        struct jm_record *r)
{
    jm_err why = { .status = JM_OK }; /* the row says it too */
    if (!*place->stop)
        return jm_run_one(c, place, r, &why) != JM_EINTERRUPTED;
    jm_run_skip(c, place, r);
    return false;
}

jm_status jm_session_run(const struct jm_run_config *a, const struct jm_run_config *b,
                         uint32_t pairs, const struct jm_run_place *place, const char *csv,
                         FILE *out, struct jm_session *s, jm_err *err)
{
    size_t runs = (size_t)pairs * (b ? 2 : 1), ended = 0, bytes;
    char id[JM_TEXT_BYTES] = "";
    *s = (struct jm_session){ .n = 0 };
    s->row = jm_mul_size(runs, sizeof *s->row, &bytes) ? malloc(bytes ? bytes : 1) : NULL;
    if (!s->row)
        return jm_fail(err, JM_ENOMEM, "no memory for the records of %zu runs", runs);
    for (size_t i = 0; i < runs; i++) {
        bool is_b = b && (i % 4 == 1 || i % 4 == 2);
        struct jm_record *r = &s->row[s->n++];
        struct jm_run_config c = is_b ? *b : *a;
        c.repeat = (uint32_t)(b ? i / 2 : i) + 1; /* ids of runs within one second differ */
        ended += run_or_skip(&c, place, r);
        if (b) {
            if (!*id)
                memcpy(id, r->run_id, sizeof id);
            memcpy(r->ab_id, id, sizeof id);
            jm_record_text(r->ab_side, is_b ? "B" : "A");
            r->ab_pair = i / 2 + 1;
        }
        jm_status st = jm_run_keep(csv, place, r, err);
        if (out && strcmp(r->status, "not run") != 0)
            tell(out, r);
        if (st != JM_OK)
            return st;
    }
    return ended == runs
               ? JM_OK
               : jm_fail(err, JM_EINTERRUPTED, "interrupted after %zu of %zu runs", ended, runs);
}

jm_status jm_options_parse_text(struct jm_run_config *c, const char *text, jm_err *err)
{
    enum { MAX_WORDS = 64 };
    char *word[MAX_WORDS], *copy = strdup(text), *rest = copy;
    int n = 0;
    jm_status st = copy ? JM_OK : jm_fail(err, JM_ENOMEM, "out of memory");
    for (char *w; copy && (w = strtok_r(rest, " \t", &rest)) && st == JM_OK;) {
        if (n == MAX_WORDS)
            st = jm_fail(err, JM_EUSAGE, "more than %d words of options", MAX_WORDS);
        else
            word[n++] = w;
    }
    for (int i = 0; i < n && st == JM_OK;)
        st = jm_option_parse(c, n, word, &i, err);
    free(copy);
    return st;
}

static jm_status print_comparison(const struct jm_session *s, const char *a, const char *b,
                                  jm_err *err)
{
    struct jm_pairing p = { .n = 0 };
    struct jm_report r = { .n = 0 };
    struct jm_runs runs = { .row = calloc(s->n + 1, sizeof(*runs.row)) };
    struct jm_report_text t = {
        .pairing = &p, .report = &r, .how = &jm_report_default, .a = a, .b = b
    };
    char objection[512];
    if (!runs.row)
        return jm_fail(err, JM_ENOMEM, "out of memory");
    for (size_t i = 0; i < s->n; i++) {
        jm_run_objection(&s->row[i], objection);
        if (!*objection)
            runs.row[runs.n++] = &s->row[i];
    }
    jm_status st = runs.n ? jm_pair_alternating(&runs, &p, err)
                          : jm_fail(err, JM_EDEVICE, "no run was completed");
    if (st == JM_OK)
        st = jm_report_build(&p, &jm_report_default, &r, err);
    if (st == JM_OK) {
        (void)putchar('\n');
        st = jm_report_print(stdout, &t, JM_REPORT_TABLE, err);
    }
    jm_report_free(&r);
    jm_pairing_free(&p);
    free(runs.row);
    return st;
}

int jm_run_ab(const struct jm_run_config *base, const char *text_a, const char *text_b,
              uint32_t pairs, const struct jm_run_place *place, const char *csv)
{
    struct jm_run_config a = *base, b = *base;
    struct jm_session s = { .n = 0 };
    jm_err err = { .status = JM_OK }, why = { .status = JM_OK };
    (void)snprintf(a.name, sizeof a.name, "A");
    (void)snprintf(b.name, sizeof b.name, "B");
    jm_status st = jm_options_parse_text(&a, text_a, &err);
    if (st == JM_OK)
        st = jm_options_parse_text(&b, text_b, &err);
    if (st == JM_OK)
        st = jm_run_check(&a, &err);
    if (st == JM_OK)
        st = jm_run_check(&b, &err);
    if (st == JM_OK)
        st = jm_session_run(&a, &b, pairs, place, csv, stdout, &s, &err);
    int code = jm_exit_code(st);
    for (size_t i = 0; i < s.n && code == JM_EXIT_OK; i++)
        if (strcmp(s.row[i].status, "complete") != 0 || strcmp(s.row[i].quality_valid, "no") == 0)
            code = JM_EXIT_INVALID;
    if (s.n > 0 && print_comparison(&s, text_a, text_b, &why) != JM_OK) {
        (void)fprintf(stderr, "joulemark run: %s\n", why.text);
        code = code == JM_EXIT_OK ? jm_exit_code(why.status) : code;
    }
    if (st != JM_OK)
        (void)fprintf(stderr, "joulemark run: %s\n", err.text);
    free(s.row);
    return code;
}
