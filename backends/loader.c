/* SPDX-License-Identifier: Apache-2.0 */
/* See loader.h. */
#include "backends/loader.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

static const char prefix[] = "libjm_", suffix[] = ".so";

/* The search path, colon separated, malloc'd; NULL when it cannot be told. */
static char *search_path(void)
{
    const char *env = getenv("JM_BACKEND_PATH");
    if (env && *env)
        return strdup(env);
    return jm_beside_program("lib/joulemark");
}

static bool good_name(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > 64)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-')
            return false;
    }
    return true;
}

static const char *missing_hook(const struct jm_backend_ops *o)
{
    return !o->name          ? "name"
           : !o->count       ? "count"
           : !o->open        ? "open"
           : !o->close       ? "close"
           : !o->info        ? "info"
           : !o->supports    ? "supports"
           : !o->compile     ? "compile"
           : !o->plan_close  ? "plan_close"
           : !o->plan_memory ? "plan_memory"
           : !o->execute     ? "execute"
           : !o->wait        ? "wait"
           : !o->fetch       ? "fetch"
           : !o->profile != !o->profile_op || !o->profile != !o->profile_batches
               ? "profile, profile_batches, profile_op: all or none"
               : NULL;
}

/* Takes the handle over: closed on failure. */
static jm_status check_plugin(void *handle, const char *file, jm_backend *out, jm_err *err)
{
    union { /* ISO C has no cast from object to function pointer */
        void *object;
        const struct jm_backend_ops *(*entry)(void);
    } sym = { .object = dlsym(handle, "jm_backend_entry") };
    jm_status st;
    const struct jm_backend_ops *ops = sym.object ? sym.entry() : NULL;
    const char *hook;
    if (!ops) {
        st = jm_fail(err, JM_EUNSUPPORTED, "%s: not a joulemark backend (no jm_backend_entry)",
                     file);
    } else if (ops->abi != JM_BACKEND_ABI) {
        st =
            jm_fail(err, JM_EUNSUPPORTED,
                    "%s: made for backend interface %u, this joulemark has %u; rebuild the backend",
                    file, ops->abi, JM_BACKEND_ABI);
    } else if ((hook = missing_hook(ops)) != NULL) {
        st = jm_fail(err, JM_EUNSUPPORTED, "%s: the backend lacks the required hook '%s'", file,
                     hook);
    } else {
        *out = (jm_backend){ .ops = ops, .handle = handle };
        return JM_OK;
    }
    dlclose(handle);
    return st;
}

jm_status jm_backend_load(const char *name, jm_backend *out, jm_err *err)
{
    *out = (jm_backend){ 0 };
    if (!good_name(name))
        return jm_fail(err, JM_EUSAGE, "backend '%.64s': not a name", name);
    char *path = search_path(), *save = NULL;
    jm_status st = JM_ENOTFOUND;
    for (char *dir = path ? strtok_r(path, ":", &save) : NULL; dir && st == JM_ENOTFOUND;
         dir = strtok_r(NULL, ":", &save)) {
        char *file = jm_asprintf("%s/%s%s%s", dir, prefix, name, suffix);
        if (!file) {
            st = jm_fail(err, JM_ENOMEM, "backend '%s': out of memory", name);
        } else if (access(file, F_OK) == 0) {
            void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
            st = handle ? check_plugin(handle, file, out, err)
                        : jm_fail(err, JM_EUNSUPPORTED, "%s", dlerror());
        }
        free(file);
    }
    free(path);
    if (st == JM_ENOTFOUND)
        return jm_fail(err, st, "backend '%s' not found; 'joulemark list' shows those there are",
                       name);
    return st;
}

void jm_backend_unload(jm_backend *b)
{
    if (b && b->handle)
        dlclose(b->handle);
    if (b)
        *b = (jm_backend){ 0 };
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The name inside libjm_NAME.so, malloc'd; NULL for other files. */
static char *name_in(const char *file)
{
    size_t n = strlen(file), pre = sizeof prefix - 1, suf = sizeof suffix - 1;
    if (n <= pre + suf || strncmp(file, prefix, pre) != 0 || strcmp(file + n - suf, suffix) != 0)
        return NULL;
    char *s = strndup(file + pre, n - pre - suf);
    if (s && !good_name(s)) {
        free(s);
        s = NULL;
    }
    return s;
}

jm_status jm_backend_names(char ***names, size_t *n, jm_err *err)
{
    char *path = search_path(), *save = NULL;
    *names = NULL;
    *n = 0;
    jm_status st = JM_OK;
    for (char *dir = path ? strtok_r(path, ":", &save) : NULL; dir && st == JM_OK;
         dir = strtok_r(NULL, ":", &save)) {
        DIR *d = opendir(dir);
        for (struct dirent *e; d && st == JM_OK && (e = readdir(d)) != NULL;) {
            char *name = name_in(e->d_name);
            if (!name)
                continue;
            char **p = realloc(*names, (*n + 1) * sizeof *p);
            if (!p) {
                free(name);
                st = jm_fail(err, JM_ENOMEM, "list of backends: out of memory");
                break;
            }
            *names = p;
            p[(*n)++] = name;
        }
        if (d)
            closedir(d);
    }
    free(path);
    if (*n)
        qsort(*names, *n, sizeof **names, by_text);
    return st;
}

const struct jm_node *jm_backend_missing(const struct jm_backend_ops *ops, const jm_device *dev,
                                         const jm_graph *g)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        if (!ops->supports(dev, &g->nodes[i]))
            return &g->nodes[i];
    }
    return NULL;
}
