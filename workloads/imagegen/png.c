/* SPDX-License-Identifier: Apache-2.0 */
/* See png.h. libpng's simplified interface: no longjmp across our frames, and chunks that a
 * picture does not need are skipped unread. */
#include "workloads/imagegen/png.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

jm_status jm_png_write(const char *path, const jm_image *img, jm_err *err)
{
    png_image png = {
        .version = PNG_IMAGE_VERSION,
        .width = img->width,
        .height = img->height,
        .format = PNG_FORMAT_RGB,
    };
    jm_writer w;
    jm_status st = jm_writer_open(path, &w, err);
    if (st != JM_OK)
        return st;
    if (png_image_write_to_stdio(&png, w.f, 0, img->rgb, 0, NULL) == 0) {
        st = jm_fail(err, JM_EIO, "%s: cannot write the picture: %s", path, png.message);
        png_image_free(&png);
        jm_writer_abort(&w);
        return st;
    }
    return jm_writer_commit(&w, err);
}

jm_status jm_png_decode(const void *data, size_t bytes, const char *name, uint64_t max_pixels,
                        jm_image *out, jm_err *err)
{
    png_image png = { .version = PNG_IMAGE_VERSION };
    const png_color white = { .red = 255, .green = 255, .blue = 255 };
    *out = (jm_image){ 0 };
    if (png_image_begin_read_from_memory(&png, data, bytes) == 0) {
        jm_status st = jm_fail(err, JM_EINPUT, "%s: not a PNG picture: %s", name, png.message);
        png_image_free(&png);
        return st;
    }
    jm_status st = JM_OK;
    if ((uint64_t)png.width * png.height > max_pixels)
        st = jm_fail(err, JM_EINPUT, "%s: %ux%u pixels, more than the %llu allowed", name,
                     png.width, png.height, (unsigned long long)max_pixels);
    if (st == JM_OK)
        st = jm_image_new(png.width, png.height, out, err);
    png.format = PNG_FORMAT_RGB;
    if (st == JM_OK && png_image_finish_read(&png, &white, out->rgb, 0, NULL) == 0)
        st = jm_fail(err, JM_EINPUT, "%s: damaged PNG picture: %s", name, png.message);
    png_image_free(&png);
    if (st != JM_OK)
        jm_image_free(out);
    return st;
}

jm_status jm_png_read(const char *path, uint64_t max_pixels, jm_image *out, jm_err *err)
{
    jm_map map;
    *out = (jm_image){ 0 };
    jm_status st = jm_map_open(path, &map, err);
    if (st != JM_OK)
        return st;
    st = jm_png_decode(map.data, map.bytes, path, max_pixels, out, err);
    jm_map_close(&map);
    return st;
}
