/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict of a gate for people, for GitHub and for JUnit readers. Names come from files: each
 * format escapes what it would take for its own signs. */
#include <string.h>

#include "harness/compare/gate.h"

static const char *const word[] = { [JM_GATE_PASS] = "pass",
                                    [JM_GATE_SKIPPED] = "not judged",
                                    [JM_GATE_REGRESSION] = "REGRESSION",
                                    [JM_GATE_INCOMPARABLE] = "NOT COMPARABLE" };

void jm_gate_print(FILE *f, const struct jm_gate *g)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct jm_gate_check *c = &g->check[i];
        (void)fprintf(f, "%-14s  %s: %s: %s\n", word[c->outcome], c->setting, c->subject, c->text);
    }
    (void)fprintf(f, "gate: %s\n", word[g->outcome]);
}

/* GitHub's own escapes: percent and line ends, and in a property also colon and comma. */
static void print_github(FILE *f, const char *s, bool property)
{
    for (; *s; s++) {
        if (*s == '%' || *s == '\r' || *s == '\n' || (property && (*s == ':' || *s == ',')))
            (void)fprintf(f, "%%%02X", (unsigned)(unsigned char)*s);
        else
            (void)fputc(*s, f);
    }
}

void jm_gate_print_github(FILE *f, const struct jm_gate *g)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct jm_gate_check *c = &g->check[i];
        if (c->outcome == JM_GATE_PASS || c->outcome == JM_GATE_SKIPPED)
            continue;
        (void)fputs("::error title=joulemark gate%3A ", f);
        print_github(f, word[c->outcome], true);
        (void)fputs("::", f);
        print_github(f, c->setting, false);
        (void)fputs(": ", f);
        print_github(f, c->subject, false);
        (void)fputs(": ", f);
        print_github(f, c->text, false);
        (void)fputc('\n', f);
    }
}

/* Bytes outside ASCII are given as they are: the file is UTF-8 where its names are; what XML 1.0
 * has no place for, and what is not UTF-8, becomes a question mark. */
static void print_xml(FILE *f, const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : 0;
        if (*p >= 0xf0 && *p < 0xf5)
            n = 4;
        bool good = n > 0 && *p >= ' ' && *p != 127;
        for (size_t i = 1; good && i < n; i++)
            good = (p[i] & 0xc0) == 0x80;
        if (n == 3 && good) /* overlong, surrogates, U+FFFE and U+FFFF */
            good = !(p[0] == 0xe0 && p[1] < 0xa0) && !(p[0] == 0xed && p[1] > 0x9f) &&
                   !(p[0] == 0xef && p[1] == 0xbf && p[2] > 0xbd);
        if (n == 4 && good)
            good = !(p[0] == 0xf0 && p[1] < 0x90) && !(p[0] == 0xf4 && p[1] > 0x8f);
        if (!good || strchr("<>&\"'", *p)) {
            (void)fprintf(f, "&#%u;", good ? *p : (unsigned)'?');
            p++;
            continue;
        }
        (void)fwrite(p, 1, n, f);
        p += n;
    }
}

static size_t count(const struct jm_gate *g, enum jm_gate_outcome outcome)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        n += g->check[i].outcome == outcome;
    return n;
}

void jm_gate_print_junit(FILE *f, const struct jm_gate *g)
{
    static const char *const element[] = { [JM_GATE_SKIPPED] = "skipped",
                                           [JM_GATE_REGRESSION] = "failure",
                                           [JM_GATE_INCOMPARABLE] = "error" };
    (void)fprintf(f,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<testsuites><testsuite name=\"joulemark gate\" tests=\"%zu\" failures=\"%zu\" "
                  "errors=\"%zu\" skipped=\"%zu\">\n",
                  g->n, count(g, JM_GATE_REGRESSION), count(g, JM_GATE_INCOMPARABLE),
                  count(g, JM_GATE_SKIPPED));
    for (size_t i = 0; i < g->n; i++) {
        const struct jm_gate_check *c = &g->check[i];
        (void)fputs("<testcase classname=\"", f);
        print_xml(f, c->setting);
        (void)fputs("\" name=\"", f);
        print_xml(f, c->subject);
        (void)fputs("\">", f);
        if (c->outcome == JM_GATE_PASS) {
            (void)fputs("<system-out>", f);
            print_xml(f, c->text);
            (void)fputs("</system-out>", f);
        } else {
            (void)fprintf(f, "<%s message=\"", element[c->outcome]);
            print_xml(f, c->text);
            (void)fputs("\"/>", f);
        }
        (void)fputs("</testcase>\n", f);
    }
    (void)fputs("</testsuite></testsuites>\n", f);
}
