#include "wide.h"

#pragma STDC FP_CONTRACT OFF

/* A type narrower than F32, seen from there: numbers stand for the bits of magnitudes in F32, which order as the magnitudes do. */
typedef struct {
    int width;
    /* The bits of F32's mantissa that the type lacks. */
    int shift;
    uint32_t least_normal;
    /* The largest that rounds to zero: half the smallest number, a tie. */
    uint32_t vanishing;
    /* The smallest that is beyond the range, and the first after it that is no loss: an infinity that stays one, or NaN. */
    uint32_t overflow, harmless;
    /* In the type's own bits: what lies beyond the range, infinity or else NaN, and the smallest that is no number. */
    uint32_t special;
} narrow_type;

static const narrow_type bf16 = {16, 16, 0x00800000, 0x00008000, 0x7F7F8000, 0x7F800000, 0x7F80};
static const narrow_type f16 = {16, 13, 0x38800000, 0x33000000, 0x477FF000, 0x7F800000, 0x7C00};
/* 61,440 is the tie between the largest number and infinity. */
static const narrow_type f8_e5m2 = {8, 21, 0x38800000, 0x37000000, 0x47700000, 0x7F800000, 0x7C};
/* The tie above 448 is 464 and goes down, to the even one. There is one NaN of either sign, and no infinity to stay one. */
static const narrow_type f8_e4m3 = {8, 20, 0x3C800000, 0x3A800000, 0x43E80001, 0x7F800001, 0x7F};

/* Numbers below the normal ones are multiples of the smallest one. To round to them, a number is added that is so large that its
   last bit is worth as much; to widen them, they become the mantissa of the smallest normal number, which is then taken off.
   Processors are slow at multiplying F32's own subnormal numbers. BF16 has the exponents of F32, so that all its numbers round
   as normal ones do. */
INLINE uint32_t rounded(uint32_t magnitude, const narrow_type type) {
    uint32_t half = (1u << (type.shift - 1)) - 1 + ((magnitude >> type.shift) & 1);
    uint32_t normal = (magnitude - (type.least_normal - 0x00800000) + half) >> type.shift;
    if (type.least_normal == 0x00800000) return normal;
    uint32_t aligner = type.least_normal + ((uint32_t)type.shift << 23);
    uint32_t subnormal = bits_of(number_of(magnitude) + number_of(aligner)) - aligner;
    return magnitude < type.least_normal ? subnormal : normal;
}

/* The same for any magnitude. */
INLINE uint32_t rounded_or_special(uint32_t magnitude, const narrow_type type) {
    /* A payload whose upper bits are all zero would spell infinity. */
    uint32_t payload = (magnitude & 0x007FFFFF) >> type.shift;
    uint32_t nan = type.special | (payload ? payload : 0x00400000 >> type.shift);
    uint32_t number = magnitude >= type.overflow ? type.special : rounded(magnitude, type);
    return magnitude > 0x7F800000 ? nan : number;
}

INLINE uint32_t bits_at(const char *bytes) {
    uint32_t bits;
    memcpy(&bits, bytes, 4);
    return bits;
}

INLINE void round_block(const char *bytes, size_t count, int is_in_range, char *target, const narrow_type type,
                        untangle_cast_losses *losses) {
    uint32_t overflow = 0, underflow = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = bits_at(bytes + 4 * i), magnitude = bits & 0x7FFFFFFF;
        uint32_t number = is_in_range ? rounded(magnitude, type) : rounded_or_special(magnitude, type);
        number |= (bits & 0x80000000) >> (32 - type.width);
        if (type.width == 16) {
            uint16_t half = (uint16_t)number;
            memcpy(target + 2 * i, &half, 2);
        } else {
            target[i] = (char)number;
        }
        if (!is_in_range) overflow += magnitude - type.overflow < type.harmless - type.overflow;
        underflow += magnitude - 1 < type.vanishing;
    }
    losses->overflow += overflow;
    losses->underflow += underflow;
}

/* Block by block: a look at what is largest costs a tenth of what it saves. */
INLINE untangle_cast_losses round_numbers(const char *bytes, size_t count, char *target, const narrow_type type) {
    enum { block = 1024 };
    untangle_cast_losses losses = {0, 0};
    for (size_t start = 0; start < count; start += block) {
        size_t length = count - start < block ? count - start : block;
        const char *numbers = bytes + 4 * start;
        char *place = target + type.width / 8 * start;
        uint32_t largest = 0;
        for (size_t i = 0; i < length; i++) {
            uint32_t magnitude = bits_at(numbers + 4 * i) & 0x7FFFFFFF;
            largest = magnitude > largest ? magnitude : largest;
        }
        if (largest < type.overflow) {
            round_block(numbers, length, 1, place, type, &losses);
        } else {
            round_block(numbers, length, 0, place, type, &losses);
        }
    }
    return losses;
}

INLINE void widen_numbers(const char *bytes, size_t count, char *destination, const narrow_type type) {
    const uint32_t sign = 1u << (type.width - 1);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        if (type.width == 16) {
            uint16_t half;
            memcpy(&half, bytes + 2 * i, 2);
            bits = half;
        } else {
            bits = (uint8_t)bytes[i];
        }
        uint32_t magnitude = bits & (sign - 1);
        uint32_t moved = magnitude << type.shift;
        uint32_t subnormal = bits_of(number_of(moved + type.least_normal) - number_of(type.least_normal));
        uint32_t normal = moved + (type.least_normal - 0x00800000);
        uint32_t finite = moved < 0x00800000 ? subnormal : normal;
        uint32_t number = magnitude >= type.special ? moved | 0x7F800000 : finite;
        number |= (bits & sign) << (32 - type.width);
        memcpy(destination + 4 * i, &number, 4);
    }
}

WIDE untangle_cast_losses untangle_round_bf16(const void *source, size_t count, void *destination) {
    return round_numbers(source, count, destination, bf16);
}

WIDE untangle_cast_losses untangle_round_f16(const void *source, size_t count, void *destination) {
    return round_numbers(source, count, destination, f16);
}

WIDE untangle_cast_losses untangle_round_f8_e5m2(const void *source, size_t count, void *destination) {
    return round_numbers(source, count, destination, f8_e5m2);
}

WIDE untangle_cast_losses untangle_round_f8_e4m3(const void *source, size_t count, void *destination) {
    return round_numbers(source, count, destination, f8_e4m3);
}

WIDE void untangle_widen_f16(const void *source, size_t count, void *destination) {
    widen_numbers(source, count, destination, f16);
}

WIDE void untangle_widen_f8_e5m2(const void *source, size_t count, void *destination) {
    widen_numbers(source, count, destination, f8_e5m2);
}

WIDE void untangle_widen_f8_e4m3(const void *source, size_t count, void *destination) {
    widen_numbers(source, count, destination, f8_e4m3);
}
