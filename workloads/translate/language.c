/* SPDX-License-Identifier: Apache-2.0 */
/* The table of languages, and finding one by what a person typed. */
#include "workloads/translate/language.h"

#include <string.h>
#include <strings.h>

#include "base/edit_distance.h"

static const struct jm_language languages[] = {
    { .code = "zh", .english = "Chinese", .chinese = "中文", .is_chinese = true },
    { .code = "en", .english = "English", .chinese = "英语" },
    { .code = "fr", .english = "French", .chinese = "法语" },
    { .code = "pt", .english = "Portuguese", .chinese = "葡萄牙语" },
    { .code = "es", .english = "Spanish", .chinese = "西班牙语" },
    { .code = "ja", .english = "Japanese", .chinese = "日语" },
    { .code = "tr", .english = "Turkish", .chinese = "土耳其语" },
    { .code = "ru", .english = "Russian", .chinese = "俄语" },
    { .code = "ar", .english = "Arabic", .chinese = "阿拉伯语" },
    { .code = "ko", .english = "Korean", .chinese = "韩语" },
    { .code = "th", .english = "Thai", .chinese = "泰语" },
    { .code = "it", .english = "Italian", .chinese = "意大利语" },
    { .code = "de", .english = "German", .chinese = "德语" },
    { .code = "vi", .english = "Vietnamese", .chinese = "越南语" },
    { .code = "ms", .english = "Malay", .chinese = "马来语" },
    { .code = "id", .english = "Indonesian", .chinese = "印尼语" },
    { .code = "tl", .english = "Filipino", .chinese = "菲律宾语" },
    { .code = "hi", .english = "Hindi", .chinese = "印地语" },
    { .code = "zh-Hant",
      .english = "Traditional Chinese",
      .chinese = "繁体中文",
      .is_chinese = true },
    { .code = "pl", .english = "Polish", .chinese = "波兰语" },
    { .code = "cs", .english = "Czech", .chinese = "捷克语" },
    { .code = "nl", .english = "Dutch", .chinese = "荷兰语" },
    { .code = "km", .english = "Khmer", .chinese = "高棉语" },
    { .code = "my", .english = "Burmese", .chinese = "缅甸语" },
    { .code = "fa", .english = "Persian", .chinese = "波斯语" },
    { .code = "gu", .english = "Gujarati", .chinese = "古吉拉特语" },
    { .code = "ur", .english = "Urdu", .chinese = "乌尔都语" },
    { .code = "te", .english = "Telugu", .chinese = "泰卢固语" },
    { .code = "mr", .english = "Marathi", .chinese = "马拉地语" },
    { .code = "he", .english = "Hebrew", .chinese = "希伯来语" },
    { .code = "bn", .english = "Bengali", .chinese = "孟加拉语" },
    { .code = "ta", .english = "Tamil", .chinese = "泰米尔语" },
    { .code = "uk", .english = "Ukrainian", .chinese = "乌克兰语" },
    { .code = "bo", .english = "Tibetan", .chinese = "藏语" },
    { .code = "kk", .english = "Kazakh", .chinese = "哈萨克语" },
    { .code = "mn", .english = "Mongolian", .chinese = "蒙古语" },
    { .code = "ug", .english = "Uyghur", .chinese = "维吾尔语" },
    { .code = "yue", .english = "Cantonese", .chinese = "粤语" },
};

enum { N_LANGUAGES = sizeof languages / sizeof *languages };
enum { MAX_TYPED = 32 }; /* longer words are near nothing */

const struct jm_language *jm_languages(size_t *n)
{
    *n = N_LANGUAGES;
    return languages;
}

const struct jm_language *jm_language_find(const char *code)
{
    for (size_t i = 0; i < N_LANGUAGES; i++)
        if (strcasecmp(languages[i].code, code) == 0)
            return &languages[i];
    return NULL;
}

const struct jm_language *jm_language_nearest(const char *typed)
{
    const struct jm_language *best = NULL;
    size_t n = strnlen(typed, MAX_TYPED + 1), least;

    if (n == 0 || n > MAX_TYPED)
        return NULL;
    least = n <= 3 ? 2 : n / 3 + 1; /* this many edits are already too many */
    for (size_t i = 0; i < N_LANGUAGES; i++) {
        size_t code = jm_edit_distance(typed, languages[i].code);
        size_t name = jm_edit_distance(typed, languages[i].english);
        size_t d = code < name ? code : name;
        if (strcmp(typed, languages[i].chinese) == 0)
            d = 0;
        if (d < least) {
            least = d;
            best = &languages[i];
        }
    }
    return best;
}

jm_status jm_language_get(const char *code, const struct jm_language **out, jm_err *err)
{
    const struct jm_language *near;

    *out = jm_language_find(code);
    if (*out)
        return JM_OK;
    near = jm_language_nearest(code);
    if (near)
        return jm_fail(err, JM_ENOTFOUND, "no language \"%.40s\"; did you mean %s (%s)?", code,
                       near->code, near->english);
    return jm_fail(err, JM_ENOTFOUND, "no language \"%.40s\"; use a code such as de, fr or zh",
                   code);
}
