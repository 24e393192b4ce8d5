/* test_augment.c: what is drawn for samples, and images changed by it. */
#include "harness.h"

enum { SAMPLES = 40, HEIGHT = 7, WIDTH = 5 };

static const uint64_t step = 9;
static int64_t samples[SAMPLES];

static void number_samples(void) {
    for (int i = 0; i < SAMPLES; i++) samples[i] = 1000 + 3 * i;
}

static void require(int holds, const char *what) {
    if (holds) return;
    printf("%s, %d-byte floats, %d threads: %s\n", kernels->isa, real_bytes, ck_get_num_threads(),
           what);
    exit(1);
}

/* ---- drawing ------------------------------------------------------------------------------- */

/* A sample's numbers do not depend on where in the batch it is: those of the last half of the batch,
 * drawn as a batch of its own, are the same bytes. */
#define EXPECT_OF_SAMPLE(kernel, op, field, size)                                                  \
    do {                                                                                           \
        void *whole = (op).field;                                                                  \
        (op).field = allocate(SAMPLES / 2, size);                                                  \
        (op).n = SAMPLES / 2, (op).sample = samples + SAMPLES / 2;                                 \
        run(kernel, &(op));                                                                        \
        require(!memcmp((op).field, (char *)whole + SAMPLES / 2 * (size), SAMPLES / 2 * (size)),   \
                "a draw depends on the place in the batch");                                       \
        free((op).field);                                                                          \
        (op).field = whole, (op).n = SAMPLES, (op).sample = samples;                               \
    } while (0)

static void check_draw_uniform(void) {
    struct kept kept = {0};
    EACH_TEAM(threads) {
        struct ck_draw_uniform op = {.y = allocate(SAMPLES, sizeof(double)),
                                     .sample = samples,
                                     .step = &step,
                                     .n = SAMPLES,
                                     .seed = 5,
                                     .stream = 2,
                                     .low = -1,
                                     .high = 3};
        run(CK_draw_uniform, &op);
        const double *y = op.y;
        double sum = 0;
        for (int i = 0; i < SAMPLES; i++) {
            require(y[i] >= -1 && y[i] < 3, "draw_uniform leaves its range");
            require(i == 0 || y[i] != y[0], "draw_uniform repeats itself");
            sum += y[i];
        }
        /* The mean of 40 numbers from -1 to 3 is 1 with a deviation of 0.18. */
        require(fabs(sum / SAMPLES - 1) < 0.75, "draw_uniform is not uniform");
        expect_same("draw_uniform", &kept, op.y, SAMPLES * (ptrdiff_t)sizeof(double));
        EXPECT_OF_SAMPLE(CK_draw_uniform, op, y, sizeof(double));
        free(op.y);
    }
}

/* The cell of an image of `size` at i, which may lie outside: as enum ck_fill_mode draws it. */
static ptrdiff_t folded(ptrdiff_t i, ptrdiff_t size, ptrdiff_t mode) {
    while (i < 0 || i >= size) {
        if (mode == CK_FILL_CONSTANT) return -1;
        if (mode == CK_FILL_NEAREST) return i < 0 ? 0 : size - 1;
        if (mode == CK_FILL_WRAP)
            i += i < 0 ? size : -size;
        else if (mode == CK_FILL_REFLECT)
            i = i < 0 ? -1 - i : 2 * size - 1 - i;
        else
            i = size == 1 ? 0 : i < 0 ? -i : 2 * size - 2 - i;
    }
    return i;
}

static void check_axis(const int32_t *map, ptrdiff_t count, ptrdiff_t size, ptrdiff_t mode,
                       int may_turn, int *turned) {
    for (int turn = 0; turn <= may_turn; turn++)
        for (ptrdiff_t start = -2; start < 3; start++) {
            ptrdiff_t i = 0;
            while (i < count && map[i] == folded(start + (turn ? count - 1 - i : i), size, mode))
                i++;
            if (i == count) {
                turned[turn]++;
                return;
            }
        }
    require(0, "draw_map is no shift of the image");
}

