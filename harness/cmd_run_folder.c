/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of a run. */
#include <csv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "harness/cmd_run_parts.h"
#include "harness/record/folder.h"

static const char *folder_lang(void *user, uint32_t index)
{
    const struct jm_run *r = user;
    const char *source, *lang;
    uint32_t chars;
    r->ops->sample(r->workload, index, &source, &chars, &lang);
    return lang;
}

static jm_status folder_answer(void *user, uint32_t id, const char **text, jm_err *err)
{
    struct jm_run *r = user;
    if (r->load.result.timings[id].done_ns == 0) {
        *text = "";
        return JM_OK;
    }
    return r->ops->answer(r->workload, id, text, err);
}

/* Answers that are not text, as answers/INDEX.suffix: of each data sample the first; equal ones
 * have equal hashes in samples.csv. */
static jm_status write_answers(struct jm_run *r, const char *dir, jm_err *err)
{
    uint32_t n = r->ops->sut(r->workload)->n_samples;
    bool *have = calloc(n, sizeof *have);
    char *folder = jm_asprintf("%s/answers", dir);
    jm_status st = have && folder ? jm_make_dirs(folder, err)
                                  : jm_fail(err, JM_ENOMEM, "record: out of memory");
    for (uint32_t i = 0; i < r->load.result.issued && st == JM_OK; i++) {
        const struct jm_timing *t = &r->load.result.timings[i];
        if (t->done_ns == 0 || have[t->index])
            continue;
        char *path = jm_asprintf("%s/%u%s", folder, t->index, r->ops->suffix);
        st = path ? r->ops->save(r->workload, i, path, err)
                  : jm_fail(err, JM_ENOMEM, "record: out of memory");
        have[t->index] = true;
        free(path);
    }
    free(have);
    free(folder);
    return st;
}

/* What the answers that are not text were asked for. */
static jm_status write_captions(struct jm_run *r, const char *dir, jm_err *err)
{
    jm_writer w;
    char *path = jm_asprintf("%s/captions.csv", dir);
    jm_status st =
        path ? jm_writer_open(path, &w, err) : jm_fail(err, JM_ENOMEM, "record: out of memory");
    free(path);
    if (st != JM_OK)
        return st;
    (void)fputs("index,lang,text\n", w.f);
    for (uint32_t i = 0; i < r->ops->sut(r->workload)->n_samples; i++) {
        const char *text, *lang;
        uint32_t chars;
        r->ops->sample(r->workload, i, &text, &chars, &lang);
        (void)fprintf(w.f, "%u,", i);
        (void)csv_fwrite(w.f, lang, strlen(lang));
        (void)fputc(',', w.f);
        (void)csv_fwrite(w.f, text, strlen(text));
        (void)fputc('\n', w.f);
    }
    return jm_writer_commit(&w, err);
}

jm_status jm_run_write_folder(struct jm_run *r, jm_err *err)
{
    char *dir = jm_asprintf("%s/%s/%s", r->place->results, r->place->suite, r->row->run_id);
    if (!dir)
        return jm_fail(err, JM_ENOMEM, "record: out of memory");
    /* Relative to the results file, so that both may move. */
    jm_record_text(r->row->record_dir, dir + strlen(r->place->results) + 1);
    struct jm_folder_source src = { .user = r, .lang = folder_lang, .answer = folder_answer };
    jm_status st = jm_make_dirs(dir, err);
    if (st == JM_OK && r->workload)
        st = jm_folder_samples(dir, r->load.result.timings, r->load.result.issued,
                               r->load.result.t_start_ns, &src, err);
    if (st == JM_OK && r->workload && r->ops->save)
        st = write_answers(r, dir, err);
    if (st == JM_OK && r->workload && r->ops->save)
        st = write_captions(r, dir, err);
    if (st == JM_OK)
        st = jm_load_write_peak(dir, &r->load.peak, err);
    if (st == JM_OK)
        st = jm_session_write(r->meters, dir, err);
    if (st == JM_OK)
        st = jm_folder_machine(dir, "", err);
    if (st == JM_OK)
        st = jm_folder_manifest(dir, r->row, r->c, err);
    if (st != JM_OK) { /* a part of it would look like a whole one */
        jm_folder_remove(dir);
        r->row->record_dir[0] = 0;
    }
    free(dir);
    return st;
}
