/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel set's rounding costs: of one translator's file, how far logits are from those of
 * the scalar set, which sums in f64 and rounds no activation, with keys and values in F32; and the
 * chrF2++ of all answers. Prints a table in Markdown, a row for each set and format of keys and
 * values. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "harness/exit_code.h"
#include "workloads/translate/dataset.h"
#include "workloads/translate/mt_model.h"
#include "workloads/workload.h"

static const char usage[] =
    "usage: bench_numerics MODEL.gguf DATA.csv [--sets NAME,...] [--no-answers]\n\n"
    "Prints by how much logits differ from those of the scalar kernels with keys and values in "
    "F32,\n"
    "fed with the data set's own translations, and the chrF2++ of answers.\n\n"
    "  --sets NAME,...  kernel sets (all that run here)\n"
    "  --no-answers     logits only\n\n"
    "example:\n"
    "  bench_numerics workloads/data/tiny-mt-f16.gguf workloads/data/jm-ui.csv\n";

enum { SLOTS = 64, CONTEXT = 256, SEQUENCES = 48, BATCH = 16, MOST_SETS = 16 };

struct job {
    const char *model, *data, *sets;
    bool answers;
    jm_backend backend;
    float *want; /* [positions, vocab] of the scalar set */
    size_t positions;
    uint32_t vocab;
};

/* Sums over all logits of one set. */
struct errors {
    double square, reference, most;
    size_t flips; /* positions whose likeliest token is another */
    size_t done;
};

/* One text that the model is led through: a prompt, then tokens of the translation. */
struct text {
    uint32_t id[CONTEXT], n_prompt, n;
};

static size_t likeliest(const float *logits, uint32_t n)
{
    size_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static void compare(struct errors *e, const float *want, const float *got, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        double off = fabs((double)got[i] - want[i]);
        e->most = fmax(e->most, off);
        e->square += off * off;
        e->reference += (double)want[i] * want[i];
    }
    e->flips += likeliest(want, n) != likeliest(got, n);
}

/* Sequence i: segments and languages spread evenly over the data set. false: it has no such text,
 * or it is too long. */
static bool text_of(const jm_mt_model *m, const jm_dataset *ds, size_t i, struct text *out)
{
    size_t segments = jm_dataset_segments(ds), languages = jm_dataset_languages(ds);
    size_t segment = i * segments / SEQUENCES, n_prompt = 0, n = 0;
    const char *code = jm_dataset_language(ds, i % languages);
    const char *source = jm_dataset_source(ds, segment);
    const char *reference = jm_dataset_reference(ds, segment, code);
    const struct jm_language *to = jm_language_find(code);
    uint32_t *prompt = NULL, *answer = NULL;
    bool fits = reference && to &&
                jm_prompt_encode(m->tok, m->prompt, to, NULL, source, strlen(source), &prompt,
                                 &n_prompt, NULL) == JM_OK &&
                jm_tokenizer_encode(m->tok, reference, strlen(reference), false, &answer, &n,
                                    NULL) == JM_OK &&
                n < SLOTS && n_prompt <= CONTEXT - SLOTS;
    if (fits) {
        memcpy(out->id, prompt, n_prompt * sizeof *prompt);
        if (n > 0)
            memcpy(out->id + n_prompt, answer, n * sizeof *answer);
        out->n_prompt = (uint32_t)n_prompt;
        out->n = (uint32_t)(n_prompt + n);
    }
    free(prompt);
    free(answer);
    return fits;
}