static void check_draw_map(ptrdiff_t mode, ptrdiff_t flip) {
    const ptrdiff_t oh = HEIGHT + 2, ow = WIDTH - 1;
    struct kept kept = {0};
    EACH_TEAM(threads) {
        struct ck_draw_map op = {
            .map = allocate(SAMPLES * (oh + ow), sizeof(int32_t)),
            .sample = samples,
            .step = &step,
            .n = SAMPLES,
            .ih = HEIGHT,
            .iw = WIDTH,
            .oh = oh,
            .ow = ow,
            .seed = 5,
            .stream = 1,
            .flip = flip,
            .fill_mode = mode,
            .top_low = -2,
            .top_high = 3,
            .left_low = -2,
            .left_high = 3,
        };
        run(CK_draw_map, &op);
        int turned[2] = {0};
        for (ptrdiff_t i = 0; i < SAMPLES; i++) {
            const int32_t *map = (const int32_t *)op.map + i * (oh + ow);
            check_axis(map, oh, HEIGHT, mode, flip == 2, turned);
            check_axis(map + oh, ow, WIDTH, mode, flip == 1, turned);
        }
        if (flip && mode == CK_FILL_CONSTANT)
            require(turned[1] > 5 && turned[1] < SAMPLES - 5, "draw_map flips too few or too many");
        expect_same("draw_map", &kept, op.map, SAMPLES * (oh + ow) * (ptrdiff_t)sizeof(int32_t));
        EXPECT_OF_SAMPLE(CK_draw_map, op, map, (oh + ow) * (ptrdiff_t)sizeof(int32_t));
        free(op.map);
    }
}

static void check_draw_transform(void) {
    struct kept kept = {0};
    EACH_TEAM(threads) {
        struct ck_draw_transform op = {
            .transform = allocate(SAMPLES * 6, sizeof(double)),
            .sample = samples,
            .step = &step,
            .n = SAMPLES,
            .ih = HEIGHT,
            .iw = WIDTH,
            .oh = HEIGHT,
            .ow = WIDTH,
            .seed = 5,
            .zoom_h_low = 1,
            .zoom_h_high = 1,
            .same_zoom = 1,
            .shift_h_low = 2,
            .shift_h_high = 2,
        };
        run(CK_draw_transform, &op);
        const double shifted[6] = {1, 0, -2, 0, 1, 0};
        for (int i = 0; i < SAMPLES * 6; i++)
            require(((double *)op.transform)[i] == shifted[i % 6],
                    "draw_transform is not the one that was asked for");
        op.angle_low = -1, op.angle_high = 1, op.zoom_h_low = 0.5, op.zoom_h_high = 2;
        run(CK_draw_transform, &op);
        for (int i = 0; i < SAMPLES; i++) {
            const double *t = (double *)op.transform + 6 * i;
            const double zoom = sqrt(t[0] * t[0] + t[1] * t[1]), r = HEIGHT / 2, q = WIDTH / 2;
            require(zoom >= 0.5 && zoom < 2 && t[0] / zoom > 0.54, "draw_transform out of range");
            require(fabs(t[3] + t[1]) < 1e-15 && fabs(t[4] - t[0]) < 1e-15, "no rotation");
            /* The centre is shifted, nothing else. */
            require(fabs(t[0] * r + t[1] * q + t[2] - (r - 2)) < 1e-12 &&
                        fabs(t[3] * r + t[4] * q + t[5] - q) < 1e-12,
                    "draw_transform turns about another point");
        }
        expect_same("draw_transform", &kept, op.transform, SAMPLES * 6 * (ptrdiff_t)sizeof(double));
        EXPECT_OF_SAMPLE(CK_draw_transform, op, transform, 6 * (ptrdiff_t)sizeof(double));
        free(op.transform);
    }
}

