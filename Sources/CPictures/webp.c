#include "failure.h"

#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

/* WebP by libwebp: the first frame, on a black canvas where it does not cover it. */

static WebPDemuxer *open_file(const uint8_t *bytes, size_t count, int *status, char *message) {
    WebPData data = {bytes, count};
    WebPDemuxState state;
    WebPDemuxer *file = WebPDemuxPartial(&data, &state);
    if (file && state == WEBP_DEMUX_DONE) return file;
    WebPDemuxDelete(file);
    *status = state == WEBP_DEMUX_PARSE_ERROR
        ? note(message, untangle_picture_damaged, "the parts of the WebP file contradict each other")
        : note(message, untangle_picture_truncated, "the WebP file ends too early");
    return NULL;
}

int untangle_webp_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height, char *message) {
    int status = untangle_picture_ok;
    WebPDemuxer *file = open_file(bytes, count, &status, message);
    if (!file) return status;
    *width = WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH);
    *height = WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT);
    WebPDemuxDelete(file);
    return status;
}

static int decode_frame(const WebPIterator *frame, uint32_t width, uint32_t height, uint8_t *rgb, char *message) {
    size_t stride = 3 * (size_t)width;
    if (frame->x_offset < 0 || frame->y_offset < 0 || frame->width <= 0 || frame->height <= 0
        || (int64_t)frame->x_offset + frame->width > width || (int64_t)frame->y_offset + frame->height > height) {
        return note(message, untangle_picture_damaged, "the first frame of the WebP file lies outside of its canvas");
    }
    if ((uint32_t)frame->width != width || (uint32_t)frame->height != height) memset(rgb, 0, stride * height);
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) {
        return note(message, untangle_picture_unsupported, "libwebp is not the one that this tool was built with");
    }
    size_t start = stride * (size_t)frame->y_offset + 3 * (size_t)frame->x_offset;
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = rgb + start;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = stride * height - start;
    VP8StatusCode code = WebPGetFeatures(frame->fragment.bytes, frame->fragment.size, &config.input);
    if (code == VP8_STATUS_OK && (config.input.width != frame->width || config.input.height != frame->height)) {
        return note(message, untangle_picture_damaged, "the first frame of the WebP file has two sizes");
    }
    if (code == VP8_STATUS_OK) code = WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
    WebPFreeDecBuffer(&config.output);
    switch (code) {
    case VP8_STATUS_OK: return untangle_picture_ok;
    case VP8_STATUS_OUT_OF_MEMORY: return note(message, untangle_picture_no_memory, "no memory for the decoder");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return note(message, untangle_picture_unsupported, "libwebp does not decode this kind of WebP");
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return note(message, untangle_picture_truncated, "the data of the WebP picture end too early");
    default: return note(message, untangle_picture_damaged, "the data of the WebP picture are corrupt");
    }
}

int untangle_webp_decode(const uint8_t *bytes, size_t count, uint32_t width, uint32_t height, uint8_t *rgb, char *message) {
    int status = untangle_picture_ok;
    WebPDemuxer *file = open_file(bytes, count, &status, message);
    if (!file) return status;
    WebPIterator frame;
    /* Rows are numbered in an int by libwebp. */
    if (width == 0 || height == 0 || 3 * (uint64_t)width > INT32_MAX) {
        status = note(message, untangle_picture_damaged, "the WebP file has a canvas of no size");
    } else if (WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH) != width
               || WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT) != height) {
        status = note(message, untangle_picture_damaged, "the size changed while the WebP file was read");
    } else if (!WebPDemuxGetFrame(file, 1, &frame)) {
        status = note(message, untangle_picture_damaged, "the WebP file has no picture");
    } else {
        status = decode_frame(&frame, width, height, rgb, message);
        WebPDemuxReleaseIterator(&frame);
    }
    WebPDemuxDelete(file);
    return status;
}
