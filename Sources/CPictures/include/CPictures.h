#ifndef UNTANGLE_PICTURES_H
#define UNTANGLE_PICTURES_H

#include <stddef.h>
#include <stdint.h>

/* Decoders of picture files that lie in memory. libjpeg and libpng report errors by longjmp, which Swift cannot take part in;
   here they become a status and a message.

   Each file has the size in its header, so a caller learns it first, decides whether it wants so much, and hands over the memory:
   rows of `width` RGB pixels, top to bottom. Nothing is kept between calls, and nothing outside of `rgb` is written.

   What the decoders take besides is bounded by the size: up to 6 bytes a pixel for a progressive JPEG, 8 for a lossless WebP,
   some rows otherwise. */

enum untangle_picture_status {
    untangle_picture_ok = 0,
    /* The file ends too early. */
    untangle_picture_truncated,
    /* The bytes break the rules of the format. */
    untangle_picture_damaged,
    /* The file is of a kind that the library does not decode. */
    untangle_picture_unsupported,
    /* There is no memory. */
    untangle_picture_no_memory
};

/* What a message takes at most, with its end. */
enum { untangle_picture_message_size = 256 };

/* Reads the size; `message` takes untangle_picture_message_size bytes and is set when the result is not 0. */
int untangle_jpeg_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message);
int untangle_png_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message);
int untangle_webp_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message);

/* Decodes into 3 * width * height bytes; the size is that of the file. On an error, `rgb` has any content. */
int untangle_jpeg_decode(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb, char *message);
int untangle_png_decode(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb, char *message);
int untangle_webp_decode(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb, char *message);

#endif