static void check_draw_erase(ptrdiff_t size) {
    struct kept kept = {0};
    EACH_TEAM(threads) {
        struct ck_draw_erase op = {.box = allocate(SAMPLES * 4, sizeof(int32_t)),
                                   .sample = samples,
                                   .step = &step,
                                   .n = SAMPLES,
                                   .h = HEIGHT,
                                   .w = WIDTH,
                                   .seed = 5,
                                   .size = size,
                                   .factor_low = 0.5,
                                   .factor_high = 0.5,
                                   .scale_low = 0.1,
                                   .scale_high = 0.4};
        run(CK_draw_erase, &op);
        int none = 0;
        for (int i = 0; i < SAMPLES; i++) {
            const int32_t *box = (int32_t *)op.box + 4 * i;
            require(box[0] >= 0 && box[0] <= box[1] && box[1] <= HEIGHT && box[2] >= 0 &&
                        box[2] <= box[3] && box[3] <= WIDTH,
                    "draw_erase leaves the image");
            if (size > 0)
                require(box[1] > box[0] && box[1] - box[0] <= size && box[3] > box[2] &&
                            box[3] - box[2] <= size,
                        "draw_erase's square has another size");
            none += box[1] == box[0];
        }
        require(size > 0 ? none == 0 : none > 8 && none < 32, "draw_erase erases too often");
        expect_same("draw_erase", &kept, op.box, SAMPLES * 4 * (ptrdiff_t)sizeof(int32_t));
        EXPECT_OF_SAMPLE(CK_draw_erase, op, box, 4 * (ptrdiff_t)sizeof(int32_t));
        free(op.box);
    }
}

static void check_draw_mix(double alpha, int boxes) {
    struct kept kept = {0};
    EACH_TEAM(threads) {
        struct ck_draw_mix op = {
            .partner = allocate(SAMPLES, sizeof(int64_t)),
            .weight = unwritten(SAMPLES),
            .box = boxes ? allocate(SAMPLES * 4, sizeof(int32_t)) : NULL,
            .sample = samples,
            .step = &step,
            .n = SAMPLES,
            .h = HEIGHT,
            .w = WIDTH,
            .seed = 5,
            .alpha_low = alpha,
            .alpha_high = alpha,
        };
        run(CK_draw_mix, &op);
        const int64_t *partner = op.partner;
        double sum = 0;
        for (int i = 0; i < SAMPLES; i++) {
            require(partner[i] == (partner[0] + i) % SAMPLES && partner[0] > 0,
                    "draw_mix: partners are no turn of the batch");
            const double weight = get(op.weight, i);
            require(weight >= 0 && weight <= 1, "draw_mix: a weight is no share");
            sum += weight;
            if (!boxes) continue;
            const int32_t *box = (int32_t *)op.box + 4 * i;
            const double area = (double)((box[1] - box[0]) * (box[3] - box[2]));
            require(fabs(weight - (1 - area / (HEIGHT * WIDTH))) < 1e-6,
                    "draw_mix: a weight is not what is outside of the box");
        }
        require(fabs(sum / SAMPLES - 0.5) < 0.3,
                "draw_mix: weights are not from that distribution");
        expect_same("draw_mix", &kept, op.weight, SAMPLES * real_bytes);
        free(op.partner), free(op.weight), free(op.box);
    }
}

/* ---- changing images ----------------------------------------------------------------------- */

/* Rows backwards with one outside, columns moved, from bytes; rescaled, then normalized. */
static void check_gather_images(ptrdiff_t c, ptrdiff_t fill_stage) {
    enum { N = 3, X_ROWS = 5 };
    const ptrdiff_t oh = HEIGHT + 1, ow = WIDTH, cells = HEIGHT * WIDTH * c;
    const ptrdiff_t count = N * oh * ow * c;
    const int64_t index[N] = {4, 0, 2};
    unsigned char *x = allocate(X_ROWS * cells, 1);
    for (ptrdiff_t i = 0; i < X_ROWS * cells; i++) x[i] = (unsigned char)(i * 7);
    int32_t *map = allocate(N * (oh + ow), sizeof *map);
    for (int i = 0; i < N; i++) {
        for (ptrdiff_t r = 0; r < oh; r++) map[i * (oh + ow) + r] = (int32_t)(HEIGHT - 1 - r);
        for (ptrdiff_t q = 0; q < ow; q++) {
            const ptrdiff_t from = i == 0 ? q + 1 : i == 1 ? ow - 1 - q : q;
            map[i * (oh + ow) + oh + q] = (int32_t)(from < WIDTH ? from : -1);
        }
    }
    void *mean = fractions(c, 141), *variance = allocate(c, real_bytes);
    for (ptrdiff_t k = 0; k < c; k++) set(variance, k, 0.25 * (double)(k + 1));
    double *y = zeros(count);
    for (ptrdiff_t at = 0; at < count; at++) {
        const ptrdiff_t k = at % c, q = at / c % ow, r = at / c / ow % oh, i = at / c / ow / oh;
        const int32_t *own = map + i * (oh + ow);
        const int outside = own[r] < 0 || own[oh + q] < 0;
        const double scale = 1 / sqrt(get(variance, k) + 1e-3);
        double value = 3;
        if (!outside) value = x[index[i] * cells + (own[r] * WIDTH + own[oh + q]) * c + k];
        if (!outside || fill_stage == 0) value = value * 0.5 - 1;
        if (!outside || fill_stage <= 1) value = (value - get(mean, k)) * scale;
        y[at] = value;
    }
    EACH_TEAM(threads) {
        struct ck_gather_images op = {
            .y = unwritten(count),
            .x = x,
            .index = index,
            .map = map,
            .mean = mean,
            .variance = variance,
            .n = N,
            .ih = HEIGHT,
            .iw = WIDTH,
            .c = c,
            .oh = oh,
            .ow = ow,
            .source_type = CK_U8,
            .x_rows = X_ROWS,
            .rescale = 1,
            .fill_stage = fill_stage,
            .fill = 3,
            .scale = 0.5,
            .offset = -1,
            .epsilon = 1e-3,
        };
        run(CK_gather_images, &op);
        expect_near("gather_images", op.y, y, count, 1e-4);
        free(op.y);
    }
    free(x), free(map), free(mean), free(variance), free(y);
}