/* Logits [*n, vocab] at the prompt's end and after each token of the answer. */
static jm_status run_text(const jm_mt_model *m, const struct text *t, float *logits, uint32_t *n,
                          jm_err *err)
{
    uint32_t slot[CONTEXT] = { 0 }, pos[CONTEXT], gather[SLOTS];
    *n = t->n - t->n_prompt + 1;
    for (uint32_t i = 0; i < t->n; i++)
        pos[i] = i;
    for (uint32_t i = 0; i < *n; i++)
        gather[i] = t->n_prompt - 1 + i;
    struct jm_batch b = {
        .n_rows = t->n, .token = t->id, .slot = slot, .pos = pos, .n_gather = *n, .gather = gather
    };
    jm_status st = m->ops->execute(m->plan, &b, err);
    if (st == JM_OK)
        st = m->ops->wait(m->plan, err);
    return st == JM_OK ? m->ops->fetch(m->plan, JM_HUNYUAN_LOGITS, 0, *n, logits, err) : st;
}

/* Keeps the reference's logits, or compares with them. */
static jm_status take(struct job *j, const float *logits, uint32_t n, bool keep, struct errors *e,
                      jm_err *err)
{
    size_t row = j->vocab;
    if (keep) {
        float *more = realloc(j->want, (j->positions + n) * row * sizeof *more);
        if (!more)
            return jm_fail(err, JM_ENOMEM, "logits: out of memory");
        memcpy(more + j->positions * row, logits, n * row * sizeof *more);
        j->want = more;
        j->positions += n;
    }
    for (uint32_t i = 0; i < n; i++)
        compare(e, j->want + (e->done + i) * row, logits + i * row, j->vocab);
    e->done += n;
    return JM_OK;
}

static jm_status all_logits(struct job *j, const jm_mt_model *m, bool keep, struct errors *e,
                            jm_err *err)
{
    jm_dataset *ds;
    jm_status st = jm_dataset_open(j->data, &ds, err);
    if (st != JM_OK)
        return st;
    j->vocab = m->params.vocab;
    float *logits = calloc((size_t)SLOTS * j->vocab, sizeof *logits);
    if (!logits || jm_dataset_languages(ds) == 0)
        st = jm_fail(err, JM_EUSAGE, "%s: no translations, or out of memory", j->data);
    for (size_t i = 0; i < SEQUENCES && st == JM_OK; i++) {
        struct text t;
        uint32_t n;
        if (!text_of(m, ds, i, &t))
            continue;
        st = run_text(m, &t, logits, &n, err);
        if (st == JM_OK)
            st = take(j, logits, n, keep, e, err);
    }
    free(logits);
    jm_dataset_close(ds);
    return st;
}

static jm_status measure_logits(struct job *j, jm_device *dev, jm_format kv, bool keep,
                                struct errors *e, jm_err *err)
{
    jm_mt_model m = { 0 };
    *e = (struct errors){ 0 };
    jm_status st = jm_mt_open(j->model, j->backend.ops, dev, &m, err);
    if (st != JM_OK)
        return st;
    st = jm_mt_compile(&m, SLOTS, CONTEXT, kv, err);
    if (st == JM_OK)
        st = all_logits(j, &m, keep, e, err);
    if (st == JM_OK && e->done == 0)
        st = jm_fail(err, JM_EINPUT, "%s: no text that fits the model", j->data);
    jm_mt_close(&m);
    return st;
}

static jm_status answer_all(const struct jm_workload_ops *ops, jm_workload *w,
                            struct jm_quality *out, jm_err *err)
{
    const struct jm_sut *sut = ops->sut(w);
    uint32_t n = sut->n_samples;
    struct jm_sink sink = { .timing = calloc(n, sizeof *sink.timing), .capacity = n };
    struct jm_sample *samples = calloc(n, sizeof *samples);
    jm_status st = sink.timing && samples ? sut->begin(sut->state, n, err)
                                          : jm_fail(err, JM_ENOMEM, "answers: out of memory");
    for (uint32_t i = 0; st == JM_OK && i < n; i++)
        samples[i] = (struct jm_sample){ .id = i, .index = i };
    if (st == JM_OK)
        st = sut->issue(sut->state, samples, n, err);
    while (st == JM_OK && sink.done < n)
        st = sut->step(sut->state, &sink, err);
    if (st == JM_OK)
        st = ops->score(w, NULL, n, out, err);
    free(sink.timing);
    free(samples);
    return st;
}

