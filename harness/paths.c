/* SPDX-License-Identifier: Apache-2.0 */
/* See paths.h. */
#include "harness/paths.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

char *jm_share_dir(const char *folder)
{
    const char *env = getenv("JM_SHARE");
    if (env && *env)
        return jm_asprintf("%s/%s", env, folder);
    char *share = jm_beside_program("share/joulemark");
    char *dir = share ? jm_asprintf("%s/%s", share, folder) : NULL;
    free(share);
    return dir;
}

static jm_status find(const char *name, const char *folder, const char *suffix, char **out,
                      jm_err *err)
{
    char *share = jm_share_dir(folder);
    char *tries[] = { strdup(name), share ? jm_asprintf("%s/%s", share, name) : NULL,
                      jm_asprintf("%s%s", name, suffix),
                      share ? jm_asprintf("%s/%s%s", share, name, suffix) : NULL };
    *out = NULL;
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        if (!*out && tries[i] && access(tries[i], F_OK) == 0)
            *out = tries[i];
        else
            free(tries[i]);
    }
    jm_status st = *out ? JM_OK
                        : jm_fail(err, JM_ENOTFOUND,
                                  "%s: no such file, neither here nor in %s; "
                                  "'joulemark list' shows the bundled ones",
                                  name, share ? share : folder);
    free(share);
    return st;
}

jm_status jm_find_file(const char *name, const char *suffix, char **out, jm_err *err)
{
    return find(name, "data", suffix, out, err);
}

jm_status jm_find_suite(const char *name, char **out, jm_err *err)
{
    return find(name, "suites", ".ini", out, err);
}

static const char *const results_dir[JM_RESULTS_DIRS] = { [JM_RESULTS_MODELS] = "models",
                                                          [JM_RESULTS_PLOTS] = "plots",
                                                          [JM_RESULTS_REFERENCES] = "references",
                                                          [JM_RESULTS_ROOFLINE] = "roofline" };

char *jm_results_dir(const char *results, enum jm_results_dir which)
{
    return jm_asprintf("%s/%s", results, results_dir[which]);
}

jm_status jm_suite_name(const char *file, char **out, jm_err *err)
{
    static const char suffix[] = ".ini";
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    size_t n = strlen(base), cut = sizeof suffix - 1;
    *out = strndup(base, n > cut && strcmp(base + n - cut, suffix) == 0 ? n - cut : n);
    if (!*out)
        return jm_fail(err, JM_ENOMEM, "out of memory");
    bool taken = **out == '.' || **out == '\0';
    for (size_t i = 0; i < JM_RESULTS_DIRS; i++)
        taken |= strcmp(*out, results_dir[i]) == 0;
    if (!taken)
        return JM_OK;
    free(*out);
    *out = NULL;
    return jm_fail(
        err, JM_EUSAGE,
        "%s: a suite's runs lie in a folder of its name, which may not be models, plots, "
        "references, roofline or begin with a dot; name the file otherwise",
        file);
}