static double pixel(const void *x, ptrdiff_t image, ptrdiff_t r, ptrdiff_t q, ptrdiff_t c,
                    ptrdiff_t k, ptrdiff_t mode) {
    const ptrdiff_t h = folded(r, HEIGHT, mode), w = folded(q, WIDTH, mode);
    return h < 0 || w < 0 ? 2.5 : get(x, ((image * HEIGHT + h) * WIDTH + w) * c + k);
}

static void check_warp(ptrdiff_t c, ptrdiff_t mode, int bilinear) {
    enum { N = 2 };
    const ptrdiff_t oh = HEIGHT - 2, ow = WIDTH + 3, count = N * oh * ow * c;
    void *x = fractions(N * HEIGHT * WIDTH * c, 142);
    /* Quarters, which are exact: no cell is chosen by a rounding. */
    const double transform[N][6] = {{1, 0, -2, 0, 1, 3}, {0.75, 0.5, -1.125, -0.5, 0.75, 2.375}};
    double *y = zeros(count);
    for (ptrdiff_t at = 0; at < count; at++) {
        const ptrdiff_t k = at % c, q = at / c % ow, r = at / c / ow % oh, i = at / c / ow / oh;
        const double *t = transform[i];
        const double down = t[0] * (double)r + t[1] * (double)q + t[2];
        const double right = t[3] * (double)r + t[4] * (double)q + t[5];
        if (!bilinear) {
            y[at] = pixel(x, i, (ptrdiff_t)floor(down + 0.5), (ptrdiff_t)floor(right + 0.5), c, k,
                          mode);
            continue;
        }
        for (int j = 0; j < 4; j++) {
            const double low_r = floor(down), low_q = floor(right);
            const double part = (j / 2 ? down - low_r : 1 - down + low_r) *
                                (j % 2 ? right - low_q : 1 - right + low_q);
            y[at] +=
                part * pixel(x, i, (ptrdiff_t)low_r + j / 2, (ptrdiff_t)low_q + j % 2, c, k, mode);
        }
    }
    EACH_TEAM(threads) {
        struct ck_warp op = {unwritten(count), x,    transform, N, HEIGHT, WIDTH, c, oh, ow,
                             bilinear,         mode, 2.5};
        run(CK_warp, &op);
        expect_near("warp", op.y, y, count, bilinear ? 1e-5 : 0);
        free(op.y);
    }
    free(x), free(y);
}

