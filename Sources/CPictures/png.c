#include "failure.h"

#include <png.h>
#include <string.h>

/* PNG by libpng. Chunks that do not change pixels are passed over, so that nothing is inflated but the picture. */

struct decoder {
    const uint8_t *bytes;
    size_t count;
    struct failure failure;
    png_structp png;
    png_infop info;
};

static void fail(png_structp png, png_const_charp text) {
    struct decoder *decoder = png_get_error_ptr(png);
    if (!decoder->failure.status) {
        int is_memory = strcmp(text, "Out of memory") == 0 || strcmp(text, "out of memory") == 0;
        decoder->failure.status = is_memory ? untangle_picture_no_memory : untangle_picture_damaged;
    }
    note(decoder->failure.message, decoder->failure.status, text);
    longjmp(decoder->failure.place, 1);
}

static void say_nothing(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep target, size_t count) {
    struct decoder *decoder = png_get_io_ptr(png);
    if (count > decoder->count) {
        decoder->failure.status = untangle_picture_truncated;
        png_error(png, "the PNG ends too early");
    }
    memcpy(target, decoder->bytes, count);
    decoder->bytes += count;
    decoder->count -= count;
}

/* Reads up to the first row. The caller has called setjmp. */
static int open_file(struct decoder *decoder) {
    decoder->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, fail, say_nothing);
    if (decoder->png) decoder->info = png_create_info_struct(decoder->png);
    if (!decoder->info) {
        decoder->failure.status = note(decoder->failure.message, untangle_picture_no_memory, "no memory for a decoder");
        return 0;
    }
    png_set_read_fn(decoder->png, decoder, read_bytes);
    png_set_user_limits(decoder->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_keep_unknown_chunks(decoder->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(decoder->png, decoder->info);
    return 1;
}

static void close_file(struct decoder *decoder) {
    if (decoder->png) png_destroy_read_struct(&decoder->png, &decoder->info, NULL);
}

int untangle_png_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message) {
    struct decoder decoder = {.bytes = bytes, .count = count, .failure = {.message = message}};
    if (setjmp(decoder.failure.place) == 0 && open_file(&decoder)) {
        *width = png_get_image_width(decoder.png, decoder.info);
        *height = png_get_image_height(decoder.png, decoder.info);
    }
    close_file(&decoder);
    return decoder.failure.status;
}

/* Grey of 16 bits, high byte first, which lies in the first two thirds of a row: cut off above 255, as Pillow does it. From the
   last pixel to the first, no byte is overwritten that is still to be read. */
static void cut_off(uint8_t *row, uint32_t width) {
    for (size_t x = width; x-- > 0;) {
        uint8_t value = row[2 * x] ? 255 : row[2 * x + 1];
        row[3 * x] = row[3 * x + 1] = row[3 * x + 2] = value;
    }
}

static void read_rows(struct decoder *decoder, uint32_t width, uint32_t height, uint8_t *rgb) {
    png_structp png = decoder->png;
    int type = png_get_color_type(png, decoder->info);
    int is_wide_grey = type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, decoder->info) == 16;
    if (!is_wide_grey) {
        if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
        if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
        if (!(type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
        png_set_strip_16(png);
        png_set_strip_alpha(png);
    }
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, decoder->info);
    size_t stride = 3 * (size_t)width;
    if (png_get_rowbytes(png, decoder->info) != (is_wide_grey ? 2 * (size_t)width : stride)) {
        png_error(png, "rows of the PNG have another length than its header says");
    }
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < height; y++) png_read_row(png, rgb + stride * y, NULL);
    }
    png_read_end(png, NULL);
    if (is_wide_grey) {
        for (uint32_t y = 0; y < height; y++) cut_off(rgb + stride * y, width);
    }
}

int untangle_png_decode(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb, char *message) {
    struct decoder decoder = {.bytes = bytes, .count = count, .failure = {.message = message}};
    if (setjmp(decoder.failure.place) == 0 && open_file(&decoder)) {
        if (png_get_image_width(decoder.png, decoder.info) == width
            && png_get_image_height(decoder.png, decoder.info) == height) {
            read_rows(&decoder, width, height, rgb);
        } else {
            decoder.failure.status = note(message, untangle_picture_damaged, "the size changed while the PNG was read");
        }
    }
    close_file(&decoder);
    return decoder.failure.status;
}
