#include "failure.h"

#include <jpeglib.h>
#include <jerror.h>

/* JPEG by libjpeg-turbo, with the settings that Pillow uses: the accurate integer transform, and smooth upsampling of colour. */

struct decoder {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    struct failure failure;
};

static struct decoder *decoder_of(j_common_ptr info) { return info->client_data; }

static void fail(j_common_ptr info) {
    struct decoder *decoder = decoder_of(info);
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    switch (info->err->msg_code) {
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY: decoder->failure.status = untangle_picture_truncated; break;
    case JERR_OUT_OF_MEMORY: decoder->failure.status = untangle_picture_no_memory; break;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_NOTIMPL:
    case JERR_SOF_UNSUPPORTED: decoder->failure.status = untangle_picture_unsupported; break;
    default: decoder->failure.status = untangle_picture_damaged;
    }
    note(decoder->failure.message, decoder->failure.status, text);
    longjmp(decoder->failure.place, 1);
}

/* libjpeg goes on where data are corrupt, and shows grey or torn rows; here that is an error. What cameras and editors leave
   behind without harm to the picture is none: bytes before a marker, versions and flags that are not known. */
static void warn(j_common_ptr info, int level) {
    if (level >= 0) return;
    switch (info->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_TOO_MUCH_DATA: return;
    default: fail(info);
    }
}

static void say_nothing(j_common_ptr info) { (void)info; }

/* Scans of a progressive file cost time and may be tiny: a small file with thousands of them would take hours. */
static void limit_scans(j_common_ptr info) {
    enum { most = 500 };
    if (((j_decompress_ptr)info)->input_scan_number <= most) return;
    struct decoder *decoder = decoder_of(info);
    decoder->failure.status = note(
        decoder->failure.message, untangle_picture_damaged, "the JPEG has more than 500 scans");
    longjmp(decoder->failure.place, 1);
}

static void do_nothing(j_decompress_ptr info) { (void)info; }

static boolean at_end(j_decompress_ptr info) {
    ERREXIT(info, JERR_INPUT_EOF);
    return FALSE;
}

static void skip(j_decompress_ptr info, long count) {
    if (count <= 0) return;
    if ((size_t)count > info->src->bytes_in_buffer) ERREXIT(info, JERR_INPUT_EOF);
    info->src->next_input_byte += count;
    info->src->bytes_in_buffer -= (size_t)count;
}

/* Reads up to the first scan. The caller has called setjmp; the order is such that errors find all that they need. */
static void open_file(struct decoder *decoder, const uint8_t *bytes, size_t count) {
    j_decompress_ptr info = &decoder->info;
    jpeg_create_decompress(info);
    decoder->source.next_input_byte = bytes;
    decoder->source.bytes_in_buffer = count;
    decoder->source.init_source = do_nothing;
    decoder->source.fill_input_buffer = at_end;
    decoder->source.skip_input_data = skip;
    decoder->source.resync_to_restart = jpeg_resync_to_restart;
    decoder->source.term_source = do_nothing;
    info->src = &decoder->source;
    decoder->progress.progress_monitor = limit_scans;
    info->progress = &decoder->progress;
    jpeg_read_header(info, TRUE);
}

static void prepare(struct decoder *decoder, char *message) {
    decoder->failure.message = message;
    decoder->failure.status = untangle_picture_ok;
    decoder->info.err = jpeg_std_error(&decoder->errors);
    decoder->errors.error_exit = fail;
    decoder->errors.emit_message = warn;
    decoder->errors.output_message = say_nothing;
    decoder->info.client_data = decoder;
}

int untangle_jpeg_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message) {
    struct decoder decoder = {0};
    prepare(&decoder, message);
    if (setjmp(decoder.failure.place) == 0) {
        open_file(&decoder, bytes, count);
        *width = decoder.info.image_width;
        *height = decoder.info.image_height;
    }
    jpeg_destroy_decompress(&decoder.info);
    return decoder.failure.status;
}

/* a * b / 255, rounded. */
static inline unsigned share(unsigned a, unsigned b) {
    unsigned product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

/* Ink as Adobe writes it, 255 for none, to light without a colour profile. */
static void to_light(const uint8_t *restrict ink, uint8_t *restrict rgb, uint32_t width) {
    for (uint32_t x = 0; x < width; x++) {
        unsigned white = ink[4 * x + 3];
        for (int c = 0; c < 3; c++) {
            rgb[3 * x + c] = (uint8_t)(white - share(255u - ink[4 * x + c], white));
        }
    }
}

static void read_rows(struct decoder *decoder, uint32_t width, uint8_t *rgb) {
    j_decompress_ptr info = &decoder->info;
    jpeg_start_decompress(info);
    size_t stride = 3 * (size_t)width;
    JSAMPARRAY ink = NULL;
    if (info->out_color_space == JCS_CMYK) {
        ink = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, 4 * width, 1);
    }
    while (info->output_scanline < info->output_height) {
        uint8_t *row = rgb + stride * info->output_scanline;
        if (ink) {
            if (jpeg_read_scanlines(info, ink, 1) == 1) to_light(ink[0], row, width);
        } else {
            jpeg_read_scanlines(info, &row, 1);
        }
    }
    jpeg_finish_decompress(info);
}

int untangle_jpeg_decode(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb, char *message) {
    struct decoder decoder = {0};
    prepare(&decoder, message);
    if (setjmp(decoder.failure.place) == 0) {
        open_file(&decoder, bytes, count);
        int colours = decoder.info.num_components;
        if (decoder.info.image_width != width || decoder.info.image_height != height) {
            decoder.failure.status = note(message, untangle_picture_damaged, "the size changed while the JPEG was read");
        } else if (colours != 1 && colours != 3 && colours != 4) {
            decoder.failure.status = untangle_picture_unsupported;
            snprintf(message, untangle_picture_message_size, "the JPEG has %d channels; 1, 3 and 4 are supported", colours);
        } else {
            decoder.info.out_color_space = colours == 4 ? JCS_CMYK : JCS_RGB;
            decoder.info.dct_method = JDCT_ISLOW;
            read_rows(&decoder, width, rgb);
        }
    }
    jpeg_destroy_decompress(&decoder.info);
    return decoder.failure.status;
}