static void check_adjust(ptrdiff_t c, int contrast) {
    enum { N = 3 };
    const ptrdiff_t pixels = HEIGHT * WIDTH, count = N * pixels * c;
    void *x = fractions(count, 143);
    const double factor[N] = {0.5, -0.25, 2};
    double *mean = zeros(N * c), *y = zeros(count);
    for (ptrdiff_t i = 0; i < count; i++)
        mean[i / c / pixels * c + i % c] += get(x, i) / (double)pixels;
    for (ptrdiff_t i = 0; i < count; i++) {
        const double m = mean[i / c / pixels * c + i % c], f = factor[i / c / pixels];
        const double value = contrast ? (get(x, i) - m) * f + m : get(x, i) + f;
        y[i] = fmax(-3, fmin(3, value));
    }
    EACH_TEAM(threads) {
        struct ck_adjust op = {copy_of(x, count), NULL, factor, N, pixels, c, contrast, -3, 3};
        op.x = op.y; /* in place */
        run(CK_adjust, &op);
        expect_near("adjust", op.y, y, count, 2e-6);
        free(op.y);
    }
    free(x), free(mean), free(y);
}

/* With a given box, the fill of each channel, or noise that is the same for any team. */
static void check_erase_and_mix(ptrdiff_t c) {
    enum { N = 3 };
    const ptrdiff_t count = N * HEIGHT * WIDTH * c, cells = HEIGHT * WIDTH * c;
    const int32_t box[N][4] = {{0, 3, 1, 4}, {0, 0, 0, 0}, {5, HEIGHT, 0, WIDTH}};
    const int64_t partner[N] = {2, 0, 1};
    void *x = fractions(count, 144), *fill = fractions(c, 145), *weight = allocate(N, real_bytes);
    double *erased = zeros(count), *pasted = zeros(count), *blended = zeros(count);
    char *inside = allocate(count, 1);
    for (int i = 0; i < N; i++) set(weight, i, 0.25 * (i + 1));
    for (ptrdiff_t at = 0; at < count; at++) {
        const ptrdiff_t q = at / c % WIDTH, r = at / c / WIDTH % HEIGHT, i = at / cells;
        const double other = get(x, partner[i] * cells + at % cells), keep = get(weight, i);
        inside[at] = r >= box[i][0] && r < box[i][1] && q >= box[i][2] && q < box[i][3];
        erased[at] = inside[at] ? get(fill, at % c) : get(x, at);
        pasted[at] = inside[at] ? other : get(x, at);
        blended[at] = keep * get(x, at) + (1 - keep) * other;
    }
    struct kept kept = {0};
    EACH_TEAM(threads) {
        struct ck_erase op = {unwritten(count), x,     box, fill, samples, &step, N,
                              HEIGHT,           WIDTH, c,   5,    1,       -2,    2};
        run(CK_erase, &op);
        expect("erase", op.y, erased, count);
        op.fill = NULL;
        run(CK_erase, &op);
        for (ptrdiff_t at = 0; at < count; at++)
            require(inside[at] ? fabs(get(op.y, at)) <= 2 : get(op.y, at) == get(x, at),
                    "erase: noise is where it should not be, or too large");
        expect_same("erase", &kept, op.y, count * real_bytes);
        struct ck_mix mix = {op.y, x, partner, weight, box, N, HEIGHT, WIDTH, c};
        run(CK_mix, &mix);
        expect("mix of boxes", mix.y, pasted, count);
        mix.box = NULL;
        run(CK_mix, &mix);
        expect_near("mix", mix.y, blended, count, 2e-6);
        free(op.y);
    }
    free(x), free(fill), free(weight), free(erased), free(pasted), free(blended), free(inside);
}

void test_augment(void) {
    number_samples();
    check_draw_uniform();
    check_draw_transform();
    check_draw_erase(0);
    check_draw_erase(3);
    for (int boxes = 0; boxes < 2; boxes++) {
        check_draw_mix(0.2, boxes);
        check_draw_mix(3, boxes);
    }
    for (ptrdiff_t mode = CK_FILL_CONSTANT; mode <= CK_FILL_WRAP; mode++)
        for (ptrdiff_t flip = 0; flip < 3; flip++) check_draw_map(mode, flip);
    static const ptrdiff_t channels[] = {1, 2, 3, 7, 8, 17, 33};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        const ptrdiff_t c = channels[i];
        for (ptrdiff_t stage = 0; stage < 3; stage++) check_gather_images(c, stage);
        for (ptrdiff_t mode = CK_FILL_CONSTANT; mode <= CK_FILL_WRAP; mode++)
            for (int bilinear = 0; bilinear < 2; bilinear++) check_warp(c, mode, bilinear);
        check_adjust(c, 0);
        check_adjust(c, 1);
        check_erase_and_mix(c);
    }
}