static jm_status measure_answers(const struct job *j, jm_device *dev, jm_format kv,
                                 struct jm_quality *out, jm_err *err)
{
    size_t n;
    const struct jm_workload_ops *const *all = jm_workloads(&n), *ops = NULL;
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i]->name, "translate") == 0)
            ops = all[i];
    struct jm_workload_config cfg = { .model_path = j->model,
                                      .data_path = j->data,
                                      .batch = BATCH,
                                      .kv_format = kv,
                                      .cfg = -1,
                                      .ops = j->backend.ops,
                                      .device = dev };
    jm_workload *w;
    if (!ops)
        return jm_fail(err, JM_ENOTFOUND, "the workload translate is not built in");
    jm_status st = ops->open(&cfg, &w, err);
    if (st != JM_OK)
        return st;
    st = answer_all(ops, w, out, err);
    ops->close(w);
    return st;
}

static jm_status print_row(struct job *j, const char *set, jm_format kv, bool first, jm_err *err)
{
    jm_device *dev;
    struct jm_device_options opt = { .isa = set };
    struct errors e;
    struct jm_quality q = { 0 };
    jm_status st = j->backend.ops->open(0, &opt, &dev, err);
    if (st != JM_OK)
        return st;
    st = measure_logits(j, dev, kv, first, &e, err);
    if (st == JM_OK && j->answers)
        st = measure_answers(j, dev, kv, &q, err);
    j->backend.ops->close(dev);
    if (st != JM_OK)
        return st;
    printf("| %s | %s | %.2g | %.2g%% | %zu of %zu |", set, jm_format_info(kv)->name, e.most,
           100 * sqrt(e.square / e.reference), e.flips, e.done);
    if (j->answers)
        printf(" %.3f |", q.value);
    printf("\n");
    fflush(stdout);
    return JM_OK;
}

/* Whether the list, if there is one, has the name. */
static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == 0))
            return true;
    }
    return !list;
}

static jm_status print_table(struct job *j, jm_err *err)
{
    static const jm_format kv[] = { JM_F16, JM_Q8_0 };
    struct jm_kernel_set set;
    printf("| set | keys, values | largest error | RMS error | other first choice |%s\n",
           j->answers ? " chrF2++ |" : "");
    printf("| --- | --- | --: | --: | --: |%s\n", j->answers ? " --: |" : "");
    jm_status st = print_row(j, "scalar", JM_F32, true, err);
    for (size_t i = 0; st == JM_OK && j->backend.ops->kernel_set(i, &set); i++) {
        if (!set.works || !listed(j->sets, set.name))
            continue;
        if (strcmp(set.name, "scalar") != 0)
            st = print_row(j, set.name, JM_F32, false, err);
        for (size_t k = 0; st == JM_OK && k < sizeof kv / sizeof kv[0]; k++)
            st = print_row(j, set.name, kv[k], false, err);
    }
    return st;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "sets", required_argument, NULL, 's' },
                                             { "no-answers", no_argument, NULL, 'n' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    struct job j = { .answers = true };
    jm_err err;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            j.sets = optarg;
        else if (c == 'n')
            j.answers = false;
        else
            return fputs(usage, c == 'h' ? stdout : stderr), c == 'h' ? 0 : JM_EXIT_USAGE;
    }
    if (argc - optind != 2)
        return fputs(usage, stderr), JM_EXIT_USAGE;
    j.model = argv[optind];
    j.data = argv[optind + 1];
    jm_status st = jm_backend_load("cpu", &j.backend, &err);
    if (st == JM_OK)
        st = print_table(&j, &err);
    if (st != JM_OK)
        fprintf(stderr, "bench_numerics: %s\n", err.text);
    free(j.want);
    jm_backend_unload(&j.backend);
    return jm_exit_code(st);
}
