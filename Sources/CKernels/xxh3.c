#include "wide.h"

/* XXH3-128 of more than 240 bytes, in parts; Checkpoints/BlockwiseHash.swift puts them together. */

enum { stripe = 64, block = 1024 };

typedef uint64_t Q __attribute__((vector_size(64), aligned(1), may_alias));

/* The secret of hashes without a seed, in words of 8 bytes. */
static const uint64_t secret[] = {
    0xBE4BA423396CFEB8, 0x1CAD21F72C81017C, 0xDB979083E96DD4DE, 0x1F67B3B7A4A44072, 0x78E5C0CC4EE679CB, 0x2172FFCC7DD05A82,
    0x8E2443F7744608B8, 0x4C263A81E69035E0, 0xCB00C391BB52283C, 0xA32E531B8B65D088, 0x4EF90DA297486471, 0xD8ACDEA946EF1938,
    0x3F349CE33F76FAA8, 0x1D4F0BC7C7BBDCF9, 0x3159B4CD4BE0518A, 0x647378D9C97E9FC8, 0xC3EBD33483ACC5EA, 0xEB6313FAFFA081C5,
    0x49DAF0B751DD0D17, 0x9E68D429265516D3, 0xFCA1477D58BE162B, 0xCE31D07AD1B8F88F, 0x280416958F3ACB45, 0x7E404BBBCAFBD7AF,
};

#define SECRET(offset) (*(const Q *)((const char *)secret + (offset)))

INLINE void add_stripe(const char *bytes, size_t offset, Q *sums) {
    Q data = *(const Q *)bytes, keyed = data ^ SECRET(offset);
    *sums += __builtin_shufflevector(data, data, 1, 0, 3, 2, 5, 4, 7, 6) + (keyed & 0xFFFFFFFF) * (keyed >> 32);
}

WIDE void untangle_xxh3_sum_blocks(const void *source, size_t count, void *sums) {
    const char *bytes = source;
    Q *target = sums;
    for (size_t b = 0; b < count; b++, bytes += block) {
        Q total = {0};
        for (size_t s = 0; s < block / stripe; s++) add_stripe(bytes + stripe * s, 8 * s, &total);
        target[b] = total;
    }
}

WIDE void untangle_xxh3_fold(const void *sums, size_t count, void *state) {
    const Q *added = sums;
    Q q = *(Q *)state;
    for (size_t b = 0; b < count; b++) {
        q += added[b];
        q = (q ^ q >> 47 ^ SECRET(sizeof secret - stripe)) * 0x9E3779B1;
    }
    *(Q *)state = q;
}

static uint64_t fold_pairs(const void *state, size_t offset, uint64_t sum) {
    Q q = *(const Q *)state ^ SECRET(offset);
    for (size_t i = 0; i < 8; i += 2) {
        unsigned __int128 product = (unsigned __int128)q[i] * q[i + 1];
        sum += (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    sum = (sum ^ sum >> 37) * 0x165667919E3779F9;
    return sum ^ sum >> 32;
}

void untangle_xxh3_finish(const void *state, const void *last, size_t length, void *halves) {
    const char *end = last, *bytes = end - ((length - 1) % block + 1);
    uint64_t *hash = halves;
    Q q = *(const Q *)state;
    for (size_t s = 0; bytes + stripe < end; s++, bytes += stripe) add_stripe(bytes, 8 * s, &q);
    add_stripe(end - stripe, sizeof secret - stripe - 7, &q);
    hash[0] = fold_pairs(&q, 11, length * 0x9E3779B185EBCA87);
    hash[1] = fold_pairs(&q, sizeof secret - stripe - 11, ~(length * 0xC2B2AE3D27D4EB4F));
}
